/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kysod: reads the command line and the configuration, takes the state's lock, and
 * hands over to the supervisor's loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kyso/exit.h"

#include "options.h"
#include "supervisor.h"

enum { RESTORE_NOTE_FD = 3 }; /* where kyso-authority --restore reads the checkpoint */
enum { LOCK_TRIES = 40, LOCK_TRY_MS = 50 };

/* --- what is prepared before the loop --------------------------------------------------------- */

static int complain(const char *what, const char *where)
{
    fprintf(stderr, "kysod: %s %s: %s\n", what, where, strerror(errno));
    return KY_EXIT_FAILED;
}

/* Landlock leaves the authority the folders that are there when it starts: one that came later would stay barred without a word. */
static int find_checkpoint_folder(const struct config *c)
{
    const char *file = c->ledger.checkpoint_file;
    struct stat st;
    char folder[1024];

    (void)snprintf(folder, sizeof(folder), "%.*s/", (int)(strrchr(file, '/') - file), file);
    return stat(folder, &st) == 0 ? 0 : complain("ledger.checkpoint_file names a folder that is not there:", folder);
}

static int make_folders(const struct config *c)
{
    char run[1024];

    if (mkdir(c->state_dir, 0700) != 0 && errno != EEXIST)
        return complain("cannot make the state folder", c->state_dir);
    (void)snprintf(run, sizeof(run), "%s/run", c->state_dir);
    if (mkdir(run, 0700) != 0 && errno != EEXIST)
        return complain("cannot make", run);
    return find_checkpoint_folder(c);
}

/* A server that was killed leaves, for an instant, children that have not reached exec and hold its lock. */
static bool lock_soon(int fd)
{
    const struct timespec pause = { .tv_nsec = LOCK_TRY_MS * 1000000L };

    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static int take_lock(struct supervisor *s)
{
    char path[1024], text[32];
    int n;

    (void)snprintf(path, sizeof(path), "%s/run/kysod.lock", s->config->state_dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return complain("cannot open", path);
    if (!lock_soon(s->lock_fd)) {
        fprintf(stderr, "kysod: another server runs on %s: one ledger has one writer. Stop it first.\n",
                s->config->state_dir);
        return KY_EXIT_FAILED;
    }
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, text, (size_t)n, 0) != n)
        return complain("cannot write", path);
    return 0;
}

/* Every role parses the same bytes, whatever happens to the file meanwhile. */
static int seal_config(struct supervisor *s)
{
    char buffer[4096];
    ssize_t n;
    int from = open(s->config_path, O_RDONLY | O_CLOEXEC);

    s->config_fd = memfd_create("kyso-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (from < 0 || s->config_fd < 0)
        return complain("cannot read", s->config_path);
    while ((n = read(from, buffer, sizeof(buffer))) > 0)
        if (write(s->config_fd, buffer, (size_t)n) != n)
            return complain("cannot copy", s->config_path);
    close(from);
    if (n < 0 || fcntl(s->config_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return complain("cannot seal a copy of", s->config_path);
    return 0;
}

/* NAME:FILE to NAME: and the file's text: the authority may not be able to read the file. */
static int read_operators(struct supervisor *s, const struct options *o)
{
    char text[12288];

    for (int i = 0; i < o->operator_count; i++) {
        const char *colon = strchr(o->operators[i], ':');
        FILE *file = colon ? fopen(colon + 1, "re") : NULL;
        size_t n;

        if (!file)
            return complain("cannot read the operator's certificate or key, NAME:FILE", o->operators[i]);
        n = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
        text[n] = '\0';
        if (asprintf(&s->operators[i], "%.*s:%s", (int)(colon - o->operators[i]), o->operators[i], text) < 0)
            return complain("no memory for", o->operators[i]);
        s->operator_count++;
    }
    return 0;
}

/* The transcript of the key ceremony, as it is now: its hash goes on the ledger beside genesis. */
static int read_ceremony(struct supervisor *s)
{
    const char *path = s->config->ledger.ceremony_transcript;
    struct ky_buf text = KY_BUF_INIT(16u * 1024u * 1024u);
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    uint8_t chunk[4096];
    uint8_t hash[32];
    bool ok;

    if (path == NULL)
        return 0;
    for (size_t n; file != NULL && (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        ky_buf_put(&text, chunk, n);
    ok = file != NULL && !ferror(file) && !text.failed && text.len > 0;
    ky_sha256(ky_buf_span(&text), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        (void)snprintf(s->ceremony + 2 * i, 3, "%02x", hash[i]);
    if (file != NULL)
        fclose(file);
    ky_buf_free(&text);
    return ok ? 0 : complain("cannot read ledger.ceremony_transcript", path);
}

/* Who only shows the figures gets a descriptor that cannot write. Before the hardening: /proc/self is root's after it. */
static int share_metrics(struct supervisor *s)
{
    char self[64];

    s->metrics_fd = memfd_create("kyso-metrics", MFD_CLOEXEC);
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", s->metrics_fd);
    s->metrics_view_fd = open(self, O_RDONLY | O_CLOEXEC);
    if (s->metrics_view_fd < 0 || ftruncate(s->metrics_fd, sizeof(struct metrics_page)) != 0)
        return complain("cannot make", "the metrics page");
    s->metrics = mmap(NULL, sizeof(struct metrics_page), PROT_READ | PROT_WRITE, MAP_SHARED, s->metrics_fd, 0);
    if (s->metrics == MAP_FAILED)
        return complain("cannot map", "the metrics page");
    return 0;
}

static int find_programs(struct supervisor *s)
{
    const char *given = getenv("KYSO_PROGRAM_DIR");
    ssize_t n = given ? -1 : readlink("/proc/self/exe", s->program_dir, sizeof(s->program_dir) - 1);
    char *slash;

    if (given) {
        (void)snprintf(s->program_dir, sizeof(s->program_dir), "%s", given);
        return 0;
    }
    if (n < 0)
        return complain("cannot find", "the role programs");
    s->program_dir[n] = '\0';
    slash = strrchr(s->program_dir, '/');
    if (slash)
        *slash = '\0';
    return 0;
}

static int check_state(const struct supervisor *s)
{
    const bool init = s->phase == PHASE_PROVISION_TOKEN;
    char path[1024];
    bool there;

    if (s->phase == PHASE_PROBE)
        return 0; /* of the token alone */

    (void)snprintf(path, sizeof(path), "%s/kyso.db", s->config->state_dir);
    there = access(path, F_OK) == 0;
    if (init && there) {
        fprintf(stderr, "kysod: %s exists already: a ledger is never overwritten.\n", path);
        return KY_EXIT_FAILED;
    }
    if (!init && !there) {
        fprintf(stderr, "kysod: %s is missing: restore it, or run kysod --init for a new server. It is never "
                        "made anew by itself.\n", path);
        return KY_EXIT_FAILED;
    }
    return 0;
}

/* --- restoring ------------------------------------------------------------------------------- */

/* In the child. The authority's program reads the files where this one, which may read them, has opened them. */
_Noreturn static void become_restorer(const struct supervisor *s, int backup, int note)
{
    char program[600], database[1024];

    (void)snprintf(program, sizeof(program), "%s/kyso-authority", s->program_dir);
    (void)snprintf(database, sizeof(database), "%s/kyso.db", s->config->state_dir);
    if (dup2(backup, STDIN_FILENO) == STDIN_FILENO && dup2(note, RESTORE_NOTE_FD) == RESTORE_NOTE_FD &&
        (!s->apart || users_become(&s->users[ROLE_AUTHORITY])))
        execl(program, "kyso-authority", "--restore", database, (char *)NULL);
    (void)complain("cannot run", program);
    _exit(KY_EXIT_FAILED);
}

static int restore_here(struct supervisor *s, int backup, int note)
{
    int bad, wait_status = 0;
    pid_t child;

    s->phase = PHASE_PROVISION_TOKEN; /* nothing may be there */
    umask(0077);
    if ((bad = users_choose(s)) || (bad = make_folders(s->config)) || (bad = take_lock(s)) || (bad = check_state(s)) ||
        (bad = users_give_state(s)) || (bad = find_programs(s)))
        return bad;
    child = fork();
    if (child == 0)
        become_restorer(s, backup, note);
    return child < 0 || waitpid(child, &wait_status, 0) != child || wait_status != 0 ? KY_EXIT_FAILED : 0;
}

static int restore(struct supervisor *s, const struct options *o)
{
    int backup = open(o->restore, O_RDONLY | O_CLOEXEC);
    int note = open(o->checkpoint, O_RDONLY | O_CLOEXEC);
    int bad = backup < 0 ? complain("cannot read", o->restore)
              : note < 0 ? complain("cannot read", o->checkpoint)
                         : restore_here(s, backup, note);

    if (backup >= 0)
        close(backup);
    if (note >= 0)
        close(note);
    return bad;
}

/* --- what it can do ---------------------------------------------------------------------- */

static int clear_latch(const struct config *c)
{
    char reason[64], path[1024], text[32] = "";
    int fd;
    ssize_t n;

    bool armed = latch_is_armed(c, reason, sizeof(reason));

    latch_reset(c);
    /* Without a marker too: a server whose PIN could not be read is latched, and has left none. */
    (void)snprintf(path, sizeof(path), "%s/run/kysod.lock", c->state_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        /* a lock that can be taken means that no server runs */
        if (flock(fd, LOCK_SH | LOCK_NB) != 0 && (n = read(fd, text, sizeof(text) - 1)) > 0 && atol(text) > 1)
            (void)kill((pid_t)atol(text), SIGHUP);
        close(fd);
    }
    if (armed)
        printf("cleared (pending: %s): the next login may spend one try of the token\n", reason);
    else
        puts("no login is pending; a server that runs reads the PIN again if it was latched");
    return 0;
}

static int check_operators(const struct supervisor *s, const struct options *o)
{
    if (!o->init || s->config->demo || o->operator_count >= 2)
        return 0;
    fputs("kysod: outside a demo it takes two operators with certificates, as one alone could not add another: "
          "--operator NAME:PEM --operator NAME:PEM\n", stderr);
    return KY_EXIT_FAILED;
}

/* Or those who will bring it. */
static int find_pin(struct supervisor *s)
{
    const struct config_token *t = &s->config->token;
    const char *transcript = s->config->ledger.ceremony_transcript;
    struct ky_status st = KY_STATUS(KY_OK);

    if (t->custodian_socket) {
        s->transcript_fd = open(transcript, O_RDONLY | O_CLOEXEC);
        return s->transcript_fd >= 0 ? 0 : complain("cannot read ledger.ceremony_transcript", transcript);
    }
    st = latch_read_pin(s->config, &s->pin);
    if (!ky_ok(st)) {
        fprintf(stderr, "kysod: cannot read the PIN from %s: %s\n", t->pin_file ? t->pin_file : t->pin_credential,
                st.code == KY_IO ? strerror((int)st.cause) : "empty or too long");
        return KY_EXIT_FAILED;
    }
    return 0;
}

static int serve(struct supervisor *s, const struct options *o)
{
    int bad;

    s->creates = o->init;
    s->phase = o->probe  ? PHASE_PROBE
               : o->init ? PHASE_PROVISION_TOKEN
               : o->add  ? PHASE_PROVISION_STATE
                         : PHASE_RUN;
    umask(0077);
    (void)signal(SIGHUP, SIG_IGN); /* --clear-latch may come before the loop listens */
    if ((bad = users_choose(s)) || (bad = check_operators(s, o)) || (bad = make_folders(s->config)) || (bad = take_lock(s)) ||
        (bad = check_state(s)) || (o->init && (bad = users_give_state(s))) || (!o->probe && (bad = users_check_state(s))) ||
        (bad = read_operators(s, o)) || (o->init && (bad = read_ceremony(s))) || (bad = find_programs(s)) ||
        (bad = find_pin(s)))
        return bad;
    if (geteuid() == 0 && !s->apart)
        log_event(LOG_WARN, "all-as-root", LOG_STR("why", "a demo, and no users for the roles"));
    const bool doors = s->phase == PHASE_RUN;
    if (!ky_ok(listen_open_all(s)) || (doors && !ky_ok(listen_publish(s))))
        bad = KY_EXIT_FAILED;
    if (!bad)
        bad = supervisor_run(s);
    listen_close_all(s);
    log_event(LOG_INFO, "stopped", LOG_U64("exit", (uint64_t)bad));
    return bad;
}

int main(int argc, char **argv)
{
    static struct supervisor s = { .config_fd = -1, .metrics_fd = -1, .lock_fd = -1, .transcript_fd = -1 };
    struct options o;
    char *error = NULL;
    int code = options_parse(argc, argv, &o);

    if (code >= 0)
        return code;
    s.config_path = o.config;
    if ((code = seal_config(&s)) || (code = share_metrics(&s)))
        return code;
    if (!ky_ok(ky_harden_process()) || !ky_ok(config_load_fd(s.config_fd, &s.config, &error))) {
        fprintf(stderr, "kysod: %s\n", error ? error : "cannot harden the process");
        free(error);
        return KY_EXIT_FAILED;
    }
    log_setup("kysod", s.config->log_format, s.config->log_level);
    if (o.check)
        printf("%s: sound\n", o.config);
    else
        code = o.clear_latch ? clear_latch(s.config) : o.restore ? restore(&s, &o) : serve(&s, &o);
    ky_secret_wipe(&s.pin);
    for (int i = 0; i < s.operator_count; i++)
        free(s.operators[i]);
    config_free(&s.config);
    return code;
}
