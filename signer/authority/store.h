/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one SQLite connection: the ledger, the rows, snapshots. Batch-shaped: a
 * turn stages appends and row writes, then commits once. Authority's thread only.
 * Keeps: I6 (a failed write or sync seals for good), one writer per ledger.
 *
 * Integrity: each turn stores a MAC over (size, root, turn). Each row carries a MAC over
 * (table, row, version, body); the ledger's fold tells the only version that is accepted.
 */
#ifndef KYSO_STORE_H
#define KYSO_STORE_H

#include "anchor.h"
#include "kyso/ledger.h"
#include "kyso/rows.h"
#include "kyso/secret.h"

#include "checkpoint.h"

#define STORE_SCHEMA_VERSION 1

struct store;

struct store_keys { /* derived by a vault from kyso-root; borrowed for the store's life */
    const struct ky_secret *row_mac;
    const struct ky_secret *state;
};

enum store_mode { STORE_CREATE, STORE_OPEN, STORE_READ_ONLY };

/*
 * CREATE fails when the file exists; OPEN when it does not (never re-created), when it is locked by another server,
 * when its schema version is newer (older: upgraded forward), or when the last turn's MAC does not hold.
 * Errors: KY_STORE (cause SQLITE_SCHEMA: the version), KY_IO (cause EEXIST, ENOENT, ...), KY_CORRUPT,
 * KY_SEALED (locked; cause EWOULDBLOCK or SQLITE_BUSY), KY_INVALID (no keys).
 * READ_ONLY is for offline export, is refused beside a running server and needs no keys: with none, no MAC is checked.
 * Beside `path` stand `path`-wal and `path`.lock; copy them together, or after a clean stop.
 * After OPEN: store_snapshot_read, then store_ledger_read from its size (or 0) without a limit before any row is read. A
 * reading from either to the end hashes along: KY_CORRUPT, after the last leaf, when any of its leaves was changed.
 */
KY_MUST_CHECK struct ky_status store_open(const char *path, enum store_mode mode, const struct store_keys *keys,
                                          struct store **out_store);
void store_close(struct store **s);

/* --- the ledger ------------------------------------------------------------------------------------ */
uint64_t store_ledger_size(const struct store *s); /* with what is staged */
const struct merkle *store_merkle(const struct store *s);
/* Stages one leaf built from a schema's message. private_data (may be empty) goes to the side table.
 * out_index may be NULL. A turn begins with the first staged write. */
KY_MUST_CHECK struct ky_status store_append(struct store *s, const struct ky_schema *schema, const void *msg,
                                            uint64_t time_us, struct ky_span private_data, uint64_t *out_index);
/* Calls fn for each committed leaf from `from`, in order, at most `limit` (0 = all); stops at the first failure. Spans live for the call.
 * fn may read again and may stage; it does not see what it commits. KY_CORRUPT: a leaf is missing or misnumbered. */
typedef struct ky_status (*store_leaf_fn)(void *ctx, struct ky_span leaf, struct ky_span private_data);
KY_MUST_CHECK struct ky_status store_ledger_read(struct store *s, uint64_t from, uint64_t limit, store_leaf_fn fn,
                                                 void *ctx);
/*
 * The tree of the newest kept turn that was no longer than `size`, so that a reading need not begin at 0; empty when none is kept.
 * One of another history has a valid MAC too: the caller compares what a reading from it comes to. KY_CORRUPT: its MAC.
 */
KY_MUST_CHECK struct ky_status store_turn_before(struct store *s, uint64_t size, struct merkle *out_tree);
/* Re-reads every committed leaf and compares the root with every kept turn's MACed one: KY_CORRUPT. Call between turns. */
KY_MUST_CHECK struct ky_status store_ledger_check(struct store *s);

/* --- rows -------------------------------------------------------------------------------------------- */
uint32_t store_row_count(const struct store *s, enum row_table table);
/*
 * Stages a row (row 0 = new: it gets store_row_count + 1, for ids that carry their row) and its LEDGER_ADMIN record;
 * the version rises by one. out_row may be NULL.
 * Errors: KY_STORE, KY_INVALID (table, an over-long field: nothing staged), KY_NOT_FOUND (row above the count).
 */
KY_MUST_CHECK struct ky_status store_row_put(struct store *s, enum row_table table, uint32_t row, const void *msg,
                                             uint64_t operation, uint64_t time_us, uint32_t *out_row);
/*
 * Reads a row, staged ones included; spans in *out_msg live until the next call for the same table.
 * Errors: KY_NOT_FOUND, KY_CORRUPT (MAC, or any version but the fold's), KY_STORE.
 */
KY_MUST_CHECK struct ky_status store_row_get(struct store *s, enum row_table table, uint32_t row, void *out_msg);
/* Called by the fold for each LEDGER_ADMIN record of the tail: sets the accepted version. Rows are dense, so a new one
 * is count + 1; anything else, or no memory, seals the store (see store_sealed). Harmless for records of store_row_put. */
void store_row_version(struct store *s, enum row_table table, uint32_t row, uint32_t version);

/* Secondary keys, 1..STORE_KEY_MAX bytes. UNIQUE kinds hold at most one row per key: KY_CONFLICT, which stages nothing and does
 * not seal. Adding what is there and removing what is not are both fine. The table has no MAC: it only finds candidates, and the
 * caller compares the authenticated row it names with the key it looked for. */
#define STORE_KEY_MAX 128u
enum store_lookup {
    STORE_BY_SUBJECT_ID = 1,      /* unique: subject id -> subject */
    STORE_BY_SEED = 2,            /* unique: HMAC of the seed -> authenticator */
    STORE_BY_DEVICE_KEY = 3,      /* unique: SHA-256 of the key -> authenticator */
    STORE_BY_CERTIFICATE = 4,     /* unique: SHA-256 of the certificate -> credential */
    STORE_CREDENTIALS_OF = 5,     /* many: u32 subject row -> credentials */
    STORE_AUTHENTICATORS_OF = 6,  /* many: u32 subject row -> authenticators */
    STORE_BY_SERIAL = 7,          /* unique: SHA-256 of the certificate's issuer and serial number -> credential */
};
KY_MUST_CHECK struct ky_status store_lookup_add(struct store *s, enum store_lookup kind, struct ky_span key,
                                                uint32_t row);
KY_MUST_CHECK struct ky_status store_lookup_remove(struct store *s, enum store_lookup kind, struct ky_span key,
                                                   uint32_t row);
/* Rows above `after`, ascending, at most cap. */
KY_MUST_CHECK struct ky_status store_lookup(struct store *s, enum store_lookup kind, struct ky_span key,
                                            uint32_t after, uint32_t *out_rows, size_t cap, size_t *out_count);

/* --- the turn ---------------------------------------------------------------------------------------- */
/* Commits everything staged with one fsync. Nothing staged: does nothing. Any failure is final: KY_SEALED ever after, and nothing
 * of the turn may be told. After a restart that turn is absent when a write failed; when its sync failed it is there whole or
 * absent (the bytes had been written, and only the disk knows): both are safe, since nobody was told. */
KY_MUST_CHECK struct ky_status store_commit(struct store *s);
uint64_t store_turns(const struct store *s);
/* KY_OK, or KY_SEALED with the SQLite code of the first failure. The failing call itself said KY_STORE. */
KY_MUST_CHECK struct ky_status store_sealed(const struct store *s);

/* --- a copy while it is used ------------------------------------------------------------------------------ */
struct store_backup;
/* path is made anew. Between turns, all three; end before the store is closed. Errors: KY_IO, KY_STORE: the store is none the worse. */
KY_MUST_CHECK struct ky_status store_backup_begin(struct store *s, const char *path, struct store_backup **out_backup);
/* So many pages more, synced. Done: the file is the database as it is now, until store_backup_end. */
KY_MUST_CHECK struct ky_status store_backup_step(struct store_backup *b, int pages, bool *out_done, uint32_t *out_percent);
void store_backup_end(struct store_backup **backup); /* NULLs the caller's pointer */

/* --- snapshots of the fold ----------------------------------------------------------------------------- */
/* The blob carries everything that the fold would rebuild; MACed with (ledger size, Merkle frontier, row versions).
 * Its own transaction, between turns only: KY_INVALID while something is staged. */
KY_MUST_CHECK struct ky_status store_snapshot_write(struct store *s, struct ky_span blob);
/* Restores the row versions; *out_size is the ledger size to replay from. out_blob's maximum is the caller's.
 * Errors: KY_NOT_FOUND (none: replay from 0), KY_CORRUPT (its MAC, or ahead of the ledger), KY_NOMEM. */
KY_MUST_CHECK struct ky_status store_snapshot_read(struct store *s, struct ky_buf *out_blob, uint64_t *out_size);

#endif
