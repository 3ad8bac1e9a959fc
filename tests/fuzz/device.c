/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a citizen's device or an operator sends: public keys and signatures over an approval's
 * challenge. Input: key type, the key, the signature. A key that is loaded over another verifies as
 * one that is loaded afresh; ES256 has two spellings of a signature and they are judged alike. The
 * mathematics is played (every tenth signature holds): it is OpenSSL's.
 */
#include <openssl/evp.h>
#include <string.h>

#include "fuzz.h"
#include "kyso/policy.h"

static int verdict(const unsigned char *sig, size_t len)
{
    return len > 0 && sig[len - 1] % 10 == 0;
}

int __wrap_EVP_PKEY_verify(EVP_PKEY_CTX *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len);
int __wrap_EVP_PKEY_verify(EVP_PKEY_CTX *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len)
{
    FUZZ_CHECK(ctx != NULL && digest != NULL && len == 32);
    FUZZ_CHECK(sig_len >= 8 && sig_len <= 72 && sig[0] == 0x30 && sig[1] == sig_len - 2);
    return verdict(sig, sig_len);
}

int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
                            const unsigned char *text, size_t len)
{
    FUZZ_CHECK(ctx != NULL && sig_len == 64 && (text != NULL || len == 0));
    return verdict(sig, sig_len);
}

/* The other spelling of an ES256 signature is judged the same. */
static void check_spellings(struct policy_device_key *key, const uint8_t challenge[32],
                            struct ky_span signature, struct ky_status st)
{
    uint8_t raw[64], der[80];
    size_t n = 0;
    struct ky_span other = KY_SPAN(raw, sizeof(raw));

    if (signature.len == 64 && signature.data[0] != 0x30) {
        if (!ky_ok(ky_ecdsa_raw_to_der(signature, der, sizeof(der), &n)))
            return;
        other = KY_SPAN(der, n);
    } else if (!ky_ok(ky_ecdsa_der_to_raw(signature, 32, raw))) {
        return;
    }
    FUZZ_CHECK(policy_device_verify(key, challenge, other).code == st.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy_device_key *kept[2]; /* by type, loaded again and again */
    static const uint8_t challenge[32] = {1};
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    uint8_t what = ky_get_u8(&r), type = what & 0x7f;
    struct ky_span spki = fuzz_piece(&r), signature = fuzz_rest(&r);
    struct policy_device_key *fresh = NULL, **again = &kept[type % 2];
    struct ky_status st = policy_device_key_load(type, spki, again);

    FUZZ_CHECK(ky_ok(st) == (*again != NULL));
    if ((what & 0x80) != 0) {
        FUZZ_CHECK(policy_device_key_load(type, spki, &fresh).code == st.code);
        FUZZ_CHECK(ky_ok(st) == (fresh != NULL));
    }
    if (ky_ok(st)) {
        st = policy_device_verify(*again, challenge, signature);
        FUZZ_CHECK(ky_ok(st) || st.code == KY_PROOF_MALFORMED || st.code == KY_PROOF_WRONG);
        if (type == POLICY_DEVICE_ES256)
            check_spellings(*again, challenge, signature, st);
        (void)ky_ok(policy_key_verify_message(*again, spki, signature));
    }
    if (fresh != NULL)
        FUZZ_CHECK(policy_device_verify(fresh, challenge, signature).code == st.code);
    policy_device_key_free(&fresh);
    return 0;
}
