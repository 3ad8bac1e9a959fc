/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database's layout, as steps from one version to the next. A new database takes every
 * step from 0, so creation and upgrade are the same code. Authority's thread, at start only.
 * Keeps: all steps and the new version number in one transaction.
 */
#include "store_private.h"

const struct store_step store_steps[STORE_SCHEMA_VERSION] = {
    {.from = 0,
     .sql =
         "CREATE TABLE IF NOT EXISTS ledger(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL);"
         "CREATE TABLE IF NOT EXISTS private(idx INTEGER PRIMARY KEY, data BLOB NOT NULL);"
         "CREATE TABLE IF NOT EXISTS turns(turn INTEGER PRIMARY KEY, size INTEGER NOT NULL,"
         " root BLOB NOT NULL, peaks BLOB NOT NULL, mac BLOB NOT NULL);"
         /* id = table << 32 | row. A rowid table: bodies with certificate chains do not belong into
              * the inner nodes of a WITHOUT ROWID tree. */
         "CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, version INTEGER NOT NULL,"
         " body BLOB NOT NULL, mac BLOB NOT NULL);"
         "CREATE TABLE IF NOT EXISTS lookup(kind INTEGER NOT NULL, key BLOB NOT NULL,"
         " row INTEGER NOT NULL, PRIMARY KEY(kind, key, row)) WITHOUT ROWID;"
         "CREATE TABLE IF NOT EXISTS snapshot(id INTEGER PRIMARY KEY CHECK(id = 1), size INTEGER "
         "NOT NULL,"
         " peaks BLOB NOT NULL, versions BLOB NOT NULL, body BLOB NOT NULL, mac BLOB NOT NULL);"},
};

static int set_version(sqlite3 *db, uint32_t version)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "REPLACE INTO meta(key, value) VALUES('schema', ?1)", -1, &stmt,
                                NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, version);
        rc = sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int get_version(sqlite3 *db, int64_t *out_version)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = 'schema'", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            *out_version = sqlite3_column_int64(stmt, 0);
            rc = SQLITE_OK;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_SCHEMA;
        }
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int run_steps(sqlite3 *db, const struct store_step *steps, size_t count, uint32_t version,
                     uint32_t to)
{
    while (version < to) {
        size_t i = 0;
        while (i < count && steps[i].from != version) {
            i++;
        }
        if (i == count) {
            return SQLITE_SCHEMA;
        }
        int rc = sqlite3_exec(db, steps[i].sql, NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            return rc;
        }
        version++;
    }
    return set_version(db, to);
}

int store_upgrade(sqlite3 *db, const struct store_step *steps, size_t count, uint32_t to)
{
    int64_t version = -1;
    int rc = get_version(db, &version);
    if (rc != SQLITE_OK || version == (int64_t)to) {
        return rc;
    }
    if (version < 0 || version > (int64_t)to) {
        return SQLITE_SCHEMA;
    }
    rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = run_steps(db, steps, count, (uint32_t)version, to);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(db)) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}
