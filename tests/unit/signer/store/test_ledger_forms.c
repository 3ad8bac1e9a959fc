/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint notes and verifier keys, and the whole of what is published read back by a second
 * implementation in Python (check_forms.py), which must also refuse what was changed.
 */
#include "store_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "kyso/alg.h"
#include "ledger_json.h"

#define ORIGIN "ledger.example.vn/kyso"

struct signer {
    uint8_t key_type;
    EVP_PKEY *key;
    uint8_t der[KY_SPKI_MAX];
};

static struct signer new_signer(uint8_t key_type)
{
    struct signer s = {.key_type = key_type};
    s.key =
        key_type == KY_KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
    assert_non_null(s.key);
    return s;
}

static struct ky_span spki_of(struct signer *s)
{
    uint8_t *at = s->der;
    int len = i2d_PUBKEY(s->key, &at);
    assert_true(len > 0 && len <= (int)sizeof(s->der));
    return KY_SPAN(s->der, (size_t)len);
}

/* As a vault does it: 64 raw bytes. */
static void sign_raw(const struct signer *s, struct ky_span body, uint8_t out[64])
{
    uint8_t sig[80];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = s->key_type == KY_KEY_ED25519 ? NULL : EVP_sha256();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, s->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, body.data, body.len), 1);
    EVP_MD_CTX_free(ctx);
    if (s->key_type == KY_KEY_ED25519) {
        memcpy(out, sig, 64);
    } else {
        OK(ky_ecdsa_der_to_raw(KY_SPAN(sig, len), 32, out));
    }
}

static void make_note(struct signer *s, uint64_t size, const uint8_t root[32], struct ky_buf *out)
{
    struct ky_buf body = KY_BUF_INIT(1024);
    uint8_t sig[64];
    checkpoint_body(ky_span_text(ORIGIN), size, root, &body);
    sign_raw(s, ky_buf_span(&body), sig);
    checkpoint_note(ky_buf_span(&body), ky_span_text(ORIGIN), s->key_type, spki_of(s),
                    KY_SPAN_OF(sig), out);
    assert_false(out->failed);
    ky_buf_free(&body);
}

static const uint8_t KEY_TYPES[] = {KY_KEY_ED25519, KY_KEY_P256};

static void a_note_holds_and_no_changed_one_does(void **state)
{
    static const uint8_t root[32] = {0xab, 0xcd};
    (void)state;
    for (size_t i = 0; i < sizeof(KEY_TYPES); i++) {
        struct signer s = new_signer(KEY_TYPES[i]);
        struct signer other = new_signer(KEY_TYPES[i]);
        struct ky_buf note = KY_BUF_INIT(4096);
        struct ky_span name = ky_span_text(ORIGIN);
        uint64_t size = 0;
        uint8_t got[32];
        make_note(&s, UINT64_MAX, root, &note);
        OK(checkpoint_verify(ky_buf_span(&note), name, s.key_type, spki_of(&s), &size, got));
        assert_true(size == UINT64_MAX);
        assert_memory_equal(got, root, 32);
        assert_true(ky_span_eq(checkpoint_origin(ky_buf_span(&note)), name));
        EXPECT(KY_INVALID, checkpoint_verify(ky_buf_span(&note), name, s.key_type, spki_of(&other),
                                             &size, got));
        EXPECT(KY_INVALID, checkpoint_verify(ky_buf_span(&note), ky_span_text("x"), s.key_type,
                                             spki_of(&s), &size, got));
        for (size_t bit = 0; bit < note.len * 8; bit += 3) {
            note.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (ky_ok(checkpoint_verify(ky_buf_span(&note), name, s.key_type, spki_of(&s), &size,
                                        got))) {
                fail_msg("bit %zu changes nothing", bit);
            }
            note.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t len = 0; len < note.len; len++) {
            assert_false(ky_ok(checkpoint_verify(KY_SPAN(note.data, len), name, s.key_type,
                                                 spki_of(&s), &size, got)));
        }
        ky_buf_free(&note);
        EVP_PKEY_free(s.key);
        EVP_PKEY_free(other.key);
    }
}

static void other_signatures_and_extra_lines_are_let_be(void **state)
{
    static const uint8_t root[32] = {1};
    (void)state;
    struct signer s = new_signer(KY_KEY_ED25519);
    struct signer witness = new_signer(KY_KEY_P256);
    struct ky_buf body = KY_BUF_INIT(1024);
    struct ky_buf first = KY_BUF_INIT(4096);
    struct ky_buf note = KY_BUF_INIT(4096);
    uint8_t sig[64];
    uint64_t size = 0;
    uint8_t got[32];
    checkpoint_body(ky_span_text(ORIGIN), 5, root, &body);
    ky_buf_put(&body, "an extension line\n", 18);
    sign_raw(&witness, ky_buf_span(&body), sig);
    checkpoint_note(ky_buf_span(&body), ky_span_text("witness"), KY_KEY_P256, spki_of(&witness),
                    KY_SPAN_OF(sig), &note);
    sign_raw(&s, ky_buf_span(&body), sig);
    checkpoint_note(ky_buf_span(&body), ky_span_text(ORIGIN), KY_KEY_ED25519, spki_of(&s),
                    KY_SPAN_OF(sig), &first);
    ky_buf_put(&note, first.data + body.len + 1, first.len - body.len - 1);
    OK(checkpoint_verify(ky_buf_span(&note), ky_span_text(ORIGIN), KY_KEY_ED25519, spki_of(&s),
                         &size, got));
    OK(checkpoint_verify(ky_buf_span(&note), ky_span_text("witness"), KY_KEY_P256,
                         spki_of(&witness), &size, got));
    assert_int_equal(size, 5);
    ky_buf_free(&body);
    ky_buf_free(&first);
    ky_buf_free(&note);
    EVP_PKEY_free(s.key);
    EVP_PKEY_free(witness.key);
}

/* Signed by the right key and still no checkpoint. */
static void a_signed_text_that_is_no_checkpoint_is_refused(void **state)
{
#define ROOT64 "q80AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    static const char *const bodies[] = {
        ORIGIN "\n05\n" ROOT64 "\n",
        ORIGIN "\n\n" ROOT64 "\n",
        ORIGIN "\n-1\n" ROOT64 "\n",
        ORIGIN "\n+1\n" ROOT64 "\n",
        ORIGIN "\n18446744073709551616\n" ROOT64 "\n",
        ORIGIN "\n1\nq80=\n",
        ORIGIN "\n1\nq80AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n", /* spare bits set */
        "\n1\n" ROOT64 "\n",
        ORIGIN "\n1\n",
    };
    (void)state;
    struct signer s = new_signer(KY_KEY_ED25519);
    uint64_t size = 77;
    uint8_t root[32];
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct ky_buf note = KY_BUF_INIT(4096);
        struct ky_span body = ky_span_text(bodies[i]);
        uint8_t sig[64];
        sign_raw(&s, body, sig);
        checkpoint_note(body, ky_span_text(ORIGIN), KY_KEY_ED25519, spki_of(&s), KY_SPAN_OF(sig),
                        &note);
        EXPECT(KY_INVALID, checkpoint_verify(ky_buf_span(&note), ky_span_text(ORIGIN),
                                             KY_KEY_ED25519, spki_of(&s), &size, root));
        ky_buf_free(&note);
    }
    assert_int_equal(size, 77);
    EVP_PKEY_free(s.key);
}

static void what_does_not_fit_makes_no_note(void **state)
{
    static const uint8_t sig[64] = {1};
    (void)state;
    struct signer s = new_signer(KY_KEY_ED25519);
    const struct {
        const char *name;
        uint8_t key_type;
        size_t sig_len;
    } cases[] = {
        {"two words", KY_KEY_ED25519, 64}, {"a+b", KY_KEY_ED25519, 64},
        {"", KY_KEY_ED25519, 64},          {ORIGIN, KY_KEY_P256, 64},
        {ORIGIN, KY_KEY_RSA2048, 64},      {ORIGIN, KY_KEY_ED25519, 63},
        {ORIGIN "\n", KY_KEY_ED25519, 64}, {"k\u00fd s\u1ed1", KY_KEY_ED25519, 64},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ky_buf note = KY_BUF_INIT(4096);
        checkpoint_note(ky_span_text("body\n"), ky_span_text(cases[i].name), cases[i].key_type,
                        spki_of(&s), KY_SPAN(sig, cases[i].sig_len), &note);
        assert_true(note.failed);
        ky_buf_free(&note);
    }
    EVP_PKEY_free(s.key);
}

/*
 * Source: RFC 8032 s.7.1 test 1's public key, with the C2SP signed-note rule for key ids worked out
 * by hand: SHA-256("example.com/foo" LF 0x01 key)[:4], by sha256sum(1).
 */
static void a_verifier_key_by_the_book(void **state)
{
    static const uint8_t spki[] = {
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0xd7, 0x5a, 0x98,
        0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    struct ky_buf out = KY_BUF_INIT(512);
    (void)state;
    OK(checkpoint_vkey(ky_span_text("example.com/foo"), KY_KEY_ED25519, KY_SPAN_OF(spki), &out));
    ky_buf_put(&out, "", 1);
    assert_string_equal((char *)out.data,
                        "example.com/foo+bf66b263+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea");
    ky_buf_free(&out);
    EXPECT(KY_INVALID,
           checkpoint_vkey(ky_span_text("a b"), KY_KEY_ED25519, KY_SPAN_OF(spki), &out));
    EXPECT(KY_INVALID, checkpoint_vkey(ky_span_text("a"), KY_KEY_P256, KY_SPAN_OF(spki), &out));
}

/* --- a second implementation ----------------------------------------------------------------- */

static FILE *create(const struct bench *b, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", b->folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    return f;
}

static void write_file(const struct bench *b, const char *name, struct ky_span v)
{
    FILE *f = create(b, name);
    assert_int_equal(fwrite(v.data, 1, v.len, f), v.len);
    assert_int_equal(fclose(f), 0);
}

static struct ky_status write_line(void *ctx, struct ky_span leaf, struct ky_span private_data)
{
    struct ky_buf json = KY_BUF_INIT(65536);
    (void)private_data;
    OK(ledger_leaf_to_json(leaf, KY_SPAN(NULL, 0), &json));
    ky_buf_put(&json, "\n", 1);
    assert_int_equal(fwrite(json.data, 1, json.len, ctx), json.len);
    ky_buf_free(&json);
    return KY_STATUS(KY_OK);
}

static bool python_agrees(const struct bench *b)
{
    char command[1024];
    (void)snprintf(command, sizeof(command), "'%s' '%s' '%s' '%s' > '%s/python.out'", KYSO_PYTHON,
                   KYSO_CHECK_FORMS, b->folder, ORIGIN, b->folder);
    int status = system(command);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 1));
    return WEXITSTATUS(status) == 0;
}

static void publish(struct bench *b, struct signer *s)
{
    struct ky_buf note = KY_BUF_INIT(4096);
    struct ky_buf vkey = KY_BUF_INIT(1024);
    uint8_t root[32];
    merkle_root(store_merkle(b->store), root);
    make_note(s, store_ledger_size(b->store), root, &note);
    OK(checkpoint_vkey(ky_span_text(ORIGIN), s->key_type, spki_of(s), &vkey));
    write_file(b, "checkpoint", ky_buf_span(&note));
    write_file(b, "vkey", ky_buf_span(&vkey));
    FILE *f = create(b, "ledger.jsonl");
    OK(store_ledger_read(b->store, 0, 0, write_line, f));
    assert_int_equal(fclose(f), 0);
    ky_buf_free(&note);
    ky_buf_free(&vkey);
}

static void python_verifies_what_we_publish(void **state)
{
    struct bench *b = *state;
    struct ledger_stop stop = {.boot = {1}, .reason = ky_span_text("Nguyễn \"A\"\n")};
    for (size_t i = 0; i < sizeof(KEY_TYPES); i++) {
        struct signer s = new_signer(KEY_TYPES[i]);
        struct signer other = new_signer(KEY_TYPES[i]);
        OK(store_append(b->store, &ledger_stop_schema, &stop, 1767225600999999u, KY_SPAN(NULL, 0),
                        NULL));
        bench_turn(b, 0, 36);
        publish(b, &s);
        assert_true(python_agrees(b));
        struct ky_buf note = KY_BUF_INIT(4096);
        uint8_t root[32];
        merkle_root(store_merkle(b->store), root);
        make_note(&other, store_ledger_size(b->store), root, &note);
        write_file(b, "checkpoint", ky_buf_span(&note));
        assert_false(python_agrees(b)); /* another key */
        ky_buf_reset(&note);
        root[31] ^= 1;
        make_note(&s, store_ledger_size(b->store), root, &note);
        write_file(b, "checkpoint", ky_buf_span(&note));
        assert_false(python_agrees(b)); /* another ledger */
        ky_buf_free(&note);
        EVP_PKEY_free(s.key);
        EVP_PKEY_free(other.key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        cmocka_unit_test(a_note_holds_and_no_changed_one_does),
        cmocka_unit_test(other_signatures_and_extra_lines_are_let_be),
        cmocka_unit_test(a_signed_text_that_is_no_checkpoint_is_refused),
        cmocka_unit_test(what_does_not_fit_makes_no_note),
        cmocka_unit_test(a_verifier_key_by_the_book),
        TEST(python_verifies_what_we_publish),
    };
    return cmocka_run_group_tests_name("ledger_forms", tests, NULL, NULL);
}
