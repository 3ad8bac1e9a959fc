/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger as JSON lines from a database whose server is stopped or sealed: an operators' door that is shut must not shut the
 * auditors out. Opens read-only, needs no key, changes nothing; refused beside a running server, which answers
 * `kyso ledger export` itself. The form is that command's: the records, then a line with the checkpoint and the ledger's key.
 */
#include "export.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64.h"
#include "ledger_json.h"
#include "store.h"

#define LINE_MAX_BYTES (1024u * 1024u)

#define NOTE_MAX 4096u

struct printer {
    struct ky_buf line;
    struct ky_buf key; /* the ledger's, from the genesis record */
    uint64_t size;
    bool private_data;
};

static void note_genesis(struct printer *p, struct ky_span leaf)
{
    struct ledger_leaf parsed;
    struct ledger_genesis m;

    if (ky_ok(ledger_leaf_parse(leaf, &parsed)) && parsed.type == LEDGER_GENESIS &&
        ky_ok(ky_msg_decode(&ledger_genesis_schema, parsed.body, &m)))
        ky_buf_put(&p->key, m.ledger_key.data, m.ledger_key.len);
}

/* A signed note is lines of display text: only its line ends need an escape in JSON. */
static bool print_tail(const struct printer *p, const char *checkpoint)
{
    char note[NOTE_MAX];
    FILE *f = fopen(checkpoint, "re");
    size_t n = f == NULL ? 0 : fread(note, 1, sizeof(note), f);
    struct ky_buf key = KY_BUF_INIT(NOTE_MAX);
    bool ok = true;

    if (f != NULL)
        fclose(f);
    base64_put(&key, ky_buf_span(&p->key));
    ok = fputs("{\"checkpoint\":\"", stdout) >= 0;
    for (size_t i = 0; ok && i < n; i++)
        ok = note[i] == '\n' ? fputs("\\n", stdout) >= 0 : putchar(note[i]) != EOF;
    ok = ok && printf("\",\"ledger_public_key\":\"%.*s\",\"size\":%llu}\n", (int)key.len,
                      (const char *)key.data, (unsigned long long)p->size) > 0;
    ky_buf_free(&key);
    return ok;
}

static struct ky_status print_leaf(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct printer *p = ctx;
    struct ky_status status;

    if (p->size++ == 0)
        note_genesis(p, leaf);
    ky_buf_reset(&p->line);
    status = ledger_leaf_to_json(leaf, p->private_data ? private_data : KY_SPAN(NULL, 0), &p->line);
    if (!ky_ok(status))
        return status;
    ky_buf_put(&p->line, "\n", 1);
    return fwrite(p->line.data, 1, p->line.len, stdout) == p->line.len
               ? KY_STATUS(KY_OK)
               : KY_STATUS_CAUSE(KY_IO, errno);
}

/*
 * Root in a sticky folder, as the state's is: it becomes the database's owner. fs.protected_regular would not let it open
 * the WAL and the lock file, and a lock file that it made would be root's, which the authority's start refuses.
 */
static bool become_owner(const char *database, const char *folder)
{
    struct stat info, around;

    if (geteuid() != 0 || stat(database, &info) != 0 || stat(folder, &around) != 0 || !(around.st_mode & S_ISVTX))
        return true; /* what is missing the store says */
    return setgroups(0, NULL) == 0 && setresgid(info.st_gid, info.st_gid, info.st_gid) == 0 &&
           setresuid(info.st_uid, info.st_uid, info.st_uid) == 0;
}

int export_run(const char *database, bool private_data)
{
    struct printer p = {.line = KY_BUF_INIT(LINE_MAX_BYTES),
                        .key = KY_BUF_INIT(KY_SPKI_MAX),
                        .private_data = private_data};
    const char *slash = strrchr(database, '/');
    int folder = slash == NULL ? 0 : (int)(slash - database) + 1;
    char around[1024], checkpoint[1024];
    struct store *store = NULL;
    struct ky_status status = KY_STATUS(KY_OK);

    if (snprintf(around, sizeof(around), "%.*s.", folder, database) >= (int)sizeof(around) ||
        snprintf(checkpoint, sizeof(checkpoint), "%.*scheckpoint", folder, database) >= (int)sizeof(checkpoint))
        status = KY_STATUS(KY_INVALID);
    else if (!become_owner(database, around))
        status = KY_STATUS_CAUSE(KY_IO, errno);
    if (ky_ok(status))
        status = store_open(database, STORE_READ_ONLY, NULL, &store);
    if (ky_ok(status))
        status = store_ledger_read(store, 0, 0, print_leaf, &p);
    if (ky_ok(status) && (!print_tail(&p, checkpoint) || fflush(stdout) != 0))
        status = KY_STATUS_CAUSE(KY_IO, errno);
    if (!ky_ok(status))
        fprintf(stderr, "kyso-authority: cannot export %s: %s%s\n", database,
                ky_code_info(status.code)->name,
                status.code == KY_SEALED ? ": its server runs, use kyso ledger export"
                : status.code == KY_IO   ? strerror((int)status.cause)
                                         : "");
    store_close(&store);
    ky_buf_free(&p.line);
    ky_buf_free(&p.key);
    return ky_ok(status) ? 0 : 1;
}
