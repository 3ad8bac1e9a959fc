/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of the database while it is used, a few pages at a time, between turns. What a turn commits meanwhile SQLite writes into
 * the copy too, because the copy is made through the one connection that writes: it ends as the database is at its last page.
 * Whatever fails costs the copy, never the store. Authority's thread.
 */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct store_backup {
    sqlite3 *to;          /* owned */
    sqlite3_backup *work; /* owned */
    int fd;               /* owned: the same file, to sync it as it grows */
};

/* A rollback journal and syncs would protect a copy that is thrown away when it is not whole. */
static const char settings[] = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = 16;"
                               "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;";

struct ky_status store_backup_begin(struct store *s, const char *path, struct store_backup **out_backup)
{
    struct store_backup *b = calloc(1, sizeof(*b));
    int rc;

    if (b == NULL)
        return KY_STATUS(KY_NOMEM);
    (void)unlink(path); /* half of an earlier one */
    b->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0) {
        int error = errno;
        store_backup_end(&b);
        return KY_STATUS_CAUSE(KY_IO, error);
    }
    rc = sqlite3_open_v2(path, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(b->to, settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        b->work = sqlite3_backup_init(b->to, "main", s->db, "main");
    if (b->work == NULL) {
        rc = rc != SQLITE_OK ? rc : sqlite3_errcode(b->to);
        store_backup_end(&b);
        return KY_STATUS_CAUSE(KY_STORE, rc);
    }
    *out_backup = b;
    return KY_STATUS(KY_OK);
}

struct ky_status store_backup_step(struct store_backup *b, int pages, bool *out_done, uint32_t *out_percent)
{
    int rc = sqlite3_backup_step(b->work, pages);
    int total = sqlite3_backup_pagecount(b->work);

    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        return KY_STATUS_CAUSE(KY_STORE, rc);
    if (rc == SQLITE_DONE) {
        rc = sqlite3_backup_finish(b->work);
        b->work = NULL;
        if (rc != SQLITE_OK)
            return KY_STATUS_CAUSE(KY_STORE, rc);
    }
    if (fdatasync(b->fd) != 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    *out_done = b->work == NULL;
    *out_percent = total <= 0 || *out_done ? 100 : (uint32_t)(100 - 100LL * sqlite3_backup_remaining(b->work) / total);
    return KY_STATUS(KY_OK);
}

void store_backup_end(struct store_backup **backup)
{
    struct store_backup *b = *backup;

    if (b == NULL)
        return;
    (void)sqlite3_backup_finish(b->work);
    (void)sqlite3_close(b->to);
    if (b->fd >= 0)
        (void)close(b->fd);
    free(b);
    *backup = NULL;
}
