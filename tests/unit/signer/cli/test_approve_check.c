/* SPDX-License-Identifier: Apache-2.0 */
/* What the device signs about is what it shows: every field moves the digest or is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "approve_check.h"

struct sample {
    Kyso__V1__PendingTransaction tx;
    Kyso__V1__Algorithm algorithm;
    Kyso__V1__PssParameters pss;
    uint8_t hash[2][32], key[32], nonce[16];
    ProtobufCBinaryData hashes[2];
    char text[64], id[16];
};

static void fill(struct sample *s)
{
    memset(s, 0, sizeof *s);
    kyso__v1__pending_transaction__init(&s->tx);
    kyso__v1__algorithm__init(&s->algorithm);
    kyso__v1__pss_parameters__init(&s->pss);
    memset(s->hash[0], 1, 32);
    memset(s->hash[1], 2, 32);
    for (int i = 0; i < 2; i++)
        s->hashes[i] = (ProtobufCBinaryData){.len = 32, .data = s->hash[i]};
    strcpy(s->text, "Contract 12");
    strcpy(s->id, "t-1");
    s->algorithm.scheme = 1;
    s->algorithm.hash = 1;
    s->tx.server_id = (char *)(uintptr_t) "kyso";
    s->tx.client = (char *)(uintptr_t) "gateway";
    s->tx.relying_party = (char *)(uintptr_t) "tax";
    s->tx.transaction_id = s->id;
    s->tx.subject_id = (char *)(uintptr_t) "079123";
    s->tx.credential_id = (char *)(uintptr_t) "c1";
    s->tx.credential_epoch = 1;
    s->tx.key_spki_sha256 = (ProtobufCBinaryData){.len = 32, .data = s->key};
    s->tx.algorithm = &s->algorithm;
    s->tx.n_hashes = 2;
    s->tx.hashes = s->hashes;
    s->tx.display_text = s->text;
    s->tx.not_after = 1800000000;
    s->tx.nonce = (ProtobufCBinaryData){.len = 16, .data = s->nonce};
}

static void digest_of(struct sample *s, uint8_t out[32])
{
    const char *field = "";

    if (!ky_ok(approve_digest(&s->tx, out, &field)))
        fail_msg("refused: %s", field);
    assert_null(field);
}

static void change_client(struct sample *s)
{
    s->tx.client = (char *)(uintptr_t) "gatewax";
}
static void change_party(struct sample *s)
{
    s->tx.relying_party = (char *)(uintptr_t) "bank";
}
static void change_server(struct sample *s)
{
    s->tx.server_id = (char *)(uintptr_t) "kyso2";
}
static void change_id(struct sample *s)
{
    s->id[2] = '2';
}
static void change_subject(struct sample *s)
{
    s->tx.subject_id = (char *)(uintptr_t) "079124";
}
static void change_credential(struct sample *s)
{
    s->tx.credential_id = (char *)(uintptr_t) "c2";
}
static void change_epoch(struct sample *s)
{
    s->tx.credential_epoch = 2;
}
static void change_key(struct sample *s)
{
    s->key[31] ^= 1;
}
static void change_scheme(struct sample *s)
{
    s->algorithm.scheme = 2;
}
static void change_hash_bit(struct sample *s)
{
    s->hash[1][0] ^= 0x80;
}
static void change_order(struct sample *s)
{
    s->hashes[0].data = s->hash[1];
    s->hashes[1].data = s->hash[0];
}
static void change_count(struct sample *s)
{
    s->tx.n_hashes = 1;
}
static void change_text(struct sample *s)
{
    s->text[10] = '3';
}
static void change_time(struct sample *s)
{
    s->tx.not_after++;
}
static void change_nonce(struct sample *s)
{
    s->nonce[0] ^= 1;
}

static void each_changed_field_changes_the_digest(void **state)
{
    static void (*const changes[])(struct sample *) = {
        change_client,     change_party, change_server, change_id,     change_subject,
        change_credential, change_epoch, change_key,    change_scheme, change_hash_bit,
        change_order,      change_count, change_text,   change_time,   change_nonce,
    };
    uint8_t base[32], other[32];
    struct sample s;

    (void)state;
    fill(&s);
    digest_of(&s, base);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fill(&s);
        changes[i](&s);
        digest_of(&s, other);
        if (memcmp(base, other, 32) == 0)
            fail_msg("change %zu does not move the digest", i);
    }
    fill(&s);
    digest_of(&s, other);
    assert_memory_equal(base, other, 32);
}

static void refused_for(struct sample *s, const char *expected)
{
    uint8_t digest[32];
    const char *field = NULL;

    assert_int_equal(approve_digest(&s->tx, digest, &field).code, KY_INVALID);
    assert_string_equal(field, expected);
}

static void impossible_fields_are_refused_by_name(void **state)
{
    struct sample s;

    (void)state;
    fill(&s);
    s.tx.client = (char *)(uintptr_t) "";
    refused_for(&s, "client");
    fill(&s);
    s.tx.nonce.len = 15;
    refused_for(&s, "nonce");
    fill(&s);
    s.tx.key_spki_sha256.len = 0;
    refused_for(&s, "key_spki_sha256");
    fill(&s);
    s.hashes[1].len = 31;
    refused_for(&s, "hashes");
    fill(&s);
    s.tx.n_hashes = 0;
    refused_for(&s, "hashes");
    fill(&s);
    s.algorithm.hash = 9;
    refused_for(&s, "algorithm");
    fill(&s);
    s.algorithm.scheme = 3; /* PSS without parameters */
    refused_for(&s, "algorithm");
    fill(&s);
    s.tx.algorithm = NULL;
    refused_for(&s, "algorithm");
    fill(&s);
    strcpy(s.text, "pay \xe2\x80\xae"
                   "001"); /* right-to-left override */
    refused_for(&s, "display_text");
    fill(&s);
    s.tx.not_after = -1;
    refused_for(&s, "not_after");
}

static void pss_parameters_are_bound(void **state)
{
    uint8_t a[32], b[32];
    struct sample s;

    (void)state;
    fill(&s);
    s.algorithm.scheme = 3;
    s.algorithm.pss = &s.pss;
    s.pss.salt_length = 32;
    digest_of(&s, a);
    s.pss.salt_length = 33;
    digest_of(&s, b);
    assert_memory_not_equal(a, b, 32);
    s.pss.salt_length = 32;
    s.pss.mgf_hash = 1; /* said aloud, it is the same as unspecified */
    digest_of(&s, b);
    assert_memory_equal(a, b, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_changed_field_changes_the_digest),
        cmocka_unit_test(impossible_fields_are_refused_by_name),
        cmocka_unit_test(pss_parameters_are_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
