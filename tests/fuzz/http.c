/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP request and a passkey's assertion: what strangers send the web processes. A head that is taken is what a
 * strict reading of it says, spans lie inside it, and no part of it is one by itself. Input: the bytes, for both.
 */
#include <string.h>

#include "fuzz.h"
#include "head.h"
#include "kyso/policy.h"

static bool lies_in(struct ky_span all, struct ky_span part)
{
    return part.len == 0 || (part.data >= all.data && part.data + part.len <= all.data + all.len);
}

static void check_head(struct ky_span all, const struct http_head *h)
{
    unsigned lengths = 0;

    FUZZ_CHECK(all.len >= 4 && all.len <= HTTP_HEAD_MAX &&
               ky_span_eq(KY_SPAN(all.data + all.len - 4, 4), ky_span_text("\r\n\r\n")));
    FUZZ_CHECK(h->method.len > 0 && h->path.len > 0 && h->path.data[0] == '/');
    FUZZ_CHECK(lies_in(all, h->method) && lies_in(all, h->path) && lies_in(all, h->query));
    FUZZ_CHECK(h->field_count <= HTTP_HEADERS_MAX && h->content_length <= UINT64_C(9999999999));
    for (size_t i = 0; i < h->field_count; i++) {
        FUZZ_CHECK(lies_in(all, h->fields[i].name) && lies_in(all, h->fields[i].value));
        FUZZ_CHECK(!http_same_name(h->fields[i].name, "transfer-encoding"));
        lengths += http_same_name(h->fields[i].name, "content-length");
    }
    FUZZ_CHECK(lengths <= 1 && (lengths == 1 || h->content_length == 0));
    /* no line end is hidden: each LF has its CR, and each CR its LF */
    for (size_t i = 0; i < all.len; i++)
        FUZZ_CHECK(all.data[i] == '\n' ? all.data[i - 1] == '\r'
                                       : all.data[i] != '\r' || all.data[i + 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy_device_key *key;
    static const uint8_t challenge[32] = {1};
    static const uint8_t spki[] = { /* RFC 6979 A.2.5 */
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
        0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb,
        0x74, 0xc6, 0x35, 0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60, 0xf2,
        0x9f, 0xb6, 0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc, 0x99, 0xa4, 0x1a, 0xe9, 0xe9, 0x56, 0x28, 0xbc, 0x64, 0xf2,
        0xf1, 0xb2, 0x0c, 0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99};
    const struct policy_passkey p = {.origin = ky_span_text("https://a.vn"), .last_counter = 7};
    struct ky_span all = KY_SPAN(data, size);
    struct http_head head, again;
    uint32_t counter = 0;

    if (http_head_parse(all, &head) == 0) {
        check_head(all, &head);
        for (size_t n = 0; n < size; n++)
            FUZZ_CHECK(http_head_parse(KY_SPAN(data, n), &again) != 0);
    }
    if (key == NULL)
        FUZZ_CHECK(ky_ok(policy_device_key_load(POLICY_DEVICE_ES256, KY_SPAN_OF(spki), &key)));
    if (ky_ok(policy_passkey_verify(key, &p, challenge, all, &counter)))
        FUZZ_CHECK(counter > 7);
    return 0;
}

/* Mathematics is OpenSSL's: every tenth signature holds, as in device.c. */
int __wrap_EVP_PKEY_verify(void *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len);
int __wrap_EVP_PKEY_verify(void *ctx, const unsigned char *sig, size_t sig_len,
                           const unsigned char *digest, size_t len)
{
    FUZZ_CHECK(ctx != NULL && digest != NULL && len == 32);
    return sig_len > 0 && sig[sig_len - 1] % 10 == 0;
}
