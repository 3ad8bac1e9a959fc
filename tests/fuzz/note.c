/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed checkpoint notes, Base64, and the anchor. Input: what, the bytes. Signatures are played:
 * one of the note's own lines holds when it begins with GOOD, so that what stands behind a
 * signature is reached too.
 */
#include <openssl/evp.h>
#include <string.h>

#include "base64.h"
#include "checkpoint.h"
#include "fuzz.h"
#include "kyso/alg.h"
#include "store.h"

#define GOOD 'G'

static const uint8_t ed25519_spki[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
                                         0x65, 0x70, 0x03, 0x21, 0x00, 0x42};

int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len)
{
    (void)ctx, (void)text, (void)len;
    return sig_len == 64 && sig[0] == GOOD;
}

/* As the server writes it: read back as what was signed. */
static void check_made(struct ky_span origin, uint64_t size, const uint8_t root[32])
{
    uint8_t signature[64] = {GOOD}, back[32];
    uint64_t n = 0;
    struct ky_buf body = KY_BUF_INIT(CHECKPOINT_NOTE_MAX), note = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);

    checkpoint_body(origin, size, root, &body);
    checkpoint_note(ky_buf_span(&body), origin, KY_KEY_ED25519, KY_SPAN_OF(ed25519_spki),
                    KY_SPAN_OF(signature), &note);
    if (!body.failed && !note.failed) {
        FUZZ_CHECK(ky_ok(checkpoint_verify(ky_buf_span(&note), origin, KY_KEY_ED25519,
                                           KY_SPAN_OF(ed25519_spki), &n, back)));
        FUZZ_CHECK(n == size && ky_span_eq(KY_SPAN_OF(back), KY_SPAN(root, 32)));
        FUZZ_CHECK(ky_span_eq(checkpoint_origin(ky_buf_span(&note)), origin));
    }
    ky_buf_free(&body);
    ky_buf_free(&note);
}

static void verify(struct ky_span note)
{
    struct ky_span origin = checkpoint_origin(note);
    uint8_t root[32];
    uint64_t size = 0;

    if (ky_ok(checkpoint_verify(note, origin, KY_KEY_ED25519, KY_SPAN_OF(ed25519_spki), &size,
                                root)))
        check_made(origin, size, root);
}

static void base64(struct ky_span text)
{
    struct ky_buf bytes = KY_BUF_INIT(text.len), again = KY_BUF_INIT(text.len);

    if (ky_ok(base64_get(text, &bytes))) {
        base64_put(&again, ky_buf_span(&bytes));
        FUZZ_CHECK(!again.failed && ky_span_eq(ky_buf_span(&again), text));
    }
    ky_buf_free(&bytes);
    ky_buf_free(&again);
}

/* The MAC is made right here: who reads an anchor must not fail at its form. */
static void anchor(struct ky_span in)
{
    static const uint8_t zero_key[32];
    static struct ky_secret key;
    struct anchor a;
    uint8_t mac[32];
    struct ky_buf whole = KY_BUF_INIT(in.len + 32), again = KY_BUF_INIT(512);

    if (key.len == 0)
        FUZZ_CHECK(ky_ok(ky_secret_set(&key, KY_SPAN_OF(zero_key))));
    ky_hmac_sha256(KY_SPAN_OF(zero_key), in, mac);
    ky_buf_put(&whole, in.data, in.len);
    ky_buf_put(&whole, mac, sizeof(mac));
    if (ky_ok(anchor_decode(ky_buf_span(&whole), &key, &a))) {
        anchor_encode(&a, &key, &again);
        FUZZ_CHECK(ky_span_eq(ky_buf_span(&again), ky_buf_span(&whole)));
    }
    if (in.len > 0)
        FUZZ_CHECK(!ky_ok(anchor_decode(in, &key, &a)));
    ky_buf_free(&whole);
    ky_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct ky_span) = {verify, base64, anchor};
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    uint8_t what = ky_get_u8(&r);

    if (what % 4 < FUZZ_COUNT(parts)) {
        parts[what % 4](fuzz_rest(&r));
    } else {
        uint64_t n = ky_get_u64(&r);
        struct ky_span root = ky_get_raw(&r, 32);

        if (root.len == 32)
            check_made(fuzz_rest(&r), n, root.data);
    }
    return 0;
}
