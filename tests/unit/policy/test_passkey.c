/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions of a passkey that the test plays: each thing that binds one is wrong once, then each of its bits is flipped. P19.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy_test.h"

#define ORIGIN "https://approve.example.vn"
#define RP_ID  "approve.example.vn"

enum { UP = 1, UV = 4, BE = 8, BS = 16, AT = 64, ED = 128 };

struct said { /* what the authenticator and the browser put together */
    const char *name;
    enum ky_code code;
    const char *rp_id;     /* NULL: RP_ID */
    uint8_t flags;         /* 0: UP | UV */
    uint32_t counter;      /* also what must come out */
    const char *client;    /* NULL: the usual; %s is the challenge */
    const char *extension; /* after the authenticator data */
    bool no_flags;
    struct policy_passkey by; /* origin empty: ORIGIN */
};

#define CLIENT(rest) "{\"type\":\"webauthn.get\",\"challenge\":\"%s\"" rest

static const struct said rows[] = {
    {"as a browser writes it", KY_OK, .counter = 7},
    {"no counter at all", KY_OK, .counter = 0},
    {"a counter that rose", KY_OK, .counter = 8, .by = {.last_counter = 7}},
    {"a counter past the sign bit", KY_OK, .counter = 0xfffffffe, .by = {.last_counter = 0xfffffffd}},
    {"more client data", KY_OK,
     .client = CLIENT(",\"origin\":\"" ORIGIN "\",\"crossOrigin\":false,\"other_keys\":\"x\"}")},
    {"no crossOrigin", KY_OK, .client = CLIENT(",\"origin\":\"" ORIGIN "\"}")},
    {"an extension", KY_OK, .flags = UP | UV | ED, .extension = "\xa0"},
    {"a synced key where they are taken", KY_OK, .flags = UP | UV | BE | BS, .by = {.synced = true}},
    {"a host with a port", KY_OK, .rp_id = "localhost",
     .client = CLIENT(",\"origin\":\"http://localhost:8080\",\"crossOrigin\":false}"),
     .by = {.origin = {(const uint8_t *)"http://localhost:8080", 21}}},
    {"the same counter", KY_PROOF_REPLAYED, .counter = 7, .by = {.last_counter = 7}},
    {"a counter that went back", KY_PROOF_REPLAYED, .counter = 6, .by = {.last_counter = 7}},
    {"a counter that is gone", KY_PROOF_REPLAYED, .by = {.last_counter = 7}},
    {"nobody there", KY_PASSKEY_USER, .no_flags = true},
    {"present, not verified", KY_PASSKEY_USER, .flags = UP},
    {"verified, not present", KY_PASSKEY_USER, .flags = UV},
    {"a key that may be synced", KY_PASSKEY_SYNCED, .flags = UP | UV | BE},
    {"synced though it may not be", KY_PROOF_MALFORMED, .flags = UP | UV | BS},
    {"credential data", KY_PROOF_MALFORMED, .flags = UP | UV | AT},
    {"bytes after the data", KY_PROOF_MALFORMED, .extension = "x"},
    {"no extension where one is told", KY_PROOF_MALFORMED, .flags = UP | UV | ED},
    {"another relying party", KY_PASSKEY_ORIGIN, .rp_id = "example.vn"},
    {"another origin", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"https://approve.example.com\",\"crossOrigin\":false}")},
    {"a longer origin", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"" ORIGIN ".evil.test\",\"crossOrigin\":false}")},
    {"plain http", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"http://approve.example.vn\",\"crossOrigin\":false}")},
    {"framed by another origin", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"" ORIGIN "\",\"crossOrigin\":true}")},
    {"crossOrigin twice", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"" ORIGIN "\",\"crossOrigin\":falsey}")},
    {"something else instead", KY_PASSKEY_ORIGIN,
     .client = CLIENT(",\"origin\":\"" ORIGIN "\",\"topOrigin\":\"x\"}")},
    {"a registration", KY_PASSKEY_ORIGIN,
     .client = "{\"type\":\"webauthn.create\",\"challenge\":\"%s\",\"origin\":\"" ORIGIN
               "\",\"crossOrigin\":false}"},
    {"another order", KY_PASSKEY_ORIGIN,
     .client = "{\"challenge\":\"%s\",\"type\":\"webauthn.get\",\"origin\":\"" ORIGIN "\"}"},
    {"another challenge", KY_PROOF_WRONG,
     .client = "{\"type\":\"webauthn.get\",\"challenge\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
               "\"origin\":\"" ORIGIN "\",\"crossOrigin\":false}"},
    {"a longer challenge", KY_PASSKEY_ORIGIN,
     .client = "{\"type\":\"webauthn.get\",\"challenge\":\"%sA\",\"origin\":\"" ORIGIN
               "\",\"crossOrigin\":false}"},
    {"no origin is configured", KY_PROOF_UNCONFIRMED, .by = {.origin = {(const uint8_t *)"", 0}}},
};

/* SHA-256("kyso passkey"), and what Python's base64.urlsafe_b64encode makes of it. */
static uint8_t challenge[32];
static char challenge_b64[64];

static struct authenticator {
    EVP_PKEY *pkey;
    struct policy_device_key *key;
} device;

static int set_up(void **state)
{
    uint8_t spki[128], *end = spki;

    (void)state;
    device.pkey = EVP_EC_gen("P-256");
    int n = i2d_PUBKEY(device.pkey, &end);
    EXPECT(KY_OK,
           policy_device_key_load(POLICY_DEVICE_ES256, KY_SPAN(spki, (size_t)n), &device.key), "key");
    ky_sha256(text("kyso passkey"), challenge);
    EVP_EncodeBlock((uint8_t *)challenge_b64, challenge, 32);
    for (char *c = challenge_b64; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_device_key_free(&device.key);
    EVP_PKEY_free(device.pkey);
    return 0;
}

static void put_piece(struct ky_buf *out, struct ky_span piece)
{
    uint8_t len[2] = {(uint8_t)(piece.len >> 8), (uint8_t)piece.len};

    ky_buf_put(out, len, 2);
    ky_buf_put(out, piece.data, piece.len);
}

static void make(const struct said *s, struct ky_buf *out)
{
    uint8_t data[64], message[128], signature[80];
    char client[512];
    size_t n = 37, signature_len = sizeof(signature);
    const char *extension = s->extension != NULL ? s->extension : "";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    ky_sha256(text(s->rp_id != NULL ? s->rp_id : RP_ID), data);
    data[32] = s->no_flags ? 0 : s->flags != 0 ? s->flags : UP | UV;
    for (int i = 0; i < 4; i++)
        data[33 + i] = (uint8_t)(s->counter >> (24 - 8 * i));
    memcpy(data + n, extension, strlen(extension));
    n += strlen(extension);
    const char *form = s->client != NULL ? s->client
                                         : CLIENT(",\"origin\":\"" ORIGIN "\",\"crossOrigin\":false}");
    const char *gap = strstr(form, "%s");
    if (gap == NULL)
        (void)snprintf(client, sizeof(client), "%s", form);
    else
        (void)snprintf(client, sizeof(client), "%.*s%s%s", (int)(gap - form), form, challenge_b64, gap + 2);
    memcpy(message, data, n);
    ky_sha256(text(client), message + n);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, device.pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &signature_len, message, n + 32), 1);
    EVP_MD_CTX_free(ctx);
    *out = KY_BUF_INIT(2 * POLICY_PASSKEY_MAX);
    put_piece(out, KY_SPAN(data, n));
    put_piece(out, text(client));
    ky_buf_put(out, signature, signature_len);
}

static struct policy_passkey wanted(const struct said *s)
{
    struct policy_passkey p = s->by;

    if (p.origin.data == NULL)
        p.origin = text(ORIGIN);
    return p;
}

static void test_every_binding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct policy_passkey p = wanted(&rows[i]);
        uint32_t counter = 77;
        struct ky_buf b;

        make(&rows[i], &b);
        EXPECT(rows[i].code,
               policy_passkey_verify(device.key, &p, challenge, ky_buf_span(&b), &counter),
               rows[i].name);
        assert_int_equal(counter, rows[i].code == KY_OK ? rows[i].counter : 77);
        ky_buf_free(&b);
    }
}

static void test_every_bit_matters(void **state)
{
    struct policy_passkey p = wanted(&rows[0]);
    uint32_t counter = 0;
    struct ky_buf b;

    (void)state;
    make(&rows[0], &b);
    for (size_t i = 0; i < 8 * b.len; i++) {
        b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1u << i % 8);
        assert_false(ky_ok(policy_passkey_verify(device.key, &p, challenge, ky_buf_span(&b), &counter)));
        b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1u << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof(challenge); i++) {
        challenge[i / 8] = (uint8_t)(challenge[i / 8] ^ 1u << i % 8);
        EXPECT(KY_PROOF_WRONG,
               policy_passkey_verify(device.key, &p, challenge, ky_buf_span(&b), &counter), "challenge");
        challenge[i / 8] = (uint8_t)(challenge[i / 8] ^ 1u << i % 8);
    }
    for (size_t n = 0; n < b.len; n++) { /* cut off, and exactly as long as it is */
        uint8_t *copy = malloc(n + (n == 0));
        memcpy(copy, b.data, n);
        assert_false(ky_ok(policy_passkey_verify(device.key, &p, challenge, KY_SPAN(copy, n), &counter)));
        free(copy);
    }
    EXPECT(KY_OK, policy_passkey_verify(device.key, &p, challenge, ky_buf_span(&b), &counter), "as it was");
    ky_buf_free(&b);
}

static void test_too_long(void **state)
{
    static uint8_t bytes[POLICY_PASSKEY_MAX + 1] = {0, 37};
    struct policy_passkey p = wanted(&rows[0]);
    uint32_t counter;

    (void)state;
    EXPECT(KY_PROOF_MALFORMED,
           policy_passkey_verify(device.key, &p, challenge, KY_SPAN_OF(bytes), &counter), "too long");
}

static void test_rp_id(void **state)
{
    static const char *const origins[][2] = {
        {ORIGIN, RP_ID},           {"https://a.vn:8443", "a.vn"}, {"http://localhost:1", "localhost"},
        {"", ""},                  {"x", ""},                     {"https:", ""},
        {"https://", ""},
    };

    (void)state;
    for (size_t i = 0; i < ROWS(origins); i++) {
        struct ky_span id = policy_passkey_rp_id(text(origins[i][0]));
        if (!ky_span_eq(id, text(origins[i][1])))
            fail_msg("%s: %.*s", origins[i][0], (int)id.len, (const char *)id.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_binding),
        cmocka_unit_test(test_every_bit_matters),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_rp_id),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
