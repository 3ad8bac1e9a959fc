/* SPDX-License-Identifier: Apache-2.0 */
/* The mechanism table and the probe. Runs at start on the main thread; the look-ups on any. */
#include "mechanism.h"

#include <stdio.h>
#include <string.h>

/*
 * Named curves: X9.62 prime256v1, SEC 2 secp384r1; PKCS#11 3.0 s.2.3.10 names edwards25519 by
 * PrintableString.
 */
static const uint8_t params_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t params_p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t params_ed25519[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r',
                                         'd',  's',  '2', '5', '5', '1', '9'};

#define CURVE(p) .params = (p), .params_len = sizeof(p)

static const struct hsm_mechanism mechanisms[KY_KEY_TYPE_COUNT] = {
    [KY_KEY_P256] = {CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CURVE(params_p256)},
    [KY_KEY_P384] = {CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CURVE(params_p384)},
    [KY_KEY_RSA2048] = {CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, NULL, 0},
    [KY_KEY_RSA3072] = {CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, NULL, 0},
    [KY_KEY_RSA4096] = {CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, NULL, 0},
    [KY_KEY_ED25519] = {CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA,
                        CURVE(params_ed25519)},
};

static const struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
} pss_hashes[KY_HASH_COUNT] = {
    [KY_SHA256] = {CKM_SHA256, CKG_MGF1_SHA256},
    [KY_SHA384] = {CKM_SHA384, CKG_MGF1_SHA384},
    [KY_SHA512] = {CKM_SHA512, CKG_MGF1_SHA512},
};

const struct hsm_mechanism *hsm_mechanism(uint8_t key_type)
{
    return key_type == KY_KEY_NONE || key_type >= KY_KEY_TYPE_COUNT ? NULL : &mechanisms[key_type];
}

static bool can(const struct hsm_module *m, CK_MECHANISM_TYPE type, CK_FLAGS need, CK_ULONG bits)
{
    CK_MECHANISM_INFO info;

    if (m->fn->C_GetMechanismInfo(m->slot, type, &info) != CKR_OK || (info.flags & need) != need)
        return false;
    return bits == 0 || (info.ulMinKeySize <= bits && bits <= info.ulMaxKeySize);
}

void hsm_caps_probe(const struct hsm_module *m, struct hsm_caps *out)
{
    struct hsm_caps caps = {.pss = can(m, CKM_RSA_PKCS_PSS, CKF_SIGN, 0)};

    if (can(m, CKM_AES_KEY_WRAP_PAD, CKF_WRAP | CKF_UNWRAP, 0))
        caps.wrap = CKM_AES_KEY_WRAP_PAD;
    for (uint8_t t = 1; t < KY_KEY_TYPE_COUNT; t++) {
        const struct hsm_mechanism *mech = hsm_mechanism(t);
        /* Tokens disagree whether edwards25519 has 255 or 256 bits. */
        CK_ULONG bits = t == KY_KEY_ED25519 ? 0 : ky_key_info(t)->bits;

        if (!can(m, mech->keygen, CKF_GENERATE_KEY_PAIR, bits) ||
            !can(m, mech->sign, CKF_SIGN, bits))
            continue;
        caps.key_types |= 1u << t;
        /*
         * No token met so far wraps Edwards keys; the pairwise test would refuse one that tries and
         * fails.
         */
        if (caps.wrap != 0 && t != KY_KEY_ED25519)
            caps.wrappable |= 1u << t;
    }
    *out = caps;
}

void hsm_sign_mechanism_set(uint8_t key_type, const struct ky_algorithm *a,
                            struct hsm_sign_mechanism *out)
{
    *out = (struct hsm_sign_mechanism){.mechanism.mechanism = hsm_mechanism(key_type)->sign};
    if (a->scheme != KY_RSA_PSS)
        return;
    out->pss = (CK_RSA_PKCS_PSS_PARAMS){
        .hashAlg = pss_hashes[a->hash].hash,
        .mgf = pss_hashes[a->mgf_hash != 0 ? a->mgf_hash : a->hash].mgf,
        .sLen = a->salt_len,
    };
    out->mechanism = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &out->pss, sizeof(out->pss)};
}

static void describe_set(uint32_t set, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (uint8_t t = 1; t < KY_KEY_TYPE_COUNT && len < cap; t++) {
        if (set & (1u << t))
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len > 0 ? "," : "",
                                    ky_key_info(t)->name);
    }
}

void hsm_caps_describe(const struct hsm_caps *caps, char *out, size_t cap)
{
    char types[80];
    char wrappable[80];

    describe_set(caps->key_types, types, sizeof(types));
    describe_set(caps->wrappable, wrappable, sizeof(wrappable));
    (void)snprintf(out, cap, "key-types=%s wrappable=%s pss=%d", types, wrappable,
                   caps->pss ? 1 : 0);
}
