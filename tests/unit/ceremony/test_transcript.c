/* SPDX-License-Identifier: Apache-2.0 */
/* The transcript: what was written is read, and no bit of it can be changed, dropped or added. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "sitting.h"

struct world {
    char path[64];
    EVP_PKEY *key;
    uint8_t *whole;
    size_t len;
};

static struct ky_status sign(void *context, const uint8_t digest[32], uint8_t out_sig[64])
{
    uint8_t der[80];
    size_t len = sizeof(der);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(context, NULL);

    assert_int_equal(1, EVP_PKEY_sign_init(ctx));
    assert_int_equal(1, EVP_PKEY_sign(ctx, der, &len, digest, 32));
    EVP_PKEY_CTX_free(ctx);
    return ky_ecdsa_der_to_raw(KY_SPAN(der, len), 32, out_sig);
}

static json_t *zeros(size_t n)
{
    static const uint8_t bytes[32];

    return output_hex(KY_SPAN(bytes, n));
}

static json_t *keys_made(EVP_PKEY *key)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    json_t *spki = output_hex(KY_SPAN(der, (size_t)len));

    OPENSSL_free(der);
    return json_pack("{s:s,s:o,s:s,s:o}", "event", "keys-made", "backup_sha256", zeros(32),
                     "ledger_key_type", "p256", "ledger_key", spki);
}

static void add(struct transcript *t, json_t *fields, EVP_PKEY *signer)
{
    assert_non_null(fields);
    assert_true(ky_ok(transcript_add(t, fields, signer != NULL ? sign : NULL, signer)));
}

static struct ky_status read_back(const struct world *w, bool allow_cut, struct progress *out,
                                  struct transcript *t, const char **error)
{
    *out = (struct progress){.closed = false};
    struct ky_status st = transcript_read(w->path, allow_cut, progress_take, out, t, error);
    hsm_verifier_wipe(&out->verifier);
    return st;
}

static void put(const struct world *w, const uint8_t *bytes, size_t len)
{
    int fd = open(w->path, O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal((ssize_t)len, write(fd, bytes, len));
    (void)close(fd);
}

static int make(void **state)
{
    static struct world w;
    struct transcript t = {.fd = -1};
    struct ky_buf file = KY_BUF_INIT(65536);
    const char list[] = "0000000000000000000000000000000000000000000000000000000000000000";

    (void)snprintf(w.path, sizeof(w.path), "/tmp/kyso-transcript-XXXXXX");
    (void)close(mkstemp(w.path));
    w.key = EVP_EC_gen("P-256");
    assert_true(ky_ok(transcript_open(w.path, &t)));
    add(&t, json_pack("{s:s,s:s,s:o}", "event", "begin", "ceremony", "c", "plan_sha256", zeros(32)), NULL);
    add(&t, json_pack("{s:s,s:i,s:i,s:o,s:[ss],s:[ss]}", "event", "shares-made", "threshold", 2, "custodians", 2,
                      "nonce", zeros(16), "activation", list, list, "backup", list, list), NULL);
    add(&t, json_pack("{s:s}", "event", "custody-whole"), NULL);
    add(&t, keys_made(w.key), NULL);
    add(&t, json_pack("{s:s}", "event", "closed"), w.key);
    transcript_close(&t);
    assert_true(ky_ok(file_read(w.path, 65536, &file)));
    w.whole = file.data;
    w.len = file.len;
    *state = &w;
    return 0;
}

static int unmake(void **state)
{
    struct world *w = *state;

    (void)unlink(w->path);
    EVP_PKEY_free(w->key);
    free(w->whole);
    return 0;
}

static void what_was_written_is_read(void **state)
{
    struct world *w = *state;
    struct progress p;
    struct transcript t;
    const char *error = NULL;

    assert_true(ky_ok(read_back(w, false, &p, &t, &error)));
    assert_true(p.closed && p.keys_made && p.custody_whole && t.ends_signed);
    assert_int_equal(5, t.lines);
    assert_int_equal(2, p.custody.m);
}

/* A bit of each byte, of a length that divides nothing; with KYSO_EVERY_BIT all of them. */
static void every_bit_matters(void **state)
{
    struct world *w = *state;
    uint8_t *changed = malloc(w->len);

    for (size_t bit = 0; bit < w->len * 8; bit += getenv("KYSO_EVERY_BIT") != NULL ? 1 : 9) {
        struct progress p;
        struct transcript t;
        const char *error = NULL;

        memcpy(changed, w->whole, w->len);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        put(w, changed, w->len);
        assert_int_equal(KY_CORRUPT, read_back(w, false, &p, &t, &error).code);
        assert_non_null(error);
    }
    put(w, w->whole, w->len);
    free(changed);
}

static void no_line_can_be_dropped(void **state)
{
    struct world *w = *state;
    uint8_t *rest = malloc(w->len);
    size_t at = 0;

    while (at < w->len) {
        size_t n = (size_t)((uint8_t *)memchr(w->whole + at, '\n', w->len - at) - (w->whole + at)) + 1;
        struct progress p;
        struct transcript t;
        const char *error = NULL;
        struct ky_status st;

        memcpy(rest, w->whole, at);
        memcpy(rest + at, w->whole + at + n, w->len - at - n);
        put(w, rest, w->len - n);
        st = read_back(w, false, &p, &t, &error);
        assert_true(st.code == KY_CORRUPT || (at + n == w->len && !t.ends_signed)); /* verify refuses that */
        at += n;
    }
    put(w, w->whole, w->len);
    free(rest);
}

/* A machine that stops in mid-line: the sitting goes on before it. */
static void test_60_a_line_that_was_being_written_is_cut(void **state)
{
    struct world *w = *state;

    for (size_t cut = 1; cut < 200; cut += 7) {
        struct progress p;
        struct transcript t;
        const char *error = NULL;

        put(w, w->whole, w->len - cut);
        assert_int_equal(KY_CORRUPT, read_back(w, false, &p, &t, &error).code);
        assert_true(ky_ok(read_back(w, true, &p, &t, &error)));
        assert_true(t.cut && !p.closed && t.lines == 4);
        assert_true(ky_ok(read_back(w, false, &p, &t, &error)));
        assert_true(ky_ok(transcript_open(w->path, &t)));
        add(&t, json_pack("{s:s}", "event", "closed"), w->key);
        transcript_close(&t);
        assert_true(ky_ok(read_back(w, false, &p, &t, &error)));
        assert_true(p.closed);
    }
    put(w, w->whole, w->len);
}

static void another_key_cannot_sign(void **state)
{
    struct world *w = *state;
    EVP_PKEY *other = EVP_EC_gen("P-256");
    struct progress p;
    struct transcript t;
    const char *error = NULL;

    assert_true(ky_ok(read_back(w, false, &p, &t, &error)));
    assert_true(ky_ok(transcript_open(w->path, &t)));
    add(&t, json_pack("{s:s}", "event", "drill"), other);
    transcript_close(&t);
    assert_int_equal(KY_CORRUPT, read_back(w, false, &p, &t, &error).code);
    assert_string_equal("has a signature that is not the ledger key's", error);
    EVP_PKEY_free(other);
    put(w, w->whole, w->len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(every_bit_matters),
        cmocka_unit_test(no_line_can_be_dropped),
        cmocka_unit_test(test_60_a_line_that_was_being_written_is_cut),
        cmocka_unit_test(another_key_cannot_sign),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
