/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fold: a ledger replayed, and its snapshot. Input: which; then records (type, body as a
 * piece), or a snapshot. What was reached by replaying survives its snapshot to the byte, also
 * after time has passed; a snapshot that is taken is the same again.
 */
#include <string.h>

#include "fuzz.h"
#include "state.h"

#define SNAPSHOT_MAX (16u * 1024u * 1024u)

/*
 * Rows are dense: what is kept by row would only cost time for numbers near 2^32, so there is no
 * memory for them.
 */
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return n > 256 ? NULL : __real_reallocarray(p, n, size);
}

static struct state *fold_new(void)
{
    static const struct state_limits limits = {
        .lockout = {.tries = 5, .first_lock_s = 900, .max_lock_s = 86400, .total_tries = 20},
        .client = {.failures_per_minute = 50, .failure_percent = 5},
        .replay_window_s = 86400,
        .replay_max = 1000,
        .tx_max = 100,
    };
    struct state *s = NULL;

    FUZZ_CHECK(ky_ok(state_new(&limits, &s)));
    return s;
}

/* Decoded and encoded again it is the same. */
static void check_snapshot(const struct state *s)
{
    struct ky_buf once = KY_BUF_INIT(SNAPSHOT_MAX), twice = KY_BUF_INIT(SNAPSHOT_MAX);

    if (s->flights.count > 0) /* no snapshot is made of it (I4) */
        return;
    struct state *other = fold_new();
    state_encode(s, &once);
    FUZZ_CHECK(!once.failed && ky_ok(state_decode(other, ky_buf_span(&once))));
    state_encode(other, &twice);
    FUZZ_CHECK(ky_span_eq(ky_buf_span(&once), ky_buf_span(&twice)));
    state_free(&other);
    ky_buf_free(&once);
    ky_buf_free(&twice);
}

static void replay(struct ky_reader *r, bool later)
{
    struct state *s = fold_new();
    struct ky_buf leaf = KY_BUF_INIT(LEDGER_LEAF_MAX);
    uint64_t index = 0, now_us = UINT64_C(1800000000000000);

    while (!r->failed && r->left > 0) {
        uint8_t type = ky_get_u8(r);
        struct ky_span body = fuzz_piece(r);

        now_us += (uint64_t)(type >> 4) * 10000000u;
        ky_buf_reset(&leaf);
        ky_put_u64(&leaf, index);
        ky_put_u64(&leaf, now_us);
        ky_put_u16(&leaf, type & 15);
        ky_buf_put(&leaf, body.data, body.len);
        if (!ky_ok(state_replay_leaf(s, ky_buf_span(&leaf), ky_span_text("salt"))))
            break; /* such a ledger is not started with */
        index++;
        if ((type & 15) == LEDGER_EVENT)
            state_collect(s, now_us / 1000000u);
    }
    if (later)
        state_collect(s, now_us / 1000000u + 100);
    check_snapshot(s);
    ky_buf_free(&leaf);
    state_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_reader r = ky_reader(KY_SPAN(data, size));

    uint8_t what = ky_get_u8(&r);
    if ((what & 1) == 0) {
        replay(&r, what & 2);
        return 0;
    }
    struct state *s = fold_new();
    if (ky_ok(state_decode(s, fuzz_rest(&r))))
        check_snapshot(s);
    state_free(&s);
    return 0;
}
