/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf messages of the three services, each way. Input: which, then a request's bytes or a
 * record that answers it. What our reader takes, protobuf-c takes and understands alike; it needs
 * no memory but the arena (P14), and what it becomes is a record that is taken. An answer from the
 * authority becomes a message that any client can read.
 */
#include <string.h>

#include "fuzz.h"
#include "kyso/record.h"
#include "requests.h"

struct room { /* kept, and empty between inputs */
    struct ky_arena arena;
    struct ky_buf scratch, packed, again;
};

static struct room *room(void)
{
    static struct room *r;

    if (r == NULL) {
        r = calloc(1, sizeof(*r));
        FUZZ_CHECK(r != NULL && ky_ok(ky_arena_init(&r->arena, KY_ARENA_MAX)));
        r->scratch = r->packed = r->again = KY_BUF_INIT(4u * 1024u * 1024u);
    }
    ky_arena_reset(&r->arena);
    ky_buf_reset(&r->scratch);
    ky_buf_reset(&r->packed);
    ky_buf_reset(&r->again);
    return r;
}

static void pack(const ProtobufCMessage *m, struct ky_buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *at = ky_buf_grow(out, n);

    FUZZ_CHECK(n == 0 || at != NULL);
    FUZZ_CHECK(n == 0 || protobuf_c_message_pack(m, at) == n);
}

/* What protobuf-c makes of the same bytes is the same message. */
static void check_as_others_read(struct room *r, const ProtobufCMessageDescriptor *d,
                                 struct ky_span in)
{
    ProtobufCMessage *theirs = protobuf_c_message_unpack(d, NULL, in.len, in.data);

    FUZZ_CHECK(theirs != NULL);
    ky_buf_reset(&r->again);
    pack(theirs, &r->again);
    FUZZ_CHECK(ky_span_eq(ky_buf_span(&r->again), ky_buf_span(&r->packed)));
    protobuf_c_message_free_unpacked(theirs, NULL);
}

static ProtobufCMessage *unpack(struct room *r, const ProtobufCMessageDescriptor *d,
                                struct ky_span in)
{
    ProtobufCMessage *m = NULL;
    size_t heap = fuzz_heap();
    struct ky_status st = ky_pb_unpack(&r->arena, d, in, &m);

    FUZZ_CHECK(fuzz_heap() == heap && r->arena.used <= r->arena.cap);
    if (!ky_ok(st))
        return NULL;
    pack(m, &r->packed);
    check_as_others_read(r, d, in);
    return m;
}

static void request(struct room *r, const struct method *m, struct ky_span in)
{
    static const uint8_t spki[KY_SPKI_HASH_LEN] = {1};
    static _Alignas(max_align_t) uint8_t twin[sizeof(union method_request)];
    struct convert conv = {.arena = &r->arena, .scratch = &r->scratch, .spki = spki, .uid = 1};
    union method_request record = {0};
    ProtobufCMessage *pb = unpack(r, m->request, in);
    struct ky_status st;

    if (pb == NULL)
        return;
    st = m->to_record(&conv, pb, &record);
    FUZZ_CHECK(ky_ok(st) || st.code == KY_INVALID || st.code == KY_NOMEM);
    FUZZ_CHECK(st.code != KY_INVALID || conv.why != NULL);
    ky_buf_reset(&r->again);
    if (!ky_ok(st) || !ky_ok(ky_msg_encode(m->record, &record, &r->again)))
        return;
    FUZZ_CHECK(ky_ok(ky_msg_decode(m->record, ky_buf_span(&r->again), twin)));
}

static void answer(struct room *r, const struct method *m, struct ky_reader *in)
{
    struct convert conv = {
        .arena = &r->arena, .scratch = &r->scratch, .encoding = ky_get_u8(in) % 3};
    union method_reply record;
    ProtobufCMessage *pb = NULL, *theirs;
    size_t heap = fuzz_heap();

    if (!ky_ok(ky_msg_decode(m->reply, fuzz_rest(in), &record)))
        return;
    struct ky_status st = m->from_record(&conv, &record, &pb);
    FUZZ_CHECK(fuzz_heap() <= heap + KY_ARENA_MAX);
    if (!ky_ok(st))
        return;
    pack(pb, &r->packed);
    theirs = protobuf_c_message_unpack(pb->descriptor, NULL, r->packed.len, r->packed.data);
    FUZZ_CHECK(theirs != NULL);
    protobuf_c_message_free_unpacked(theirs, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_reader in = ky_reader(KY_SPAN(data, size));
    uint8_t which = ky_get_u8(&in);
    bool reply = (which & 0x80) != 0;
    struct room *r = room();

    which &= 0x7f;
    if (which >= FUZZ_COUNT(fuzz_requests)) {
        which = (uint8_t)((which - FUZZ_COUNT(fuzz_requests)) % FUZZ_COUNT(fuzz_messages));
        (void)unpack(r, fuzz_messages[which], fuzz_rest(&in));
        return 0;
    }
    const struct method *m = method_find(fuzz_requests[which].door, fuzz_requests[which].path);
    FUZZ_CHECK(m != NULL);
    if (m->record != NULL && reply)
        answer(r, m, &in);
    else if (m->record != NULL)
        request(r, m, fuzz_rest(&in));
    return 0;
}
