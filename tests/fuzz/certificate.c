/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators bring: certificates with their chains, names for certificate requests, revocation lists. Input:
 * which; certificates as pieces, the first the citizen's; or a name; or a list. OpenSSL reads the DER; what we
 * take is whole, of the key, and in force.
 */
#include <string.h>

#include "certificate.h"
#include "crl_list.h"
#include "csr.h"
#include "fuzz.h"

#define NOW_S UINT64_C(1800000000)

static void import(struct ky_reader *r)
{
    struct ky_span chain[CERTIFICATE_CHAIN_MAX + 1];
    struct certificate_import in = {.der = fuzz_piece(r), .chain = chain, .now_s = NOW_S};
    struct certificate_facts facts;
    const char *why = NULL;
    const uint8_t *at = in.der.data;
    X509 *x = d2i_X509(NULL, &at, (long)in.der.len);
    uint8_t *spki = NULL;
    int n = x == NULL ? 0 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);

    in.public_key = KY_SPAN(spki, n > 0 ? (size_t)n : 0);
    while (!r->failed && r->left > 0 && in.chain_len < FUZZ_COUNT(chain))
        chain[in.chain_len++] = fuzz_piece(r);
    if (ky_ok(certificate_check(&in, &facts, &why))) {
        FUZZ_CHECK(x != NULL && at == in.der.data + in.der.len);
        FUZZ_CHECK(facts.not_after_s > NOW_S && facts.not_before_s <= facts.not_after_s);
        FUZZ_CHECK(in.chain_len <= CERTIFICATE_CHAIN_MAX);
    } else {
        FUZZ_CHECK(why != NULL && why[0] != '\0');
    }
    X509_free(x);
    OPENSSL_free(spki);
}

/* A name that is taken is one with a common name, and a request can be made with it. */
static void name(struct ky_span text)
{
    static uint8_t spki[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
                               0x65, 0x70, 0x03, 0x21, 0x00, 0x42};
    struct csr_request request = {
        .public_key = KY_SPAN_OF(spki), .key_type = KY_KEY_ED25519, .subject_dn = text};
    struct ky_buf input = KY_BUF_INIT(CSR_DER_MAX);
    X509_NAME *n = NULL;

    if (ky_ok(dn_parse(text, &n))) {
        FUZZ_CHECK(text.len <= CSR_DN_MAX);
        FUZZ_CHECK(X509_NAME_get_index_by_NID(n, NID_commonName, -1) >= 0);
        FUZZ_CHECK(ky_ok(csr_input(&request, &input)) && input.len > text.len / 3);
    } else {
        FUZZ_CHECK(n == NULL);
    }
    X509_NAME_free(n);
    ky_buf_free(&input);
}

/* Spans stay inside, each entry takes something off, and the issuer's key is not asked here. */
static void list(struct ky_span der)
{
    struct crl_list l;
    struct crl_entry e;
    const EVP_MD *md = NULL;
    const char *why = NULL;

    if (!ky_ok(crl_parse(der, &l, &why))) {
        FUZZ_CHECK(why != NULL && why[0] != '\0');
        return;
    }
    FUZZ_CHECK(l.signed_part.data > der.data && l.signature.data + l.signature.len == der.data + der.len);
    for (size_t left = l.entries.len; crl_next(&l.entries, &e); left = l.entries.len) {
        FUZZ_CHECK(l.entries.len < left && e.serial.len >= 2);
        FUZZ_CHECK(e.serial.data > der.data && e.serial.data + e.serial.len <= der.data + der.len);
    }
    FUZZ_CHECK(ky_ok(crl_algorithm(&l, &md, &why)) == (why == NULL));
    FUZZ_CHECK(!ky_ok(crl_verify(&l, md, KY_SPAN(NULL, 0), KY_SPAN(NULL, 0), &why)) && why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ky_reader r = ky_reader(KY_SPAN(data, size));

    uint8_t which = ky_get_u8(&r);

    if (which == 2)
        list(fuzz_rest(&r));
    else if (which & 1)
        import(&r);
    else
        name(fuzz_rest(&r));
    return 0;
}
