/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU per signature of one vault alone, beside the same calls of the token in a bare loop: what
 * the difference buys is verification and the vault's own work. CPU time, not rates, so that it
 * means something on a busy machine; each pair of rows alternates. Figures, not a test:
 *   bench_vault [CASE|all] [SECONDS] [ROUNDS]
 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kyso/secret.h"
#include "tuning.h"

enum { KEYS_MAX = 128, BATCH = 128, HASHES = 64, ROUNDS_MAX = 32 };

struct bench_case {
    const char *name;
    uint8_t key_type;
    uint8_t verify;
    bool tuned;
    uint32_t keys;
    uint32_t cache_keys; /* fewer than keys: every job finds its key gone */
    uint32_t hashes;     /* of each job */
};

static const struct bench_case cases[] = {
    {"hot", KY_KEY_P256, JOB_VERIFY_FIRST_USE, false, 128, 4096, 1},
    {"hot-verified", KY_KEY_P256, JOB_VERIFY_ALWAYS, false, 128, 4096, 1},
    {"dossier", KY_KEY_P256, JOB_VERIFY_FIRST_USE, false, 128, 16, HASHES},
    {"cold", KY_KEY_P256, JOB_VERIFY_ALWAYS, false, 128, 16, 1},
    {"cold-tuned", KY_KEY_P256, JOB_VERIFY_ALWAYS, true, 128, 16, 1},
    {"hot-tuned", KY_KEY_P256, JOB_VERIFY_ALWAYS, true, 128, 4096, 1},
    {"hot-rsa2048", KY_KEY_RSA2048, JOB_VERIFY_ALWAYS, false, 16, 4096, 1},
};

struct figure { /* of one round */
    double cpu_us;
    double per_s;
};

static double clock_s(clockid_t id)
{
    struct timespec t = {.tv_sec = 0};

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* All that was asked for has come back, well. */
static void round_trip(struct vault *v, const struct job_sign *jobs, size_t first, size_t count,
                       size_t keys)
{
    for (size_t i = 0; i < count; i++)
        vault_post(v, &job_sign_schema, &jobs[(first + i) % keys], i);
    vault_flush(v);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(vault_next(v).type, JOB_R_SIGN);
}

static struct figure measure_vault(struct vault *v, const struct bench_case *c,
                                   const struct job_sign *jobs, double seconds)
{
    clockid_t id = 0;
    size_t batch = c->hashes > 1 ? 4 : c->key_type == KY_KEY_RSA2048 ? 16 : BATCH;
    size_t made = 0;
    double cpu = 0;
    double wall = 0;

    assert_int_equal(clock_getcpuclockid(v->pid, &id), 0);
    round_trip(v, jobs, 0, c->keys, c->keys); /* warm what can be warm */
    cpu = clock_s(id);
    wall = clock_s(CLOCK_MONOTONIC);
    do {
        round_trip(v, jobs, made, batch, c->keys);
        made += batch;
    } while (clock_s(CLOCK_MONOTONIC) - wall < seconds);
    cpu = clock_s(id) - cpu;
    wall = clock_s(CLOCK_MONOTONIC) - wall;
    made *= c->hashes;
    return (struct figure){.cpu_us = cpu * 1e6 / (double)made, .per_s = (double)made / wall};
}

static CK_OBJECT_HANDLE bare_unwrap(const struct raw *r, CK_OBJECT_HANDLE kek,
                                    const struct test_key *k)
{
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = k->key_type == KY_KEY_RSA2048 ? CKK_RSA : CKK_EC;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE t[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &no, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &no, 1},
        {CKA_SIGN, &yes, 1},
        {CKA_SIGN_RECOVER, &no, 1},
        {CKA_DECRYPT, &no, 1},
        {CKA_UNWRAP, &no, 1},
        {CKA_DERIVE, &no, 1},
    };
    CK_OBJECT_HANDLE h = CK_INVALID_HANDLE;

    assert_int_equal(r->fn->C_UnwrapKey(r->session, &wrap, kek, (CK_BYTE_PTR)(uintptr_t)k->blob,
                                        k->blob_len, t, sizeof(t) / sizeof(t[0]), &h),
                     CKR_OK);
    return h;
}

static void bare_sign(const struct raw *r, CK_OBJECT_HANDLE key, uint8_t key_type, uint64_t n)
{
    static const uint8_t info[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                     0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    bool rsa = key_type == KY_KEY_RSA2048;
    CK_MECHANISM mechanism = {rsa ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    CK_BYTE in[sizeof(info) + 32] = {0};
    CK_BYTE out[512];
    CK_ULONG len = sizeof(out);

    memcpy(in, info, sizeof(info));
    memcpy(in + sizeof(info), &n, sizeof(n));
    assert_int_equal(r->fn->C_SignInit(r->session, &mechanism, key), CKR_OK);
    assert_int_equal(
        r->fn->C_Sign(r->session, rsa ? in : in + sizeof(info), rsa ? sizeof(in) : 32, out, &len),
        CKR_OK);
}

/* In a process of its own: the module is loaded there, and OpenSSL perhaps tuned. */
static struct figure bare_loop(const struct bench_case *c, const struct test_key *keys,
                               double seconds)
{
    bool effective = false;
    bool cold = c->cache_keys < c->keys;
    CK_OBJECT_HANDLE hot[KEYS_MAX] = {0};
    uint64_t made = 0;
    double cpu = 0;
    double wall = 0;

    if (c->tuned)
        assert_int_equal(hsm_tuning_apply(&effective).code, KY_OK);
    struct raw r = raw_open();
    CK_OBJECT_HANDLE kek = raw_find(&r, CKO_SECRET_KEY, HSM_LABEL_KEK);

    for (size_t i = 0; !cold && i < c->keys; i++)
        hot[i] = bare_unwrap(&r, kek, &keys[i]);
    cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    wall = clock_s(CLOCK_MONOTONIC);
    for (size_t turn = 0; clock_s(CLOCK_MONOTONIC) - wall < seconds; turn++) {
        size_t i = turn % c->keys;
        CK_OBJECT_HANDLE key = cold ? bare_unwrap(&r, kek, &keys[i]) : hot[i];

        for (uint32_t n = 0; n < c->hashes; n++)
            bare_sign(&r, key, c->key_type, made++);
        if (cold)
            assert_int_equal(r.fn->C_DestroyObject(r.session, key), CKR_OK);
    }
    cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = clock_s(CLOCK_MONOTONIC) - wall;
    return (struct figure){.cpu_us = cpu * 1e6 / (double)made, .per_s = (double)made / wall};
}

static struct figure measure_bare(const struct bench_case *c, const struct test_key *keys,
                                  double seconds)
{
    struct figure f = {.cpu_us = 0};
    int p[2];
    int status = -1;
    pid_t pid = -1;

    assert_int_equal(pipe(p), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        f = bare_loop(c, keys, seconds);
        _exit(write(p[1], &f, sizeof(f)) == (ssize_t)sizeof(f) ? 0 : 1);
    }
    (void)close(p[1]);
    assert_int_equal(read(p[0], &f, sizeof(f)), (ssize_t)sizeof(f));
    (void)close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return f;
}

static int by_cpu(const void *a, const void *b)
{
    const struct figure *x = a;
    const struct figure *y = b;

    return (x->cpu_us > y->cpu_us) - (x->cpu_us < y->cpu_us);
}

static void run_case(const struct bench_case *c, double seconds, size_t rounds)
{
    const struct vault_options o = {.cache_keys = c->cache_keys, .tuned = c->tuned};
    static struct test_key keys[KEYS_MAX];
    static struct job_sign jobs[KEYS_MAX];
    static uint8_t digests[HASHES * 32];
    const struct ky_algorithm a = plain_algorithm(c->key_type, KY_SHA256);
    struct figure bare[ROUNDS_MAX];
    struct figure full[ROUNDS_MAX];
    struct vault v = vault_start(&o);

    assert_int_equal(ky_random(digests, sizeof(digests)).code, KY_OK);
    for (size_t i = 0; i < c->keys; i++) {
        assert_int_equal(vault_generate(&v, c->key_type, KY_STORE_WRAPPED, &keys[i]).code, KY_OK);
        jobs[i] = sign_job(&keys[i], &a, KY_SPAN(digests, c->hashes * 32u));
        jobs[i].verify = c->verify;
    }
    for (size_t i = 0; i < rounds; i++) {
        bare[i] = measure_bare(c, keys, seconds);
        full[i] = measure_vault(&v, c, jobs, seconds);
    }
    vault_stop(&v);
    qsort(bare, rounds, sizeof(bare[0]), by_cpu);
    qsort(full, rounds, sizeof(full[0]), by_cpu);
    (void)printf("%-13s bare %7.1f us  vault %7.1f us  (%+6.1f)   lowest %7.1f %7.1f\n", c->name,
                 bare[rounds / 2].cpu_us, full[rounds / 2].cpu_us,
                 full[rounds / 2].cpu_us - bare[rounds / 2].cpu_us, bare[0].cpu_us, full[0].cpu_us);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "all";
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    void *state = NULL;

    harness_maybe_vault(argc, argv);
    if (rounds < 1 || rounds > ROUNDS_MAX || harness_token_setup(&state) != 0)
        return 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(only, "all") == 0 || strcmp(only, cases[i].name) == 0)
            run_case(&cases[i], seconds, rounds);
    }
    return harness_token_teardown(&state);
}
