/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store's files share: the connection, its prepared statements, the staged tree and the
 * accepted row versions. Authority's thread only.
 * Keeps: any SQLite error seals the store, because SQLite may have rolled the turn back by itself and
 * a later statement would then commit alone.
 */
#ifndef KYSO_STORE_PRIVATE_H
#define KYSO_STORE_PRIVATE_H

#include <sqlite3.h>

#include "store.h"

/*
 * Frames in the WAL after which the next turn starts with a checkpoint: 4 MiB, written over and over, so that a commit
 * overwrites a warm file (cheaper to sync than an append). Turns of 64 leaves per second do not change between 512 and
 * 4096 frames; the one turn that waits for the checkpoint does: 5, 7, 14 and 24 ms for 512, 1024, 2048 and 4096.
 */
#define STORE_WAL_FRAMES 1024

/*
 * Turn rows that are kept. Only the newest is needed to open; one for each turn would grow without bound at a thousand
 * turns a second. One in 4096 stays, so that a full check says between which two of them the damage is.
 */
#define STORE_TURN_KEEP 4096u

enum store_stmt {
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_LEAF,
    STMT_PRIVATE,
    STMT_TURN_ADD,
    STMT_TURN_DROP,
    STMT_ROW_PUT,
    STMT_ROW_GET,
    STMT_LOOKUP_ADD,
    STMT_LOOKUP_REMOVE,
    STMT_LOOKUP,
    STMT_SNAPSHOT_PUT,
    STMT_SNAPSHOT_GET,
    STMT_COUNT
};

struct store_versions { /* of one table: rows are dense, so an array is the index */
    uint32_t *of;       /* owned; of[row - 1], 0 = never written */
    uint32_t count;
    uint32_t cap;
};

struct store_turn { /* one row of the table `turns` */
    uint64_t turn;
    struct merkle tree;
    uint8_t root[32];
    uint8_t mac[32];
};

struct store {
    sqlite3 *db;                     /* owned */
    sqlite3_stmt *stmts[STMT_COUNT]; /* owned */
    int lock_fd;                     /* owned; -1 = none */
    enum store_mode mode;
    struct store_keys keys;   /* both borrowed; NULL in an export without keys */
    struct ky_status failure; /* KY_OK until sealed */
    bool created;             /* this open made the file */
    bool in_turn;
    int wal_frames;
    int wal_limit; /* STORE_WAL_FRAMES; less in tests */
    uint64_t turns;
    uint64_t committed; /* leaves; merkle.size counts the staged ones too */
    struct merkle merkle;
    struct merkle snapshot;  /* the tree of the snapshot that was read: where the tail begins */
    uint8_t head_root[32];   /* at `committed` */
    uint8_t staged_root[32]; /* of the turn row that is being committed */
    struct store_versions versions[ROW_TABLE_END];
    struct ky_buf rows[ROW_TABLE_END]; /* the body that the last read of each table borrows */
    struct ky_buf leaf;
    struct ky_buf body;
    struct ky_buf scratch; /* the input of a MAC */
};

/* --- store.c --- */
/* KY_OK, or the seal. */
KY_MUST_CHECK struct ky_status store_usable(const struct store *s);
/* Seals for good; the first reason stays. */
void store_seal(struct store *s, int rc);
/* Seals with this SQLite code and says KY_STORE. */
KY_MUST_CHECK struct ky_status store_fail(struct store *s, int rc);
/* Moves the WAL into the database. Between turns. */
KY_MUST_CHECK struct ky_status store_checkpoint_wal(struct store *s);
/* Starts the turn unless one is open. */
KY_MUST_CHECK struct ky_status store_begin(struct store *s);
/* Steps a kept statement whose parameters are bound. Resets it, unless a row came: then the caller reads and resets. */
KY_MUST_CHECK struct ky_status store_step(struct store *s, enum store_stmt which, bool *out_row);
void store_reset(struct store *s, enum store_stmt which);
void store_bind_u64(struct store *s, enum store_stmt which, int at, uint64_t v);
void store_bind_span(struct store *s, enum store_stmt which, int at, struct ky_span v);
struct ky_span store_column(sqlite3_stmt *stmt, int at);

/* --- store_turn.c --- */
KY_MUST_CHECK struct ky_status store_turn_put(struct store *s, uint64_t turn);
/* Finds the newest turn row, checks it and makes it the head. Errors: KY_CORRUPT, KY_STORE. */
KY_MUST_CHECK struct ky_status store_turn_load(struct store *s);
void store_put_peaks(const struct merkle *m, struct ky_buf *out);
/* KY_CORRUPT when the peaks do not fit the size. */
KY_MUST_CHECK struct ky_status store_get_peaks(struct ky_span peaks, uint64_t size,
                                               struct merkle *out);
void store_mac(struct store *s, const struct ky_secret *key, uint8_t out[32]); /* over s->scratch */

/* --- store_rows.c --- */
KY_MUST_CHECK struct ky_status store_versions_set(struct store *s, uint32_t table, uint32_t row,
                                                  uint32_t version);
void store_versions_free(struct store *s);

/* --- store_schema.c --- */
struct store_step { /* one step forward; sql must leave what it finds intact */
    uint32_t from;
    const char *sql;
};
extern const struct store_step store_steps[STORE_SCHEMA_VERSION];
/* Errors: SQLITE_SCHEMA when the version is newer than `to` or a step is missing. */
KY_MUST_CHECK int store_upgrade(sqlite3 *db, const struct store_step *steps, size_t count,
                                uint32_t to);

#endif
