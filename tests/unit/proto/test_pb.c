/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading of protobuf and the arena: what is refused (faults 3 to 7, 11; P14), and that what
 * any client's encoder may send is not.
 */
#include "kyso/grpc.h"

#include "kyso/v1/approver.pb-c.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/operator.pb-c.h"
#include "kyso/v1/signer.pb-c.h"
#include "proto_test.h"
#include "shapes.pb-c.h"

static struct ky_arena arena;

static int setup(void **state)
{
    (void)state;
    return ky_ok(ky_arena_init(&arena, KY_ARENA_MAX)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ky_arena_wipe(&arena);
    ky_arena_wipe(&arena);
    return 0;
}

/* From a copy of exactly that length, which is gone before the message is used. */
static struct ky_status unpack(struct ky_span in, ProtobufCMessage **out)
{
    uint8_t *tight = tight_copy(in);
    ky_arena_reset(&arena);
    struct ky_status st =
        ky_pb_unpack(&arena, &kyso__test__shapes__descriptor, KY_SPAN(tight, in.len), out);
    free(tight);
    return st;
}

static enum ky_code unpack_hex(const char *hex)
{
    uint8_t in[256];
    ProtobufCMessage *m;
    return unpack(KY_SPAN(in, from_hex(hex, in, sizeof(in))), &m).code;
}

static const char *const good[] = {
    "",
    "08 01",
    "08 ffffffff0f", /* uint32 max */
    "08 818080808000",
    "8800 01",                 /* not minimal, but with one meaning only */
    "10 ffffffffffffffffff01", /* uint64 max: ten bytes */
    "28 00",
    "28 01",
    "30 00",
    "30 01",
    "30 05",
    "3a 00",
    "3a 03 e1bba3",
    "42 00",
    "42 03 00ff80",
    "4a 00",
    "4a 02 0801",
    "4a 04 4a02 0801",
    "5a 01 61 5a 01 61 5a 00",
    "8001 07",
    "8a01 01 61",
    "9201 00",                           /* each member of the oneof */
    "9a01 00 9a01 02 0801 9a01 02 0801", /* repeated messages, each with its own singular field */
    "10 05 08 01 3a 01 61",              /* any order */
    "a001 ffffffffffffffffff01",
};

static const char *const bad[] = {
    "08", /* truncated value */
    "08 80",
    "08 ffffffff10", /* 2^32 in a uint32 */
    "08 ffffffffffffffffff01",
    "18 8080808008", /* 2^31 in an int32 */
    "18 ffffffff0f",
    "18 ffffffff f7ffffffff01", /* int32 min - 1 */
    "20 8080808010",
    "10 ffffffffffffffffff02",   /* over 64 bits in ten bytes */
    "10 8080808080808080808001", /* eleven bytes */
    "10 80808080808080808080808001",
    "28 02", /* a bool of 2 */
    "30 02",
    "30 06",
    "30 ffffffffffffffffff01", /* enum values that are none */
    "30 8580808010",           /* 5 + 2^32 */
    "70 02",
    "72 02 0502", /* the same, repeated and packed */
    "08 01 08 01",
    "08 01 08 02",
    "20 01 20 02",
    "3a 00 3a 00",
    "42 00 42 00",
    "4a 00 4a 00",
    "28 01 28 01",
    "65 01020304 65 01020304",
    "08 01 10 02 08 01", /* not side by side */
    "8001 07 8001 07",
    "9a01 04 0a00 9a01 00", /* a varint field as bytes, in a repeated message */
    "8001 07 8a01 01 61",
    "8a01 00 9201 00",
    "9201 00 8001 00",
    "00",
    "00 00",
    "02 00",
    "05 00000000",       /* field number 0 */
    "80808080808001 01", /* a tag over 32 bits */
    "8080808080 00",
    "40 01",    /* raw is bytes */
    "0a 01 61", /* wire types that do not fit */
    "0d 01000000",
    "09 0100000000000000",
    "38 01",
    "3d 01000000",
    "60 01",
    "6d 01020304",
    "65 010203",
    "69 01020304050607",
    "0b 0c",
    "4b 4c",
    "0c",
    "4b", /* groups */
    "0e",
    "0f 00",         /* wire types 6 and 7 */
    "a801 01",       /* field 21: unknown */
    "f8ffffff0f 01", /* the highest field number */
    "4a 03 a80101",  /* unknown inside */
    "3a 01",
    "3a 05 61626364",
    "3a ffffffff0f",
    "3a ffffffffffffffffff01", /* lengths past the end */
    "4a 01 08",                /* a value that runs out of its message */
    "4a 02 0a01 61",
    "4a 03 3a02 61",
    "52 01 80",
    "52 06 ffffffff10 01", /* packed: cut, and too large */
    "7a 03 010203",
    "7a 05 0102030405",
    "3a 01 80",
    "3a 01 ff",
    "3a 02 c080",
    "3a 03 eda080",
    "3a 04 f4908080",
    "3a 02 e1bb",
    "3a 03 610062", /* NUL: a C string would lose what follows */
    "5a 01 ff",
    "8a01 01 ff",
    /* well formed, of types that kyso.v1 does not use: int32, sint32, fixed, repeated numbers */
    "18 00",
    "18 ffffffffffffffffff01",
    "18 80808080f8ffffffff01",
    "20 03",
    "20 ffffffff0f",
    "65 01020304",
    "69 0102030405060708",
    "7d 01020304",
    "7a 08 0102030405060708",
    "50 01",
    "50 01 50 02 50 01",
    "52 00",
    "52 03 010203",
    "52 02 0102 50 03",
    "70 05",
    "72 02 0105",
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(good); i++) {
        if (unpack_hex(good[i]) != KY_OK)
            fail_msg("refused: %s", good[i]);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(bad); i++) {
        if (unpack_hex(bad[i]) != KY_INVALID)
            fail_msg("taken: %s", bad[i]);
    }
}

/* Does the oracle read the same bytes in the same way? Packing shows every field. */
static void same_as_protobuf_c(const ProtobufCMessageDescriptor *d, struct ky_span in,
                               const ProtobufCMessage *ours)
{
    static const uint8_t none[1];
    ProtobufCMessage *theirs =
        protobuf_c_message_unpack(d, NULL, in.len, in.len > 0 ? in.data : none);
    assert_non_null(theirs);
    size_t n = protobuf_c_message_get_packed_size(theirs);
    assert_int_equal(protobuf_c_message_get_packed_size(ours), n);
    uint8_t *a = malloc(n + 1), *b = malloc(n + 1);
    assert_true(a != NULL && b != NULL);
    assert_int_equal(protobuf_c_message_pack(ours, a), n);
    assert_int_equal(protobuf_c_message_pack(theirs, b), n);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    protobuf_c_message_free_unpacked(theirs, NULL);
}

static void test_agrees_with_protobuf_c(void **state)
{
    (void)state;
    static const char *const more[] = {
        /* arrays that grow, of texts and of messages */
        "5a 00 5a 01 61 5a 02 6262 5a 00 5a 01 63 5a 00 5a 01 64 5a 00 5a 02 6565",
        "9a01 00 9a01 00 9a01 00 9a01 00 9a01 02 0801",
        "42 00 30 05 28 01",
        "a001 ffffffffffffffffff01",                        /* int64 -1 */
        "9a01 02 0801 9a01 02 0802 9a01 06 4a04 4a02 0809", /* messages in messages */
        "9201 02 3a00",                                     /* the message of a oneof */
    };
    const char *const *lists[] = {good, more};
    const size_t counts[] = {ROWS(good), ROWS(more)};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < counts[k]; i++) {
            uint8_t in[256];
            ProtobufCMessage *m;
            struct ky_span bytes = KY_SPAN(in, from_hex(lists[k][i], in, sizeof(in)));
            if (!ky_ok(unpack(bytes, &m)))
                fail_msg("refused: %s", lists[k][i]);
            same_as_protobuf_c(&kyso__test__shapes__descriptor, bytes, m);
        }
    }
}

static void test_values_arrive(void **state)
{
    (void)state;
    uint8_t in[64];
    ProtobufCMessage *m;
    size_t n = from_hex(
        "08 05 a001 ffffffffffffffffff01 3a 02 6869 42 02 00ff 4a02 0807 5a 00 5a 01 63 8a01 01 62",
        in, sizeof(in));
    EXPECT(KY_OK, unpack(KY_SPAN(in, n), &m));
    const Kyso__Test__Shapes *s = (const Kyso__Test__Shapes *)m;
    assert_true(s->u32 == 5 && s->i64 == -1 && s->child->u32 == 7);
    assert_string_equal(s->text, "hi");
    assert_true(s->raw.len == 2 && s->raw.data[1] == 0xff);
    assert_true(s->n_names == 2 && strcmp(s->names[1], "c") == 0);
    assert_int_equal(s->pick_case, KYSO__TEST__SHAPES__PICK_B);
    assert_string_equal(s->b, "b");
    assert_int_equal(s->base.n_unknown_fields, 0);
}

/* `depth` messages, one in the other. */
static size_t nested(unsigned depth, uint8_t *out, size_t cap)
{
    size_t len = 0;
    for (unsigned i = 0; i < depth; i++) {
        uint8_t prefix[6] = {0x4a};
        size_t n = 1, left = len;
        do {
            prefix[n++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
            left >>= 7;
        } while (left != 0);
        assert_true(len + n <= cap);
        memmove(out + n, out, len);
        memcpy(out, prefix, n);
        len += n;
    }
    return len;
}

static void fault_04_deep_nesting(void **state)
{
    (void)state;
    enum { CAP = 64 * 1024 };
    uint8_t *in = malloc(CAP);
    assert_non_null(in);
    ProtobufCMessage *m;
    EXPECT(KY_OK, unpack(KY_SPAN(in, nested(8, in, CAP)), &m));
    EXPECT(KY_INVALID, unpack(KY_SPAN(in, nested(9, in, CAP)), &m));
    EXPECT(KY_INVALID, unpack(KY_SPAN(in, nested(10000, in, CAP)), &m));
    free(in);
}

/* 64 KiB of unknown fields made protobuf-c allocate 32 781 times; here the first one ends it. */
static void fault_03_many_unknown_fields(void **state)
{
    (void)state;
    uint8_t in[8000 * 3];
    for (size_t i = 0; i < sizeof(in); i += 3)
        memcpy(in + i, "\xa8\x01\x01", 3);
    ProtobufCMessage *m;
    EXPECT(KY_INVALID, unpack(KY_SPAN_OF(in), &m));
    assert_in_range(arena.used, 0, sizeof(Kyso__Test__Shapes) + 16);
}

/* Fields that are allowed but ask for more memory than a request may have. */
static void test_arena_exhausted(void **state)
{
    (void)state;
    static uint8_t in[64 * 1024];
    for (size_t i = 0; i < sizeof(in); i += 2)
        memcpy(in + i, "\x5a\x00", 2); /* 32 768 empty names */
    ProtobufCMessage *m;
    EXPECT(KY_INVALID, unpack(KY_SPAN_OF(in), &m));
    assert_true(arena.exhausted);
    assert_int_equal(unpack_hex("08 01"), KY_OK); /* and the next message is none the worse */
    assert_false(arena.exhausted);
}

static void test_arena(void **state)
{
    (void)state;
    struct ky_arena a;
    EXPECT(KY_INVALID, ky_arena_init(&a, 0));
    EXPECT(KY_INVALID, ky_arena_init(&a, KY_ARENA_MAX + 1));
    EXPECT(KY_OK, ky_arena_init(&a, 100));
    uint8_t *first = ky_arena_alloc(&a, 1);
    uint8_t *second = ky_arena_alloc(&a, 17);
    assert_non_null(first);
    assert_non_null(second);
    assert_true((uintptr_t)second % 16 == 0 && second > first);
    memset(first, 0x5a, 1);
    memset(second, 0x5a, 17);
    assert_null(ky_arena_alloc(&a, SIZE_MAX));
    assert_null(ky_arena_alloc(&a, 53));
    assert_true(a.exhausted);
    assert_non_null(ky_arena_alloc(&a, 52));
    assert_null(ky_arena_alloc(&a, 1));
    ky_arena_reset(&a);
    assert_false(a.exhausted);
    assert_true(first[0] == 0 &&
                ky_span_all_zero(KY_SPAN(second, 17))); /* codes passed through here */
    assert_ptr_equal(ky_arena_alloc(&a, 100), first);
    ky_arena_wipe(&a);
}

/*
 * Every truncation and every single-byte change of a real request: refused or unpacked, never a
 * fault.
 */
static void test_mutations(void **state)
{
    (void)state;
    Kyso__V1__SignRequest req = KYSO__V1__SIGN_REQUEST__INIT;
    Kyso__V1__SignatureRequest what = KYSO__V1__SIGNATURE_REQUEST__INIT;
    Kyso__V1__Algorithm alg = KYSO__V1__ALGORITHM__INIT;
    Kyso__V1__TotpProof totp = KYSO__V1__TOTP_PROOF__INIT;
    uint8_t digest[32] = {1};
    ProtobufCBinaryData hashes[2] = {{32, digest}, {32, digest}};
    alg.scheme = KYSO__V1__SIGNATURE_SCHEME__SIGNATURE_SCHEME_ECDSA;
    alg.hash = KYSO__V1__HASH_ALGORITHM__HASH_ALGORITHM_SHA256;
    what.relying_party = (char *)(uintptr_t) "portal";
    what.credential_id = (char *)(uintptr_t) "c1";
    what.algorithm = &alg;
    what.n_hashes = 2;
    what.hashes = hashes;
    totp.code = (char *)(uintptr_t) "123456";
    req.request_id = (char *)(uintptr_t) "r1";
    req.request = &what;
    req.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_TOTP;
    req.totp = &totp;
    uint8_t wire[256];
    size_t n = protobuf_c_message_pack(&req.base, wire);
    ProtobufCMessage *m;
    EXPECT(KY_OK, ky_pb_unpack(&arena, &kyso__v1__sign_request__descriptor, KY_SPAN(wire, n), &m));
    assert_string_equal(((Kyso__V1__SignRequest *)m)->totp->code, "123456");
    for (size_t len = 0; len < n; len++) {
        uint8_t *tight = tight_copy(KY_SPAN(wire, len));
        ky_arena_reset(&arena);
        (void)!ky_pb_unpack(&arena, &kyso__v1__sign_request__descriptor, KY_SPAN(tight, len), &m)
            .code;
        free(tight);
    }
    for (size_t at = 0; at < n * 256; at++) {
        uint8_t *tight = tight_copy(KY_SPAN(wire, n));
        tight[at / 256] = (uint8_t)at;
        ky_arena_reset(&arena);
        if (ky_ok(ky_pb_unpack(&arena, &kyso__v1__sign_request__descriptor, KY_SPAN(tight, n), &m)))
            same_as_protobuf_c(&kyso__v1__sign_request__descriptor, KY_SPAN(tight, n), m);
        free(tight);
    }
}

/* A field's tag and its zero: the number 0, or nothing at all. */
static size_t zero_of(const ProtobufCFieldDescriptor *f, uint8_t out[6])
{
    uint32_t wire = 0;
    size_t n = 0;

    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES ||
        f->type == PROTOBUF_C_TYPE_MESSAGE)
        wire = 2;
    for (uint32_t tag = f->id << 3 | wire; n == 0 || tag != 0; tag >>= 7)
        out[n++] = (uint8_t)((tag & 0x7f) | (tag > 0x7f ? 0x80 : 0));
    out[n++] = 0;
    return n;
}

struct walk {
    const ProtobufCMessageDescriptor *met[128];
    size_t count;
};

static void meet(struct walk *w, const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->met[i] == d)
            return;
    assert_true(w->count < ROWS(w->met));
    w->met[w->count++] = d;
}

/*
 * The scan knows the types that ours use, and has one bit per field: every field of every message
 * that a caller may send or get must fit, or it would always be refused.
 */
static void test_every_field_of_ours_is_read(void **state)
{
    (void)state;
    const ProtobufCServiceDescriptor *const services[] = {
        &kyso__v1__signer__descriptor,
        &kyso__v1__approver__descriptor,
        &kyso__v1__operator__descriptor,
        &grpc__health__v1__health__descriptor,
    };
    struct walk w = {.count = 0};
    for (size_t i = 0; i < ROWS(services); i++) {
        for (unsigned k = 0; k < services[i]->n_methods; k++) {
            meet(&w, services[i]->methods[k].input);
            meet(&w, services[i]->methods[k].output);
        }
    }
    meet(&w, &kyso__v1__operation__descriptor); /* travels as bytes */
    meet(&w, &kyso__v1__operation_result__descriptor);
    for (size_t i = 0; i < w.count; i++) {
        for (unsigned k = 0; k < w.met[i]->n_fields; k++) {
            const ProtobufCFieldDescriptor *f = &w.met[i]->fields[k];
            uint8_t in[6];
            ProtobufCMessage *m;
            ky_arena_reset(&arena);
            if (!ky_ok(ky_pb_unpack(&arena, w.met[i], KY_SPAN(in, zero_of(f, in)), &m)))
                fail_msg("never read: %s.%s", w.met[i]->name, f->name);
            if (f->type == PROTOBUF_C_TYPE_MESSAGE)
                meet(&w, f->descriptor);
        }
    }
    assert_true(w.count > 40);
}

#define WITH_ARENA(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(test_good),
        WITH_ARENA(test_bad),
        WITH_ARENA(test_agrees_with_protobuf_c),
        WITH_ARENA(test_values_arrive),
        WITH_ARENA(fault_04_deep_nesting),
        WITH_ARENA(fault_03_many_unknown_fields),
        WITH_ARENA(test_arena_exhausted),
        cmocka_unit_test(test_arena),
        WITH_ARENA(test_mutations),
        WITH_ARENA(test_every_field_of_ours_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
