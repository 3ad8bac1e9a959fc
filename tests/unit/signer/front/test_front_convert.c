/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions without sockets: what becomes of each field, which of them are refused and by what
 * name, and that a record that does not add up never becomes a reply.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kyso/alg.h"
#include "kyso/tx.h"
#include "kyso/v1/approver.pb-c.h"
#include "kyso/v1/operator.pb-c.h"
#include "kyso/v1/signer.pb-c.h"
#include "kyso/wire.h"
#include "method.h"

struct fixture {
    struct ky_arena arena;
    struct ky_buf scratch;
    struct convert conv;
    union method_request record;
    uint8_t spki[KY_SPKI_HASH_LEN];
    uint8_t digests[3 * KY_DIGEST_MAX];
    ProtobufCBinaryData hashes[KY_HASHES_MAX + 1];
    Kyso__V1__PssParameters pss;
    Kyso__V1__Algorithm algorithm;
    Kyso__V1__SignatureRequest request;
    Kyso__V1__TotpProof totp;
    Kyso__V1__ApprovalProof approval;
    Kyso__V1__SignRequest sign;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    assert_true(ky_ok(ky_arena_init(&f.arena, KY_ARENA_MAX)));
    f.scratch = KY_BUF_INIT(65536);
    memset(f.spki, 0x51, sizeof(f.spki));
    f.conv =
        (struct convert){.arena = &f.arena, .scratch = &f.scratch, .spki = f.spki, .uid = 1000};
    for (size_t i = 0; i < sizeof(f.digests); i++)
        f.digests[i] = (uint8_t)i;
    for (size_t i = 0; i < 2; i++)
        f.hashes[i] = (ProtobufCBinaryData){.len = 32, .data = f.digests + 32 * i};
    f.pss = (Kyso__V1__PssParameters)KYSO__V1__PSS_PARAMETERS__INIT;
    f.algorithm = (Kyso__V1__Algorithm)KYSO__V1__ALGORITHM__INIT;
    f.algorithm.scheme = KYSO__V1__SIGNATURE_SCHEME__SIGNATURE_SCHEME_ECDSA;
    f.algorithm.hash = KYSO__V1__HASH_ALGORITHM__HASH_ALGORITHM_SHA256;
    f.request = (Kyso__V1__SignatureRequest)KYSO__V1__SIGNATURE_REQUEST__INIT;
    f.request.relying_party = strcpy((char *)ky_arena_alloc(&f.arena, 8), "bank");
    f.request.credential_id = strcpy((char *)ky_arena_alloc(&f.arena, 8), "cred-1");
    f.request.display_text = strcpy((char *)ky_arena_alloc(&f.arena, 8), "Pay");
    f.request.algorithm = &f.algorithm;
    f.request.hashes = f.hashes;
    f.request.n_hashes = 2;
    f.totp = (Kyso__V1__TotpProof)KYSO__V1__TOTP_PROOF__INIT;
    f.totp.code = strcpy((char *)ky_arena_alloc(&f.arena, 8), "123456");
    f.approval = (Kyso__V1__ApprovalProof)KYSO__V1__APPROVAL_PROOF__INIT;
    f.approval.transaction_id = strcpy((char *)ky_arena_alloc(&f.arena, 8), "tx-1");
    f.approval.authenticator_id = strcpy((char *)ky_arena_alloc(&f.arena, 8), "dev-1");
    f.approval.signature = f.hashes[0];
    f.sign = (Kyso__V1__SignRequest)KYSO__V1__SIGN_REQUEST__INIT;
    f.sign.request_id = strcpy((char *)ky_arena_alloc(&f.arena, 8), "r-1");
    f.sign.request = &f.request;
    f.sign.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_TOTP;
    f.sign.totp = &f.totp;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ky_arena_wipe(&f->arena);
    ky_buf_free(&f->scratch);
    return 0;
}

static enum ky_code sign(struct fixture *f)
{
    memset(&f->record, 0, sizeof(f->record));
    f->conv.why = NULL;
    return signer_sign_in(&f->conv, &f->sign.base, &f->record).code;
}

#define assert_refused(f, text)                                                                    \
    do {                                                                                           \
        assert_int_equal(sign(f), KY_INVALID);                                                     \
        assert_non_null(strstr((f)->conv.why, text));                                              \
    } while (0)

static void test_request_signature(void **state)
{
    struct fixture *f = *state;
    Kyso__V1__RequestSignature s = KYSO__V1__REQUEST_SIGNATURE__INIT;

    f->sign.request_signature = &s;
    s.signature = f->hashes[0];
    assert_refused(f, "request_signature.expires");
    s.expires = 1800000000;
    assert_int_equal(sign(f), KY_OK);
    assert_true(ky_span_eq(f->record.tx.request_signature, KY_SPAN(f->digests, 32)));
    assert_int_equal(f->record.tx.expires_s, 1800000000);
    s.signature.len = 0;
    assert_refused(f, "request_signature.signature");
}

static void test_sign_with_totp(void **state)
{
    struct fixture *f = *state;
    const struct door_tx *r = &f->record.tx;

    f->algorithm.encoding = KYSO__V1__SIGNATURE_ENCODING__SIGNATURE_ENCODING_RAW;
    assert_int_equal(sign(f), KY_OK);
    assert_memory_equal(r->spki, f->spki, sizeof(f->spki));
    assert_true(ky_span_eq(r->request_id, ky_span_text("r-1")));
    assert_true(ky_span_eq(r->relying_party, ky_span_text("bank")));
    assert_true(ky_span_eq(r->credential_id, ky_span_text("cred-1")));
    assert_true(ky_span_eq(r->display_text, ky_span_text("Pay")));
    assert_true(ky_span_eq(r->hashes, KY_SPAN(f->digests, 64)));
    assert_true(ky_span_eq(r->proof_secret, ky_span_text("123456")));
    assert_int_equal(r->scheme, KY_ECDSA);
    assert_int_equal(r->hash, KY_SHA256);
    assert_int_equal(r->proof, KY_PROOF_TOTP);
    assert_int_equal(f->conv.encoding, 1);
    assert_int_equal(f->conv.hashes, 2);
}

static void test_hash_rules(void **state)
{
    struct fixture *f = *state;
    static const size_t wrong[] = {0, 20, 31, 33, 48, 64, 65};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        f->hashes[1].len = wrong[i];
        assert_refused(f, "request.hashes");
    }
    f->hashes[1] = f->hashes[0];
    assert_refused(f, "twice");
    f->request.n_hashes = 0;
    assert_refused(f, "request.hashes");
    f->request.n_hashes = KY_HASHES_MAX + 1;
    assert_refused(f, "request.hashes");
    /* equal in the first eight bytes only: not a repeat */
    f->request.n_hashes = 2;
    memcpy(f->digests + 32, f->digests, 8);
    f->hashes[1] = (ProtobufCBinaryData){.len = 32, .data = f->digests + 32};
    assert_int_equal(sign(f), KY_OK);
}

static void test_algorithm_rules(void **state)
{
    struct fixture *f = *state;

    f->algorithm.pss = &f->pss;
    assert_refused(f, "pss");
    f->algorithm.scheme = KYSO__V1__SIGNATURE_SCHEME__SIGNATURE_SCHEME_RSA_PSS;
    f->pss.salt_length = 20;
    assert_int_equal(sign(f), KY_OK);
    assert_int_equal(f->record.tx.salt_len, 20);
    f->pss.salt_length = 65536 + 20; /* does not wrap into 20 */
    assert_refused(f, "salt_length");
    f->algorithm.pss = NULL;
    assert_refused(f, "pss");
    f->algorithm.scheme = KYSO__V1__SIGNATURE_SCHEME__SIGNATURE_SCHEME_UNSPECIFIED;
    assert_refused(f, "scheme");
    f->request.algorithm = NULL;
    assert_refused(f, "algorithm");
}

static void test_proof_rules(void **state)
{
    struct fixture *f = *state;
    char long_code[] = "12345678901234567";

    f->totp.code = long_code;
    assert_refused(f, "totp.code");
    long_code[16] = '\0'; /* wrong, and the authority's to count */
    assert_int_equal(sign(f), KY_OK);
    f->sign.proof_case = KYSO__V1__SIGN_REQUEST__PROOF__NOT_SET;
    assert_refused(f, "proof");
    f->sign.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_SAD;
    f->sign.sad = (ProtobufCBinaryData){.len = 31, .data = f->digests};
    assert_refused(f, "sad");
    f->sign.sad.len = 32;
    assert_int_equal(sign(f), KY_OK);
    assert_int_equal(f->record.tx.proof, KY_PROOF_SAD);
    f->sign.proof_case = KYSO__V1__SIGN_REQUEST__PROOF_APPROVAL;
    f->sign.approval = &f->approval;
    assert_int_equal(sign(f), KY_OK);
    assert_true(ky_span_eq(f->record.tx.transaction_id, ky_span_text("tx-1")));
    f->approval.signature.len = 0;
    assert_refused(f, "approval.signature");
}

static void test_authorize_names_a_transaction(void **state)
{
    struct fixture *f = *state;
    Kyso__V1__AuthorizeRequest m = KYSO__V1__AUTHORIZE_REQUEST__INIT;
    char id[] = "tx-1", other[] = "tx-2";

    m.request_id = f->sign.request_id;
    m.proof_case = KYSO__V1__AUTHORIZE_REQUEST__PROOF_TOTP;
    m.totp = &f->totp;
    assert_int_equal(signer_authorize_in(&f->conv, &m.base, &f->record).code, KY_INVALID);
    m.transaction_id = id;
    assert_int_equal(signer_authorize_in(&f->conv, &m.base, &f->record).code, KY_INVALID);
    Kyso__V1__SignatureRequest who = KYSO__V1__SIGNATURE_REQUEST__INIT;
    who.relying_party = id; /* all that a pending transaction needs besides its name */
    m.request = &who;
    assert_true(ky_ok(signer_authorize_in(&f->conv, &m.base, &f->record)));
    assert_int_equal(f->record.tx.hashes.len, 0);
    m.proof_case = KYSO__V1__AUTHORIZE_REQUEST__PROOF_APPROVAL;
    m.approval = &f->approval;
    assert_true(ky_ok(signer_authorize_in(&f->conv, &m.base, &f->record)));
    m.transaction_id = other;
    assert_int_equal(signer_authorize_in(&f->conv, &m.base, &f->record).code, KY_INVALID);
}

static void test_operate_packs_signatures(void **state)
{
    struct fixture *f = *state;
    Kyso__V1__ExecuteRequest m = KYSO__V1__EXECUTE_REQUEST__INIT;
    Kyso__V1__OperatorSignature s = KYSO__V1__OPERATOR_SIGNATURE__INIT;
    Kyso__V1__OperatorSignature *all[] = {&s, &s};
    char name[] = "op-1";
    struct ky_reader r;

    s.operator_id = name;
    s.signature = f->hashes[0];
    m.operation = f->hashes[1];
    m.signatures = all;
    m.n_signatures = 2;
    assert_true(ky_ok(operator_execute_in(&f->conv, &m.base, &f->record)));
    assert_int_equal(f->record.operate.uid, 1000);
    r = ky_reader(f->record.operate.signatures);
    for (int i = 0; i < 2; i++) {
        assert_true(ky_span_eq(ky_get_bytes(&r, 64), ky_span_text("op-1")));
        assert_true(ky_span_eq(ky_get_bytes(&r, 64), KY_SPAN(f->digests, 32)));
    }
    assert_true(ky_reader_done(&r));
}

static void test_signatures_out(void **state)
{
    struct fixture *f = *state;
    union method_reply in = {.sign = {.count = 2, .sig_len = 64, .scheme = KY_ECDSA}};
    ProtobufCMessage *out;
    const Kyso__V1__SignReply *m;

    in.sign.signatures = KY_SPAN(f->digests, 128);
    assert_true(ky_ok(signer_sign_out(&f->conv, &in, &out)));
    m = (const void *)out;
    assert_int_equal(m->n_signatures, 2);
    assert_int_equal(m->signatures[0].data[0], 0x30); /* DER is the default */
    f->conv.encoding = 1;
    assert_true(ky_ok(signer_sign_out(&f->conv, &in, &out)));
    m = (const void *)out;
    assert_ptr_equal(m->signatures[1].data, f->digests + 64);
    in.sign.count = 3; /* would read past the end */
    assert_int_equal(signer_sign_out(&f->conv, &in, &out).code, KY_CORRUPT);
    in.sign.count = 0;
    assert_int_equal(signer_sign_out(&f->conv, &in, &out).code, KY_CORRUPT);
}

static void test_corrupt_lists_out(void **state)
{
    struct fixture *f = *state;
    static const uint8_t cut[] = {9, 0, 0, 0, 1, 2};
    union method_reply in = {.list = {.items = KY_SPAN_OF(cut)}};
    ProtobufCMessage *out;

    assert_false(ky_ok(signer_list_out(&f->conv, &in, &out)));
    assert_false(ky_ok(approver_list_out(&f->conv, &in, &out)));
    in = (union method_reply){.tx = {.sad = KY_SPAN_OF(cut)}};
    assert_int_equal(signer_tx_out(&f->conv, &in, &out).code, KY_CORRUPT);
}

static void test_doors_know_their_own(void **state)
{
    (void)state;
    assert_non_null(method_find(KY_DOOR_SIGNER, "/kyso.v1.Signer/Sign"));
    assert_null(method_find(KY_DOOR_APPROVER, "/kyso.v1.Signer/Sign"));
    assert_null(method_find(KY_DOOR_OPERATOR, "/kyso.v1.Signer/Sign"));
    assert_non_null(method_find(KY_DOOR_APPROVER, "/kyso.v1.Approver/Approve"));
    assert_null(method_find(KY_DOOR_SIGNER, "/kyso.v1.Approver/Approve"));
    assert_non_null(method_find(KY_DOOR_OPERATOR, "/kyso.v1.Operator/Execute"));
    assert_null(method_find(KY_DOOR_SIGNER, "/kyso.v1.Operator/Execute"));
    for (enum ky_door d = KY_DOOR_SIGNER; d <= KY_DOOR_OPERATOR; d++)
        assert_non_null(method_find(d, "/grpc.health.v1.Health/Check"));
    assert_string_equal(method_service(KY_DOOR_APPROVER, 0), "kyso.v1.Approver");
    assert_null(method_service(KY_DOOR_APPROVER, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sign_with_totp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hash_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_algorithm_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proof_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authorize_names_a_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operate_packs_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signatures_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_corrupt_lists_out, setup, teardown),
        cmocka_unit_test(test_doors_know_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
