/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a backup: only where there is no database, and only one that runs through the checkpoint that is given with it, so
 * that an older or another ledger's copy is found here and not by the token. What the token's anchor says is judged at the start,
 * as ever: nothing here makes an older state good. Without the token no MAC can be checked; the start does that, too.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint.h"
#include "kyso/alg.h"
#include "ledger_verify.h"
#include "store.h"

#define BLOCK 65536u

struct restoring {
    struct ky_buf note;
    struct ledger_verifier verifier;
    uint64_t covered; /* records under the note */
    const char *why;
};

static int complain(const char *why, const char *what)
{
    (void)fprintf(stderr, "kysod: %s: %s\n", what, why);
    return 1;
}

static bool copy_to(int to)
{
    static uint8_t block[BLOCK];
    ssize_t n;

    while ((n = read(STDIN_FILENO, block, sizeof(block))) > 0)
        for (ssize_t at = 0, done; at < n; at += done)
            if ((done = write(to, block + at, (size_t)(n - at))) <= 0)
                return false;
    return n == 0 && fsync(to) == 0;
}

static struct ky_status read_note(struct ky_buf *out)
{
    uint8_t *room = ky_buf_grow(out, CHECKPOINT_NOTE_MAX);
    ssize_t n = room != NULL ? read(RESTORE_NOTE_FD, room, CHECKPOINT_NOTE_MAX) : -1;

    out->len = n > 0 ? (size_t)n : 0;
    return n > 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
}

/* The ledger's first record names the key and the server; the note must be theirs. */
static struct ky_status take_genesis(struct restoring *r, struct ky_span leaf)
{
    static const uint8_t types[] = {KY_KEY_ED25519, KY_KEY_P256};
    struct ky_span note = ky_buf_span(&r->note);
    struct ledger_leaf parsed;
    struct ledger_genesis m;
    uint8_t root[32];

    r->why = "it is no checkpoint that this ledger's key has signed";
    if (!ky_ok(ledger_leaf_parse(leaf, &parsed)) || parsed.type != LEDGER_GENESIS ||
        !ky_ok(ky_msg_decode(&ledger_genesis_schema, parsed.body, &m)))
        return KY_STATUS(KY_CORRUPT);
    for (size_t i = 0; i < sizeof(types); i++)
        if (ky_ok(checkpoint_verify(note, m.server_id, types[i], m.ledger_key, &r->covered, root)))
            return ledger_verify_expect(&r->verifier, r->covered, root);
    return KY_STATUS(KY_CORRUPT);
}

static struct ky_status take_leaf(void *context, struct ky_span leaf, struct ky_span private_data)
{
    struct restoring *r = context;
    struct ky_status status = ledger_verify_size(&r->verifier) == 0 ? take_genesis(r, leaf) : KY_STATUS(KY_OK);

    (void)private_data;
    if (!ky_ok(status))
        return status;
    r->why = "the backup's ledger does not run through this checkpoint: another ledger's, or changed";
    return ledger_verify_leaf(&r->verifier, leaf);
}

static const char *check(const char *path, struct restoring *r)
{
    struct store *store = NULL;
    struct ky_status status = store_open(path, STORE_READ_ONLY, NULL, &store);

    r->why = "it is not a whole database of Kyso's";
    if (ky_ok(status))
        status = store_ledger_read(store, 0, 0, take_leaf, r);
    store_close(&store);
    if (!ky_ok(status))
        return r->why;
    return ky_ok(ledger_verify_end(&r->verifier)) ? NULL
                                                  : "the backup is older than this checkpoint: find the newest one";
}

static void remove_beside(const char *path)
{
    static const char *const ends[] = {"", "-wal", ".lock"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (snprintf(name, sizeof(name), "%s%s", path, ends[i]) < (int)sizeof(name))
            (void)unlink(name);
}

static bool sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof(folder), "%.*s.", slash == NULL ? 0 : (int)(slash - path) + 1, path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

int restore_run(const char *database)
{
    struct restoring r = {.note = KY_BUF_INIT(CHECKPOINT_NOTE_MAX)};
    const char *why = NULL;
    char path[PATH_MAX];
    int fd = -1;

    ledger_verify_init(&r.verifier);
    if (snprintf(path, sizeof(path), "%s.restored", database) >= (int)sizeof(path))
        return complain("the path is too long", database);
    remove_beside(path);
    if (access(database, F_OK) == 0)
        return complain("it exists: a backup is restored only where there is no database", database);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !copy_to(fd))
        why = strerror(errno);
    if (why == NULL && !ky_ok(read_note(&r.note)))
        why = "the checkpoint cannot be read";
    if (why == NULL)
        why = check(path, &r);
    if (why == NULL && (rename(path, database) != 0 || !sync_folder(path)))
        why = strerror(errno);
    if (fd >= 0)
        (void)close(fd);
    remove_beside(path);
    ky_buf_free(&r.note);
    if (why != NULL)
        return complain(why, "the backup is not restored");
    (void)printf("restored: %llu records, under a checkpoint of %llu\n",
                 (unsigned long long)ledger_verify_size(&r.verifier), (unsigned long long)r.covered);
    return 0;
}
