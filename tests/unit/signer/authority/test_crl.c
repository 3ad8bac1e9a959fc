/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long revocation list holds up no turn: however it is written, what one turn does for it takes a few milliseconds. In the
 * thread's CPU time, so that a busy machine changes nothing; the authority's own clock goes by it, too.
 */
#include "world.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../operate/certificates.h"

#define ENTRIES     100000u
#define TURN_MAX_US 20000u

static uint64_t cpu_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t last_us;

static void clock_by_work(struct world *w)
{
    uint64_t now_us = cpu_us();

    w->mono_us += now_us - last_us;
    last_us = now_us;
}

static void write_ca(const char *path, EVP_PKEY *key)
{
    uint8_t der[4096];
    const uint8_t *p = der;
    const struct test_certificate ca = {.subject = "CA", .issuer = "CA", .key = key, .issuer_key = key,
                                        .to_s = 86400, .is_ca = true};
    X509 *x = d2i_X509(NULL, &p, (long)test_certificate(&ca, der));
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(x);
}

static X509_CRL *make_list(EVP_PKEY *key, uint32_t entries)
{
    X509_CRL *list = X509_CRL_new();
    X509_NAME *issuer = X509_NAME_new();
    ASN1_TIME *begins = ASN1_TIME_adj(NULL, WORLD_START_S, 0, -60);
    ASN1_TIME *ends = ASN1_TIME_adj(NULL, WORLD_START_S, 1, 0);

    assert_int_equal(X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, (const uint8_t *)"CA", -1, -1, 0), 1);
    assert_int_equal(X509_CRL_set_version(list, 1) + X509_CRL_set_issuer_name(list, issuer) +
                         X509_CRL_set1_lastUpdate(list, begins) + X509_CRL_set1_nextUpdate(list, ends), 4);
    for (uint32_t serial = 1; serial <= entries; serial++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();

        assert_int_equal(ASN1_INTEGER_set_uint64(number, serial * UINT64_C(1000003)) +
                             X509_REVOKED_set_serialNumber(entry, number) +
                             X509_REVOKED_set_revocationDate(entry, begins) + X509_CRL_add0_revoked(list, entry), 4);
        ASN1_INTEGER_free(number);
    }
    assert_true(X509_CRL_sign(list, key, EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);
    X509_NAME_free(issuer);
    ASN1_TIME_free(begins);
    ASN1_TIME_free(ends);
    return list;
}

static void write_list(const char *path, X509_CRL *list, bool pem)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(pem ? PEM_write_X509_CRL(f, list) : i2d_X509_CRL_fp(f, list), 1);
    assert_int_equal(fclose(f), 0);
}

/* Turns until the list is in force; the longest of them. */
static uint64_t longest_turn_us(struct world *w)
{
    uint64_t longest_us = 0;

    w->a->crl.in_force = 0;
    w->a->crl.problem = NULL;
    w->a->crl.seen.st_ino = 0;
    world_advance(w, 1100000);
    last_us = cpu_us();
    w->on_clock = clock_by_work;
    for (uint32_t turns = 0; w->a->crl.in_force != ENTRIES; turns++) {
        assert_true(turns < ENTRIES);
        assert_null(w->a->crl.problem);
        uint64_t began_us = cpu_us();
        (void)authority_turn(w->a);
        uint64_t took_us = cpu_us() - began_us;
        if (took_us > longest_us)
            longest_us = took_us;
        vault_pump(w);
    }
    w->on_clock = NULL;
    return longest_us;
}

struct watched { /* what the configuration names */
    char path[128], ca[128];
};

/* A server that watches the list. */
static void watch(struct world *w, EVP_PKEY *key, struct watched *out)
{
    static char when_stale[] = "refuse";

    (void)snprintf(out->path, sizeof(out->path), "%s/citizens.crl", w->dir);
    (void)snprintf(out->ca, sizeof(out->ca), "%s/ca.pem", w->dir);
    write_ca(out->ca, key);
    world_stop(w);
    w->config.certificates = (struct config_certificates){out->path, out->ca, when_stale};
    world_boot(w);
}

/* NULL, or why the file that is there now was not taken. */
static const char *look(struct world *w)
{
    world_advance(w, 1100000);
    for (int i = 0; i < 4; i++)
        world_run(w);
    return w->a->crl.problem;
}

static void what_cannot_be_read_is_refused(void **state)
{
    struct world *w = *state;
    struct watched files;
    EVP_PKEY *key = test_key(KY_KEY_ED25519);
    X509_CRL *list = make_list(key, 3);

    watch(w, key, &files);
    assert_string_equal(look(w), "it cannot be read");
    write_list(files.path, list, true);
    assert_null(look(w));
    assert_int_equal(w->a->crl.in_force, 3);
    FILE *f = fopen(files.path, "r+e");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), 150), 0); /* within the base64 */
    assert_string_equal(look(w), "its PEM cannot be read");
    assert_int_equal(fputs("-----BEGIN X509 CERT----", f) > 0 && fflush(f) == 0, 1);
    assert_string_equal(look(w), "its PEM cannot be read");
    assert_int_equal(ftruncate(fileno(f), 0), 0);
    assert_string_equal(look(w), "it is not a revocation list in DER or PEM");
    assert_int_equal(fclose(f), 0);
    assert_int_equal(w->a->crl.in_force, 3);
    w->config.certificates = (struct config_certificates){.crl = NULL};
    X509_CRL_free(list);
    EVP_PKEY_free(key);
}

static void a_long_list_holds_up_no_turn(void **state)
{
    struct world *w = *state;
    struct watched files;
    EVP_PKEY *key = test_key(KY_KEY_RSA2048);
    X509_CRL *list = make_list(key, ENTRIES);

    watch(w, key, &files);
    for (int pem = 0; pem < 2; pem++) {
        write_list(files.path, list, pem);
        uint64_t longest_us = longest_turn_us(w);
        print_message("%u entries in %s: the longest turn took %.1f ms of CPU\n", ENTRIES, pem ? "PEM" : "DER",
                      (double)longest_us / 1000);
        assert_true(longest_us < TURN_MAX_US);
    }
    w->config.certificates = (struct config_certificates){.crl = NULL};
    X509_CRL_free(list);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_refused, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_long_list_holds_up_no_turn, world_setup, world_teardown),
    };

    return cmocka_run_group_tests_name("authority_crl", tests, NULL, NULL);
}
