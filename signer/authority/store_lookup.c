/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secondary keys of rows: unique ones and one-to-many ones. Used by enrolment and by lists, never on the
 * signing path, where ids carry their row. Authority's thread.
 * Keeps: a refused addition stages nothing.
 */
#include "store_private.h"

static const struct {
    bool known;
    bool unique;
} KINDS[] = {
    [STORE_BY_SUBJECT_ID] = {true, true},   [STORE_BY_SEED] = {true, true},
    [STORE_BY_DEVICE_KEY] = {true, true},   [STORE_BY_CERTIFICATE] = {true, true},
    [STORE_CREDENTIALS_OF] = {true, false}, [STORE_AUTHENTICATORS_OF] = {true, false},
    [STORE_BY_SERIAL] = {true, true},
};

static struct ky_status check_arguments(const struct store *s, enum store_lookup kind,
                                        struct ky_span key)
{
    if ((size_t)kind >= sizeof(KINDS) / sizeof(KINDS[0]) || !KINDS[kind].known || key.len == 0 ||
        key.len > STORE_KEY_MAX) {
        return KY_STATUS(KY_INVALID);
    }
    return store_usable(s);
}

static struct ky_status write_entry(struct store *s, enum store_stmt which, enum store_lookup kind,
                                    struct ky_span key, uint32_t row)
{
    bool found = false;
    struct ky_status st = store_begin(s);
    if (!ky_ok(st)) {
        return st;
    }
    store_bind_u64(s, which, 1, (uint64_t)kind);
    store_bind_span(s, which, 2, key);
    store_bind_u64(s, which, 3, row);
    return store_step(s, which, &found);
}

struct ky_status store_lookup_add(struct store *s, enum store_lookup kind, struct ky_span key,
                                  uint32_t row)
{
    struct ky_status st = check_arguments(s, kind, key);
    if (ky_ok(st) && KINDS[kind].unique) {
        uint32_t holder = 0;
        size_t count = 0;
        st = store_lookup(s, kind, key, 0, &holder, 1, &count);
        if (ky_ok(st) && count > 0 && holder != row) {
            return KY_STATUS(KY_CONFLICT);
        }
    }
    return ky_ok(st) ? write_entry(s, STMT_LOOKUP_ADD, kind, key, row) : st;
}

struct ky_status store_lookup_remove(struct store *s, enum store_lookup kind, struct ky_span key,
                                     uint32_t row)
{
    struct ky_status st = check_arguments(s, kind, key);
    return ky_ok(st) ? write_entry(s, STMT_LOOKUP_REMOVE, kind, key, row) : st;
}

struct ky_status store_lookup(struct store *s, enum store_lookup kind, struct ky_span key,
                              uint32_t after, uint32_t *out_rows, size_t cap, size_t *out_count)
{
    size_t count = 0;
    bool found = true;
    struct ky_status st = check_arguments(s, kind, key);
    if (!ky_ok(st)) {
        return st;
    }
    store_bind_u64(s, STMT_LOOKUP, 1, (uint64_t)kind);
    store_bind_span(s, STMT_LOOKUP, 2, key);
    store_bind_u64(s, STMT_LOOKUP, 3, after);
    store_bind_u64(s, STMT_LOOKUP, 4, cap);
    while (count < cap && found) {
        st = store_step(s, STMT_LOOKUP, &found);
        if (!ky_ok(st)) {
            return st;
        }
        if (found) {
            out_rows[count++] = (uint32_t)sqlite3_column_int64(s->stmts[STMT_LOOKUP], 0);
        }
    }
    store_reset(s, STMT_LOOKUP);
    *out_count = count;
    return st;
}
