/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing: the lock file, the connection's settings, the layout's version, the head.
 * Authority's thread, at start and stop; the CLI for an offline export.
 * Keeps: one writer per ledger (a lock file of ours beside SQLite's exclusive lock); a missing database is never
 * made again; files are 0600.
 */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_BODY_MAX (1024u * 1024u)

static const char *const STMT_SQL[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_LEAF] = "INSERT INTO ledger(idx, leaf) VALUES(?1, ?2)",
    [STMT_PRIVATE] = "INSERT INTO private(idx, data) VALUES(?1, ?2)",
    [STMT_TURN_ADD] = "INSERT INTO turns(turn, size, root, peaks, mac) VALUES(?1, ?2, ?3, ?4, ?5)",
    [STMT_TURN_DROP] = "DELETE FROM turns WHERE turn = ?1",
    [STMT_ROW_PUT] = "REPLACE INTO rows(id, version, body, mac) VALUES(?1, ?2, ?3, ?4)",
    [STMT_ROW_GET] = "SELECT version, body, mac FROM rows WHERE id = ?1",
    [STMT_LOOKUP_ADD] = "INSERT OR IGNORE INTO lookup(kind, key, row) VALUES(?1, ?2, ?3)",
    [STMT_LOOKUP_REMOVE] = "DELETE FROM lookup WHERE kind = ?1 AND key = ?2 AND row = ?3",
    [STMT_LOOKUP] =
        "SELECT row FROM lookup WHERE kind = ?1 AND key = ?2 AND row > ?3 ORDER BY row LIMIT ?4",
    [STMT_SNAPSHOT_PUT] =
        "REPLACE INTO snapshot(id, size, peaks, versions, body, mac) VALUES(1, ?1, ?2, ?3, ?4, ?5)",
    [STMT_SNAPSHOT_GET] = "SELECT size, peaks, versions, mac FROM snapshot WHERE id = 1",
};

/* EXCLUSIVE comes before the first access, so that the WAL's index lives in memory and no other process can join. */
static const char SETTINGS[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cache_size = -16384;"
                               "PRAGMA journal_size_limit = 67108864;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA trusted_schema = OFF;";

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((struct store *)ctx)->wal_frames = frames;
    return SQLITE_OK;
}

static struct ky_status take_lock(struct store *s, const char *path)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof(name), "%s.lock", path);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        return KY_STATUS_CAUSE(KY_IO, ENAMETOOLONG);
    }
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        return KY_STATUS_CAUSE(KY_IO, errno);
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return KY_STATUS_CAUSE(errno == EWOULDBLOCK ? KY_SEALED : KY_IO, errno);
    }
    return KY_STATUS(KY_OK);
}

static struct ky_status create_file(struct store *s, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KY_STATUS_CAUSE(KY_IO, errno);
    }
    (void)close(fd);
    s->created = true;
    return KY_STATUS(KY_OK);
}

/* The names of the database, its WAL and the lock file must outlive a power cut. */
static struct ky_status sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash == NULL ? snprintf(folder, sizeof(folder), ".")
                          : snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);
    if (n < 0 || (size_t)n >= sizeof(folder)) {
        return KY_STATUS_CAUSE(KY_IO, ENAMETOOLONG);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed == 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, failed);
}

/* SQLITE_BUSY here is a second server that got past the lock file, say on another path to the same file. */
static struct ky_status open_status(struct store *s, int rc)
{
    if (rc == SQLITE_OK) {
        return KY_STATUS(KY_OK);
    }
    int code = s->db != NULL ? sqlite3_extended_errcode(s->db) : rc;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
        return KY_STATUS_CAUSE(KY_SEALED, code);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return KY_STATUS_CAUSE(KY_CORRUPT, code);
    default:
        return KY_STATUS_CAUSE(KY_STORE, rc == SQLITE_SCHEMA ? rc : code);
    }
}

/* An export from a medium that cannot be written: only without a WAL is the file alone the whole truth. */
static struct ky_status connect_immutable(struct store *s, const char *path)
{
    struct stat info;
    char name[PATH_MAX];
    int n = snprintf(name, sizeof(name), "%s-wal", path);
    if (n < 0 || (size_t)n >= sizeof(name) || (stat(name, &info) == 0 && info.st_size > 0)) {
        return KY_STATUS_CAUSE(KY_IO, EROFS);
    }
    if (strpbrk(path, "?#%") != NULL ||
        snprintf(name, sizeof(name), "file:%s?immutable=1", path) < 0) {
        return KY_STATUS(KY_INVALID);
    }
    return open_status(s, sqlite3_open_v2(name, &s->db,
                                          SQLITE_OPEN_READONLY | SQLITE_OPEN_URI |
                                              SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                          NULL));
}

static struct ky_status connect_db(struct store *s, const char *path)
{
    int rc = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->db, SETTINGS, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, s->mode == STORE_READ_ONLY,
                                NULL);
        (void)sqlite3_wal_hook(s->db, on_wal,
                               s); /* also turns SQLite's own checkpoints off: they drop errors */
    }
    return open_status(s, rc);
}

static struct ky_status acquire(struct store *s, const char *path)
{
    struct ky_status st = KY_STATUS(KY_OK);
    if (s->mode != STORE_CREATE && access(path, F_OK) != 0) {
        return KY_STATUS_CAUSE(KY_IO, errno);
    }
    if (s->mode == STORE_READ_ONLY && access(path, W_OK) != 0) {
        return connect_immutable(s, path);
    }
    st = take_lock(s, path);
    if (ky_ok(st) && s->mode == STORE_CREATE) {
        st = create_file(s, path);
    }
    return ky_ok(st) ? connect_db(s, path) : st;
}

static struct ky_status prepare_all(struct store *s)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < STMT_COUNT; i++) {
        rc = sqlite3_prepare_v3(s->db, STMT_SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[i],
                                NULL);
    }
    return open_status(s, rc);
}

static struct ky_status lay_out(struct store *s)
{
    int rc = SQLITE_OK;
    if (s->mode == STORE_READ_ONLY) { /* also keeps an export from upgrading what it looks at */
        rc = sqlite3_exec(s->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    }
    if (s->mode == STORE_CREATE) {
        rc = sqlite3_exec(s->db,
                          "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
                          "INSERT INTO meta(key, value) VALUES('schema', 0)",
                          NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = store_upgrade(s->db, store_steps, STORE_SCHEMA_VERSION, STORE_SCHEMA_VERSION);
    }
    return open_status(s, rc);
}

/*
 * Writes the WAL over with itself and syncs it: after a failed sync the kernel may show pages that it will never write, and a power
 * cut while they are moved would leave an older WAL beside newer pages of the database.
 */
static int renew_wal(sqlite3 *db)
{
    uint8_t block[32768];
    sqlite3_file *wal = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc != SQLITE_OK || wal == NULL || wal->pMethods == NULL) {
        return rc;
    }
    rc = wal->pMethods->xFileSize(wal, &size);
    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += (sqlite3_int64)sizeof(block)) {
        sqlite3_int64 left = size - at;
        int n = left < (sqlite3_int64)sizeof(block) ? (int)left : (int)sizeof(block);
        rc = wal->pMethods->xRead(wal, block, n, at);
        if (rc == SQLITE_OK) {
            rc = wal->pMethods->xWrite(wal, block, n, at);
        }
    }
    return rc == SQLITE_OK ? wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) : rc;
}

/* What a crash left in the WAL is moved into the database and synced before anything is built on it. */
static struct ky_status settle_wal(struct store *s)
{
    int rc = renew_wal(s->db);
    if (rc != SQLITE_OK) {
        return KY_STATUS_CAUSE(KY_STORE, rc);
    }
    return open_status(
        s, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

static void remove_files(const char *path)
{
    char name[PATH_MAX];
    (void)unlink(path);
    int n = snprintf(name, sizeof(name), "%s-wal", path);
    if (n > 0 && (size_t)n < sizeof(name)) {
        (void)unlink(name);
    }
}

static struct ky_status load(struct store *s, const char *path)
{
    struct ky_status st = lay_out(s);
    if (ky_ok(st)) {
        st = prepare_all(s);
    }
    if (ky_ok(st) && s->mode == STORE_CREATE) {
        st = store_turn_put(s, 0);
    }
    if (ky_ok(st) && s->mode != STORE_READ_ONLY) {
        st = settle_wal(s);
    }
    if (ky_ok(st) && s->mode == STORE_CREATE) {
        st = sync_folder(path);
    }
    return ky_ok(st) ? store_turn_load(s) : st;
}

struct ky_status store_open(const char *path, enum store_mode mode, const struct store_keys *keys,
                            struct store **out_store)
{
    bool keyed = keys != NULL && keys->state != NULL && keys->row_mac != NULL;
    if (!keyed && mode != STORE_READ_ONLY) {
        return KY_STATUS(KY_INVALID);
    }
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return KY_STATUS(KY_NOMEM);
    }
    s->mode = mode;
    s->lock_fd = -1;
    s->wal_limit = STORE_WAL_FRAMES;
    s->leaf = KY_BUF_INIT(LEDGER_LEAF_MAX);
    s->body = KY_BUF_INIT(STORE_BODY_MAX);
    s->scratch = KY_BUF_INIT(STORE_BODY_MAX + 128u);
    for (size_t i = 0; i < ROW_TABLE_END; i++) {
        s->rows[i] = KY_BUF_INIT(STORE_BODY_MAX);
    }
    if (keyed) {
        s->keys = *keys;
    }
    struct ky_status st = acquire(s, path);
    if (ky_ok(st)) {
        st = load(s, path);
    }
    if (ky_ok(st)) {
        *out_store = s;
        return st;
    }
    if (s->created) {
        remove_files(path); /* half made, and nothing was ever in it */
    }
    store_close(&s);
    return st;
}

void store_close(struct store **ps)
{
    struct store *s = *ps;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < STMT_COUNT; i++) {
        (void)sqlite3_finalize(s->stmts[i]);
    }
    (void)sqlite3_close(s->db); /* an open turn is rolled back */
    if (s->lock_fd >= 0) {
        (void)close(s->lock_fd);
    }
    store_versions_free(s);
    for (size_t i = 0; i < ROW_TABLE_END; i++) {
        ky_buf_free(&s->rows[i]);
    }
    ky_buf_free(&s->leaf);
    ky_buf_free(&s->body);
    ky_buf_free(&s->scratch);
    free(s);
    *ps = NULL;
}
