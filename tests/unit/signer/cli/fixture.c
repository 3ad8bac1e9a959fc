/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder and the double as a child process: see fixture.h. */
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int fixture_dir(struct fixture *f)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(f->dir, sizeof f->dir, "%s/kyso-cli.XXXXXX",
                   base != NULL && strlen(base) < 32 ? base : "/tmp");
    f->input = -1;
    return mkdtemp(f->dir) != NULL ? 0 : -1;
}

static int spawn(const char *const *argv, int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int rc;

    (void)posix_spawn_file_actions_init(&actions);
    if (in >= 0)
        (void)posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (out >= 0)
        (void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int fixture_double(struct fixture *f)
{
    const char *argv[] = {"/usr/bin/python3", DOUBLE_PY, PROTO_DIR, f->dir, NULL};
    int in[2], out[2];
    FILE *from;
    char *line = NULL;
    size_t cap = 0;

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
        spawn(argv, in[0], out[1], &f->pid) != 0)
        return -1;
    (void)close(in[0]);
    (void)close(out[1]);
    f->input = in[1];
    from = fdopen(out[0], "r");
    if (from == NULL)
        return -1;
    if (getline(&line, &cap, from) > 0) /* the whole line, before the pipe closes */
        f->double_says = json_loads(line, 0, NULL);
    free(line);
    (void)fclose(from);
    return f->double_says != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fixture_stop(struct fixture *f)
{
    if (f->input >= 0)
        (void)close(f->input);
    f->input = -1;
    if (f->pid > 0)
        (void)waitpid(f->pid, NULL, 0);
    f->pid = 0;
    json_decref(f->double_says);
    f->double_says = NULL;
    if (f->dir[0] != '\0')
        (void)nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_text(const struct fixture *f, const char *key)
{
    return json_string_value(json_object_get(f->double_says, key));
}

int fixture_run(const char *const *argv)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid = 0;
    int status = -1;
    posix_spawn_file_actions_t actions;

    (void)posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd <= 2; fd++)
        (void)posix_spawn_file_actions_adddup2(&actions, null, fd);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ) == 0)
        (void)waitpid(pid, &status, 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(null);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int fixture_group_setup(void **state)
{
    static struct fixture f;

    *state = &f;
    return fixture_dir(&f);
}

int fixture_group_teardown(void **state)
{
    fixture_stop(*state);
    return 0;
}
