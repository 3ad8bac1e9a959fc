/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel over a real socketpair: batches, partial reads, bad headers (fault 1),
 * back-pressure, the largest record, and the peer's end.
 */
#include "kyso/record.h"

#include <sys/socket.h>
#include <unistd.h>

#include "kyso/door.h"
#include "proto_test.h"

struct pair {
    int fds[2];
    struct ky_channel a;
    struct ky_channel b;
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
    ky_channel_init(&p->a, p->fds[0], 1024 * 1024);
    ky_channel_init(&p->b, p->fds[1], 1024 * 1024);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    ky_channel_wipe(&p->a);
    ky_channel_wipe(&p->b);
    ky_channel_wipe(&p->b); /* twice is once */
    for (size_t i = 0; i < 2; i++) {
        if (p->fds[i] >= 0)
            close(p->fds[i]);
    }
    free(p);
    return 0;
}

static struct door_operate payload(const uint8_t *bytes, size_t len)
{
    return (struct door_operate){.uid = (uint32_t)len, .operation = KY_SPAN(bytes, len)};
}

static bool next(struct ky_channel *c, struct ky_record *r)
{
    struct ky_status st;
    bool got = ky_channel_next(c, r, &st);
    EXPECT(KY_OK, st);
    return got;
}

static void write_raw(int fd, const void *bytes, size_t n)
{
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
}

static void test_header_layout(void **state)
{
    struct pair *p = *state;
    const struct door_cancel m = {.unused = 0xee};
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_cancel_schema, &m, 0x1122334455667788u, 0x99u));
    EXPECT(KY_OK, ky_channel_flush(&p->a));
    uint8_t got[64], want[64];
    size_t n =
        from_hex("19000000 2800 0000 8877665544332211 9900000000000000 ee", want, sizeof(want));
    assert_int_equal(read(p->fds[1], got, sizeof(got)), (ssize_t)n);
    assert_memory_equal(got, want, n);
}

static void test_batch(void **state)
{
    struct pair *p = *state;
    uint8_t bytes[300];
    memset(bytes, 0x33, sizeof(bytes));
    for (uint64_t i = 0; i < 1000; i++) {
        struct door_operate m = payload(bytes, i % sizeof(bytes));
        EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, i, i * 3));
    }
    uint64_t seen = 0;
    while (seen < 1000) {
        EXPECT(KY_OK, ky_channel_flush(&p->a));
        EXPECT(KY_OK, ky_channel_read(&p->b));
        struct ky_record r;
        while (next(&p->b, &r)) {
            struct door_operate m;
            assert_true(r.type == DOOR_OPERATE && r.tag == seen && r.deadline_us == seen * 3);
            EXPECT(KY_OK, ky_msg_decode(&door_operate_schema, r.payload, &m));
            assert_true(m.uid == seen % sizeof(bytes) && m.operation.len == m.uid);
            assert_true(ky_span_eq(m.operation, KY_SPAN(bytes, m.uid)));
            seen++;
        }
    }
    assert_false(ky_channel_has_output(&p->a));
    EXPECT(KY_OK, ky_channel_read(&p->b)); /* nothing there is no error */
}

/* What one read brings is handed out where it lies: no record of a batch is moved. */
static void test_records_of_one_read_lie_side_by_side(void **state)
{
    struct pair *p = *state;
    const struct door_cancel m = {0};
    for (uint64_t i = 0; i < 100; i++)
        EXPECT(KY_OK, ky_channel_send(&p->a, &door_cancel_schema, &m, i, 0));
    EXPECT(KY_OK, ky_channel_flush(&p->a));
    EXPECT(KY_OK, ky_channel_read(&p->b));
    struct ky_record r;
    const uint8_t *last = NULL;
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(next(&p->b, &r));
        assert_true(last == NULL || r.payload.data == last + KY_RECORD_HEADER + 1);
        last = r.payload.data;
    }
    assert_false(next(&p->b, &r));
}

static void test_byte_by_byte(void **state)
{
    struct pair *p = *state;
    struct door_operate m = payload((const uint8_t *)"0123456789", 10);
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, 7, 8));
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, 9, 8));
    size_t len = p->a.out.len;
    struct ky_record r;
    for (size_t i = 0; i < len; i++) {
        write_raw(p->fds[0], p->a.out.data + i, 1);
        EXPECT(KY_OK, ky_channel_read(&p->b));
        bool whole = next(&p->b, &r);
        assert_int_equal(whole, i + 1 == len / 2 || i + 1 == len);
        if (whole)
            assert_int_equal(r.tag, i + 1 == len ? 9 : 7);
    }
    assert_false(next(&p->b, &r));
}

/* Two records in two reads, parted at every byte: what is left of the second is kept whole. */
static void test_parted_anywhere(void **state)
{
    struct pair *p = *state;
    struct door_operate m = payload((const uint8_t *)"0123456789", 10);
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, 7, 8));
    m.operation.len = 6; /* another length, so that a stale first byte shows */
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, 9, 8));
    size_t len = p->a.out.len;
    for (size_t cut = 1; cut < len; cut++) {
        uint64_t tags = 0;
        const size_t parts[2][2] = {{0, cut}, {cut, len - cut}};
        for (size_t i = 0; i < 2; i++) {
            write_raw(p->fds[0], p->a.out.data + parts[i][0], parts[i][1]);
            EXPECT(KY_OK, ky_channel_read(&p->b));
            struct ky_record r;
            while (next(&p->b, &r)) {
                struct door_operate got;
                EXPECT(KY_OK, ky_msg_decode(&door_operate_schema, r.payload, &got));
                assert_int_equal(got.operation.len, r.tag == 7 ? 10 : 6);
                tags = tags * 10 + r.tag;
            }
        }
        assert_int_equal(tags, 79);
    }
}

static const char *const bad_headers[] = {
    "00000000 0100 0000",                       /* length 0 */
    "17000000 0100 0000",                       /* less than its own header */
    "01000400 0100 0000",                       /* maximum + 1 */
    "ffffffff 0100 0000",                       /* 2^32 - 1 */
    "00000080 0100 0000", "19000000 0100 0100", /* flags */
    "19000000 0100 0080",
};

static void fault_01_bad_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(bad_headers); i++) {
        void *fresh;
        setup(&fresh);
        struct pair *p = fresh;
        const struct door_cancel good = {0};
        EXPECT(KY_OK, ky_channel_send(&p->a, &door_cancel_schema, &good, 1, 0));
        EXPECT(KY_OK, ky_channel_flush(&p->a));
        uint8_t header[KY_RECORD_HEADER] = {0};
        from_hex(bad_headers[i], header, sizeof(header));
        write_raw(p->fds[0], header, sizeof(header));
        EXPECT(KY_OK, ky_channel_read(&p->b));
        struct ky_record r;
        struct ky_status st;
        assert_true(next(&p->b, &r)); /* what came before is not lost */
        for (int again = 0; again < 2; again++) {
            assert_false(ky_channel_next(&p->b, &r, &st));
            EXPECT(KY_INVALID, st);
        }
        teardown(&fresh);
    }
}

/* Exactly the maximum passes, in as many reads as the socket needs. */
static void test_largest_record(void **state)
{
    struct pair *p = *state;
    uint8_t *record = calloc(1, KY_RECORD_MAX);
    assert_non_null(record);
    const uint8_t header[] = {0, 0, 4, 0, 1, 0, 0, 0};
    memcpy(record, header, sizeof(header));
    record[KY_RECORD_MAX - 1] = 0x77;
    struct ky_record r;
    for (int round = 0; round < 5; round++) {
        size_t put = 0;
        bool got = false;
        while (!got) {
            if (put < KY_RECORD_MAX) {
                ssize_t n = write(p->fds[0], record + put, KY_RECORD_MAX - put);
                assert_true(n > 0);
                put += (size_t)n;
            }
            EXPECT(KY_OK, ky_channel_read(&p->b));
            got = next(&p->b, &r);
        }
        assert_int_equal(r.payload.len, KY_RECORD_MAX - KY_RECORD_HEADER);
        assert_int_equal(r.payload.data[r.payload.len - 1], 0x77);
    }
    assert_true(p->b.in.cap <= 2 * KY_RECORD_MAX);
    free(record);
}

/* A reader that takes nothing costs a bounded buffer, and loses nothing. */
static void test_untaken_records_are_bounded(void **state)
{
    struct pair *p = *state;
    uint8_t bytes[1000] = {0};
    struct door_operate m = payload(bytes, sizeof(bytes));
    uint64_t sent = 0;
    for (int i = 0; i < 2000; i++) {
        if (ky_ok(ky_channel_send(&p->a, &door_operate_schema, &m, sent, 0)))
            sent++;
        EXPECT(KY_OK, ky_channel_flush(&p->a));
        EXPECT(KY_OK, ky_channel_read(&p->b));
    }
    assert_true(p->b.in.cap <= 2 * KY_RECORD_MAX);
    assert_true(sent < 2000); /* the queue of the writer filled up and said so */
    uint64_t seen = 0;
    struct ky_record r;
    while (seen < sent) {
        while (next(&p->b, &r))
            assert_int_equal(r.tag, seen++);
        EXPECT(KY_OK, ky_channel_flush(&p->a));
        EXPECT(KY_OK, ky_channel_read(&p->b));
    }
    assert_false(next(&p->b, &r));
}

static bool holds(const struct ky_buf *b, const void *bytes, size_t n)
{
    return b->data != NULL && memmem(b->data, b->cap, bytes, n) != NULL;
}

/*
 * Codes, SADs and seeds pass through: once written or dropped, nothing of them is left in either
 * buffer.
 */
static void test_what_passed_is_wiped(void **state)
{
    struct pair *p = *state;
    static const char secret[] = "what nobody may find";
    struct door_operate m = payload((const uint8_t *)secret, sizeof(secret));
    struct ky_record r;
    for (uint64_t i = 0; i < 3; i++)
        EXPECT(KY_OK, ky_channel_send(&p->a, &door_operate_schema, &m, i, 0));
    assert_true(holds(&p->a.out, secret, sizeof(secret)));
    EXPECT(KY_OK, ky_channel_flush(&p->a));
    assert_false(holds(&p->a.out, secret, sizeof(secret)));
    EXPECT(KY_OK, ky_channel_read(&p->b));
    assert_true(next(&p->b, &r));
    ky_channel_drop(&p->b);
    assert_true(next(&p->b, &r)); /* the others are untouched */
    assert_int_equal(r.tag, 1);
    assert_true(holds(&p->b.in, secret, sizeof(secret)));
    assert_true(next(&p->b, &r));
    assert_false(next(&p->b, &r));
    ky_channel_drop(&p->b);
    assert_false(holds(&p->b.in, secret, sizeof(secret)));
    ky_channel_drop(&p->b);
}

static void test_busy_queues_nothing(void **state)
{
    struct pair *p = *state;
    struct ky_channel c;
    ky_channel_init(&c, p->fds[0], 3 * (KY_RECORD_HEADER + 1));
    const struct door_cancel m = {0};
    for (int i = 0; i < 3; i++)
        EXPECT(KY_OK, ky_channel_send(&c, &door_cancel_schema, &m, 1, 0));
    size_t full = c.out.len;
    EXPECT(KY_BUSY, ky_channel_send(&c, &door_cancel_schema, &m, 1, 0));
    assert_int_equal(c.out.len, full);
    EXPECT(KY_OK, ky_channel_flush(&c));
    EXPECT(KY_OK, ky_channel_send(&c, &door_cancel_schema, &m, 2, 0));

    /* room that is already written is room again */
    c.sent = c.out.len;
    for (int i = 0; i < 3; i++)
        EXPECT(KY_OK, ky_channel_send(&c, &door_cancel_schema, &m, 3, 0));
    EXPECT(KY_BUSY, ky_channel_send(&c, &door_cancel_schema, &m, 3, 0));
    ky_channel_wipe(&c);
}

static void test_refused_message_queues_nothing(void **state)
{
    struct pair *p = *state;
    const struct door_tx_ref m = {.relying_party = TEXT("bad\x01")};
    EXPECT(KY_INVALID, ky_channel_send(&p->a, &door_tx_wait_schema, &m, 1, 0));
    assert_false(ky_channel_has_output(&p->a));
    const struct door_cancel good = {0};
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_cancel_schema, &good, 1, 0));
}

static void test_peer_gone(void **state)
{
    struct pair *p = *state;
    const struct door_cancel m = {0};
    EXPECT(KY_OK, ky_channel_send(&p->a, &door_cancel_schema, &m, 1, 0));
    EXPECT(KY_OK, ky_channel_flush(&p->a));
    close(p->fds[0]);
    p->fds[0] = -1;
    struct ky_record r;
    EXPECT(KY_OK, ky_channel_read(&p->b)); /* what it said before it went is still heard */
    assert_true(next(&p->b, &r));
    EXPECT(KY_UNAVAILABLE, ky_channel_read(&p->b));
    EXPECT(KY_OK, ky_channel_send(&p->b, &door_cancel_schema, &m, 1, 0));
    EXPECT(KY_UNAVAILABLE, ky_channel_flush(&p->b)); /* and no SIGPIPE */
}

static void test_bad_descriptor(void **state)
{
    (void)state;
    struct ky_channel c;
    ky_channel_init(&c, -1, 100);
    const struct door_cancel m = {0};
    EXPECT(KY_IO, ky_channel_read(&c));
    EXPECT(KY_OK, ky_channel_flush(&c));
    EXPECT(KY_OK, ky_channel_send(&c, &door_cancel_schema, &m, 1, 0));
    EXPECT(KY_IO, ky_channel_flush(&c));
    ky_channel_wipe(&c);
}

static void test_clocks(void **state)
{
    (void)state;
    uint64_t before = ky_now_us();
    assert_true(ky_now_us() >= before);
    assert_true(ky_wall_us() > UINT64_C(1600000000) * 1000000);
}

#define WITH_PAIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_header_layout),
        WITH_PAIR(test_batch),
        WITH_PAIR(test_records_of_one_read_lie_side_by_side),
        WITH_PAIR(test_byte_by_byte),
        WITH_PAIR(test_parted_anywhere),
        cmocka_unit_test(fault_01_bad_headers),
        WITH_PAIR(test_largest_record),
        WITH_PAIR(test_untaken_records_are_bounded),
        WITH_PAIR(test_what_passed_is_wiped),
        WITH_PAIR(test_busy_queues_nothing),
        WITH_PAIR(test_refused_message_queues_nothing),
        WITH_PAIR(test_peer_gone),
        cmocka_unit_test(test_bad_descriptor),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
