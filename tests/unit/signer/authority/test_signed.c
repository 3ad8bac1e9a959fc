/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that the relying party signs: which need it, that every word and the proof itself is
 * bound, and that a forgery costs the citizen nothing. P19.
 */
#include "world.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
#include <string.h>

struct signing {
    EVP_PKEY *key; /* owned */
    const EVP_MD *md;
    struct ky_span server_id;
    uint8_t signature[80]; /* of the last message signed */
};

static void pin(struct world *w, EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    struct row_client row = authority_client(w->a, BANK)->data;

    assert_true(n > 0);
    row.request_key = KY_SPAN(der, (size_t)n);
    assert_true(ky_ok(authority_row_put(w->a, ROW_CLIENT, BANK, &row, 0, NULL)));
    world_run(w);
    OPENSSL_free(der);
}

static struct signing es256(struct world *w)
{
    struct signing s = {
        .key = EVP_EC_gen("P-256"), .md = EVP_sha256(), .server_id = text("ca.example")};

    assert_non_null(s.key);
    pin(w, s.key);
    return s;
}

static struct ky_span sign_digest(struct signing *s, const uint8_t digest[32])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = sizeof(s->signature);

    assert_int_equal(1, EVP_DigestSignInit(c, NULL, s->md, NULL, s->key));
    assert_int_equal(1, EVP_DigestSign(c, s->signature, &n, digest, 32));
    EVP_MD_CTX_free(c);
    return KY_SPAN(s->signature, n);
}

/* Signs a message as the relying party would before it sends it. */
static void sign(struct world *w, struct signing *s, uint16_t type, struct door_tx *m,
                 uint64_t life_s)
{
    uint8_t digest[32];

    m->expires_s = w->wall_us / 1000000u + life_s;
    const struct ky_tx_fields tx = {.server_id = s->server_id,
                                    .client = text(WORLD_RP),
                                    .relying_party = m->relying_party,
                                    .transaction_id = m->transaction_id,
                                    .credential_id = m->credential_id,
                                    .algorithm = {m->scheme, m->hash, m->mgf_hash, m->salt_len},
                                    .hashes = m->hashes,
                                    .display_text = m->display_text};
    const struct ky_request_fields r = {.type = (uint8_t)type,
                                        .request_id = m->request_id,
                                        .ttl_s = m->ttl_s,
                                        .proof = m->proof,
                                        .authenticator_id = m->authenticator_id,
                                        .proof_secret = m->proof_secret,
                                        .matching_code = m->matching_code,
                                        .proof_signature = m->proof_signature,
                                        .expires_s = m->expires_s};
    ky_request_digest(&tx, &r, digest);
    m->request_signature = sign_digest(s, digest);
}

static void expect_denied(struct world *w, const struct ky_schema *schema, const struct door_tx *m,
                          enum ky_code why)
{
    struct answer got;

    ask(w, FRONT_SIGNER, schema, m, &got);
    assert_denied(w, &got, KY_DENIED, why);
}

static void expect_answer(struct world *w, const struct ky_schema *schema, const struct door_tx *m,
                          uint16_t type, struct answer *got)
{
    ask(w, FRONT_SIGNER, schema, m, got);
    assert_int_equal(type, got->type);
}

static void nothing_is_looked_at_unsigned(void **state)
{
    struct world *w = *state;
    struct signing s = es256(w);
    struct answer got;
    struct ledger_denied record;
    char code[9];
    struct door_tx m = totp_msg(w, "s1", 1, code, 0);
    struct door_tx wrong = m;

    wrong.proof_secret = text("000000");
    for (int i = 0; i < 60; i++) /* more than would lock the citizen, or suspend the client */
        expect_denied(w, &door_sign_schema, &wrong, KY_REQUEST_UNSIGNED);
    expect_denied(w, &door_tx_begin_schema, &m, KY_REQUEST_UNSIGNED);
    expect_denied(w, &door_tx_authorize_schema, &m, KY_REQUEST_UNSIGNED);
    assert_true(ledger_last(w, LEDGER_DENIED, &record));
    assert_int_equal(0, record.charged);
    assert_int_equal(BANK, record.client_row);
    assert_int_equal(0, authority_subject_account(w->a, w->subject_row).lockout.total);
    assert_int_equal(0, ledger_count(w, LEDGER_CLIENT_STATE));
    sign(w, &s, DOOR_SIGN, &m, 120);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got);
    EVP_PKEY_free(s.key);
}

/* P19 */
static void every_word_and_the_proof_are_bound(void **state)
{
    struct world *w = *state;
    struct signing s = es256(w);
    struct answer got;
    char code[9], next[9];
    struct door_tx m = totp_msg(w, "s1", 1, code, 0);

    code_at(w, 1, next);
    sign(w, &s, DOOR_SIGN, &m, 120);
    struct door_tx forged[] = {m, m, m, m, m, m, m, m, m, m};
    forged[0].request_id = text("s2");
    forged[1].credential_id = text(w->credential2);
    forged[2].hashes = sign_msg(w, "s1", 2).hashes;
    forged[3].display_text = text("Hop dong 43");
    forged[4].proof_secret = text(next); /* another live code */
    forged[5].authenticator_id = text(w->totp);
    forged[6].expires_s++;
    forged[7].hash = KY_SHA384;
    forged[8].transaction_id = text("t1");
    forged[9].proof = KY_PROOF_SAD;
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
        expect_denied(w, &door_sign_schema, &forged[i], KY_REQUEST_FORGED);
    expect_denied(w, &door_tx_begin_schema, &m, KY_REQUEST_FORGED); /* another kind of request */
    expect_denied(w, &door_tx_authorize_schema, &m, KY_REQUEST_FORGED);
    assert_int_equal(0, authority_subject_account(w->a, w->subject_row).lockout.total);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got);
    s.server_id = text("another.example"); /* what was signed for another server */
    m = totp_msg(w, "s3", 3, code, 1);
    sign(w, &s, DOOR_SIGN, &m, 120);
    expect_denied(w, &door_sign_schema, &m, KY_REQUEST_FORGED);
    EVP_PKEY_free(s.key);
}

static void it_cannot_be_kept(void **state)
{
    struct world *w = *state;
    struct signing s = es256(w);
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "s1", 1, code, 0);

    sign(w, &s, DOOR_SIGN, &m, 0);
    expect_denied(w, &door_sign_schema, &m, KY_REQUEST_STALE);
    sign(w, &s, DOOR_SIGN, &m, POLICY_REQUEST_LIFE_S + 1);
    expect_denied(w, &door_sign_schema, &m, KY_REQUEST_STALE);
    sign(w, &s, DOOR_SIGN, &m, POLICY_REQUEST_LIFE_S);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got);
    world_advance(w, (uint64_t)POLICY_REQUEST_LIFE_S * 1000000u);
    expect_denied(w, &door_sign_schema, &m,
                  KY_REQUEST_STALE); /* even what is answered from the ledger */
    EVP_PKEY_free(s.key);
}

static void a_repeat_is_answered_as_ever(void **state)
{
    struct world *w = *state;
    struct signing s = es256(w);
    struct answer first, got;
    char code[9];
    struct door_tx m = totp_msg(w, "s1", 1, code, 0);

    sign(w, &s, DOOR_SIGN, &m, 120);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &first);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got); /* the same bytes */
    assert_memory_equal(first.bytes, got.bytes, first.cut);
    sign(w, &s, DOOR_SIGN, &m, 60); /* signed anew */
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got);
    assert_memory_equal(first.bytes, got.bytes, first.cut);
    assert_int_equal(1, ledger_count(w, LEDGER_INTENT));
    m.request_signature.len = 0;
    expect_denied(w, &door_sign_schema, &m, KY_REQUEST_UNSIGNED);
    EVP_PKEY_free(s.key);
}

/* A SAD is worth nothing to who cannot sign; nor can they cancel. */
static void a_sad_and_a_cancel_need_it_too(void **state)
{
    struct world *w = *state;
    struct signing s = {.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
                        .server_id = text("ca.example")};
    struct answer got;
    char code[9];
    struct door_tx m = totp_msg(w, "a1", 1, code, 0);

    pin(w, s.key);
    m.ttl_s = 60;
    sign(w, &s, DOOR_TX_AUTHORIZE, &m, 120);
    expect_answer(w, &door_tx_authorize_schema, &m, DOOR_R_TX, &got);
    struct door_tx spend = sign_msg(w, "s1", 1);
    uint8_t sad[KY_SAD_LEN];
    memcpy(sad, got.tx.sad.data, sizeof(sad));
    spend.proof = KY_PROOF_SAD;
    spend.proof_secret = KY_SPAN_OF(sad);
    expect_denied(w, &door_sign_schema, &spend, KY_REQUEST_UNSIGNED);

    struct door_tx_ref ref = {.relying_party = text(WORLD_RP)};
    char id[TX_ID_LEN + 1] = "";
    memcpy(id, got.tx.transaction_id.data, TX_ID_LEN);
    ref.transaction_id = text(id);
    memcpy(ref.spki, spki_bank, 32);
    ask(w, FRONT_SIGNER, &door_tx_cancel_schema, &ref, &got);
    assert_denied(w, &got, KY_DENIED, KY_REQUEST_UNSIGNED);
    ask(w, FRONT_SIGNER, &door_tx_wait_schema, &ref, &got); /* to look is free */
    assert_int_equal(TX_AUTHORIZED, got.tx.state);
    struct door_tx named = {.relying_party = ref.relying_party,
                            .transaction_id = ref.transaction_id};
    sign(w, &s, DOOR_TX_CANCEL, &named, 120);
    ref.expires_s = named.expires_s;
    ref.request_signature = named.request_signature;
    ask(w, FRONT_SIGNER, &door_tx_cancel_schema, &ref, &got);
    assert_int_equal(TX_CANCELLED, got.tx.state);
    EVP_PKEY_free(s.key);
}

static void who_has_no_key_signs_nothing(void **state)
{
    struct world *w = *state;
    struct signing s = es256(w);
    struct answer got;
    struct door_info info = {.spki = {0}};
    char code[9];
    struct door_tx m = totp_msg(w, "s1", 1, code, 0);

    memcpy(info.spki, spki_bank, 32);
    ask(w, FRONT_SIGNER, &door_info_schema, &info, &got);
    assert_int_equal(1, got.info.signed_requests);
    memcpy(info.spki, spki_other, 32);
    ask(w, FRONT_SIGNER, &door_info_schema, &info, &got);
    assert_int_equal(0, got.info.signed_requests);
    memcpy(m.spki, spki_other,
           32); /* a front that names another client: it reaches only what that one may */
    ask(w, FRONT_SIGNER, &door_sign_schema, &m, &got);
    assert_denied(w, &got, KY_NOT_FOUND, KY_NOT_FOUND);
    memcpy(m.spki, spki_bank, 32);
    struct row_client row = authority_client(w->a, BANK)->data;
    row.request_key.len = 0; /* the operators took the key back */
    assert_true(ky_ok(authority_row_put(w->a, ROW_CLIENT, BANK, &row, 0, NULL)));
    world_run(w);
    expect_answer(w, &door_sign_schema, &m, DOOR_R_SIGN, &got);
    EVP_PKEY_free(s.key);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_looked_at_unsigned),
        TEST(every_word_and_the_proof_are_bound),
        TEST(it_cannot_be_kept),
        TEST(a_repeat_is_answered_as_ever),
        TEST(a_sad_and_a_cancel_need_it_too),
        TEST(who_has_no_key_signs_nothing),
    };

    return cmocka_run_group_tests_name("signed", tests, NULL, NULL);
}
