/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start, login and end of a vault; batches, threads, the cache, resident keys that come and
 * go, and the anchor.
 */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "harness.h"
#include "kyso/secret.h"

static const struct vault_options plain = {.sessions = 1};
static const struct ky_algorithm ecdsa = {.scheme = KY_ECDSA, .hash = KY_SHA256};

static void expect_login_failed(const char *pin, uint64_t cause)
{
    struct vault v = vault_spawn(&plain);

    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    vault_send_pin(&v, pin);
    struct control_msg m = vault_control(&v);
    assert_int_equal(m.type, CONTROL_LOGIN_FAILED);
    assert_int_equal(m.arg, cause);
    /* Nothing more is said or tried: the process ends by itself. */
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_LOGIN);
}

static void test_wrong_pin_is_tried_once(void **state)
{
    char longer[301];

    (void)state;
    expect_login_failed("999999", CKR_PIN_INCORRECT);
    expect_login_failed("", CKR_PIN_LEN_RANGE);
    expect_login_failed("\n", CKR_PIN_LEN_RANGE);
    memset(longer, '1', 300);
    longer[300] = '\0';
    expect_login_failed(longer, CKR_PIN_LEN_RANGE);
    expect_login_failed(TEST_PIN "\n\n", CKR_PIN_INCORRECT); /* one newline is stripped, not two */
}

static void expect_no_start(const struct vault_options *o)
{
    struct vault v = vault_spawn(o);

    assert_int_equal(vault_wait_exit(&v),
                     HSM_EXIT_START); /* without a word, so no PIN was asked for */
}

static void test_only_the_named_token(void **state)
{
    static const char *const refused[] = {
        "pkcs11:token=another",
        "pkcs11:token=kyso-test?pin-value=" TEST_PIN,
        "pkcs11:token=kyso-test;serial=0000",
        "not a uri",
        "",
    };
    const struct vault_options absent = {.no_token = true};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct vault_options o = {.uri = refused[i]};

        expect_no_start(&o);
    }
    expect_no_start(&absent);
}

static void test_ends_with_its_peers(void **state)
{
    const struct control_msg drain = {.type = CONTROL_DRAIN};

    (void)state;
    struct vault v = vault_spawn(&plain); /* told to go before the PIN came */
    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    assert_int_equal(control_send(v.control, &drain, -1).code, KY_OK);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);

    v = vault_spawn(&plain); /* the supervisor is gone before the PIN came */
    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    assert_int_equal(vault_exit_code(&v), HSM_EXIT_OK);

    v = vault_start(&plain); /* the authority is gone */
    assert_int_equal(shutdown(v.fd, SHUT_RDWR), 0);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);

    v = vault_start(&plain); /* the supervisor is gone */
    assert_int_equal(shutdown(v.control, SHUT_RDWR), 0);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);

    v = vault_start(&plain); /* a stream that is no record */
    assert_int_equal(send(v.fd, "\377\377\377\377aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 32, MSG_NOSIGNAL),
                     32);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_CHANNEL);
}

/* n jobs under tags 1000.., each over its own digest; every one answered once and right. */
static void run_batch(struct vault *v, const struct test_key *keys, size_t key_count, size_t n)
{
    uint8_t(*digests)[32] = calloc(n, 32);
    bool *answered = calloc(n, sizeof(*answered));
    struct job_r_sign r;

    assert_non_null(digests);
    assert_non_null(answered);
    assert_int_equal(ky_random(digests, n * 32).code, KY_OK);
    for (size_t i = 0; i < n; i++) {
        struct job_sign job = sign_job(&keys[i % key_count], &ecdsa, KY_SPAN(digests[i], 32));

        job.attempt = (uint32_t)i;
        vault_post(v, &job_sign_schema, &job, 1000 + i);
    }
    vault_flush(v);
    for (size_t got = 0; got < n; got++) {
        struct ky_record rec = vault_next(v);
        size_t i = (size_t)rec.tag - 1000;

        assert_true(i < n);
        assert_false(answered[i]);
        answered[i] = true;
        assert_int_equal(rec.type, JOB_R_SIGN);
        assert_int_equal(ky_msg_decode(&job_r_sign_schema, rec.payload, &r).code, KY_OK);
        assert_int_equal(r.attempt, i);
        const struct test_key *k = &keys[i % key_count];
        assert_true(independently_verified(KY_SPAN(k->spki, k->spki_len), KY_KEY_P256, &ecdsa,
                                           KY_SPAN(digests[i], 32), r.signatures));
    }
    free(answered);
    free(digests);
}

static void batch_with(const struct vault_options *o, size_t n)
{
    struct vault v = vault_start(o);
    struct test_key keys[6];

    for (size_t i = 0; i < 6; i++)
        assert_int_equal(
            vault_generate(&v, KY_KEY_P256, i % 2 ? KY_STORE_RESIDENT : KY_STORE_WRAPPED, &keys[i])
                .code,
            KY_OK);
    run_batch(&v, keys, 6, n);
    vault_stop(&v);
}

static void test_batch_of_500(void **state)
{
    (void)state;
    batch_with(&plain, 500);
}

static void test_batch_on_threads(void **state)
{
    const struct vault_options threads = {.sessions = 4, .cache_keys = 2};
    const struct vault_options serial = {.sessions = 4, .serialize = true};

    (void)state;
    batch_with(&threads, 500);
    batch_with(&serial, 60);
}

static void drain_with(const struct vault_options *o)
{
    const struct control_msg drain = {.type = CONTROL_DRAIN};
    struct vault v = vault_start(o);
    struct test_key k;
    uint8_t digest[32] = {7};
    size_t answered = 0;

    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &k).code, KY_OK);
    struct job_sign job = sign_job(&k, &ecdsa, KY_SPAN_OF(digest));
    for (uint64_t i = 0; i < 200; i++)
        vault_post(&v, &job_sign_schema, &job, i);
    vault_flush(&v);
    assert_int_equal(control_send(v.control, &drain, -1).code, KY_OK);
    for (; answered < 200; answered++)
        assert_int_equal(vault_next(&v).type, JOB_R_SIGN);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);
}

static void test_drain_finishes_what_was_sent(void **state)
{
    const struct vault_options threads = {.sessions = 4};

    (void)state;
    drain_with(&plain);
    drain_with(&threads);
}

static bool is_asleep(pid_t pid)
{
    char path[64], line[256];
    struct dirent *e;
    bool asleep = true;
    DIR *d;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    assert_non_null(d = opendir(path));
    while ((e = readdir(d)) != NULL) {
        FILE *f;

        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", (int)pid, e->d_name);
        assert_non_null(f = fopen(path, "r"));
        assert_non_null(fgets(line, sizeof(line), f));
        (void)fclose(f);
        asleep = asleep && strstr(line, ") S ") != NULL;
    }
    (void)closedir(d);
    return asleep;
}

/* Every thread waits: for the peer, when it has answers that do not fit the socket. */
static void wait_asleep(const struct vault *v)
{
    int there = 0;

    for (unsigned times = 0; times < 3; (void)sched_yield()) {
        assert_int_equal(ioctl(v->fd, FIONREAD, &there), 0);
        times = there > 0 && is_asleep(v->pid) ? times + 1 : 0;
    }
}

/*
 * More than the vault has jobs for has been read in one go, and what those jobs answered does not
 * fit the socket, when it is told to go: the others are still in its buffer.
 */
static void test_drain_finishes_what_was_read(void **state)
{
    enum { JOBS = 200 };
    const struct vault_options o = {.sessions = 2, .narrow = true};
    const struct control_msg drain = {.type = CONTROL_DRAIN};
    struct vault v = vault_start(&o);
    struct test_key k;
    uint8_t digest[32] = {8};

    (void)state;
    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &k).code, KY_OK);
    struct job_sign job = sign_job(&k, &ecdsa, KY_SPAN_OF(digest));
    assert_int_equal(kill(v.pid, SIGSTOP), 0);
    for (uint64_t i = 0; i < JOBS; i++)
        vault_post(&v, &job_sign_schema, &job, i);
    vault_flush(&v);
    assert_int_equal(kill(v.pid, SIGCONT), 0);
    wait_asleep(&v);
    assert_int_equal(control_send(v.control, &drain, -1).code, KY_OK);
    for (size_t answered = 0; answered < JOBS; answered++)
        assert_int_equal(vault_next(&v).type, JOB_R_SIGN);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);
}

static uint8_t hot(struct vault *v, const struct test_key *k, uint32_t epoch)
{
    uint8_t digest[32] = {1, 2, 3};
    struct job_sign job = sign_job(k, &ecdsa, KY_SPAN_OF(digest));
    struct job_r_sign r;

    job.key_epoch = epoch;
    assert_int_equal(vault_call(v, &job_sign_schema, &job, &job_r_sign_schema, &r).code, KY_OK);
    return r.was_hot;
}

static void test_cache_is_bounded_and_forgets(void **state)
{
    const struct vault_options o = {.cache_keys = 3};
    struct vault v = vault_start(&o);
    struct test_key k[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &k[i]).code, KY_OK);
    assert_int_equal(hot(&v, &k[0], 1), 0);
    assert_int_equal(hot(&v, &k[0], 1), 1);
    assert_int_equal(hot(&v, &k[0], 2), 0); /* another epoch is another handle */
    assert_int_equal(hot(&v, &k[0], 2), 1);
    assert_int_equal(hot(&v, &k[1], 1), 0);
    assert_int_equal(hot(&v, &k[2], 1), 0);
    assert_int_equal(hot(&v, &k[0], 2), 1); /* used now: the oldest is k[1] */
    assert_int_equal(hot(&v, &k[3], 1), 0);
    assert_int_equal(hot(&v, &k[0], 2), 1);
    assert_int_equal(hot(&v, &k[1], 1), 0); /* was evicted */
    const struct job_key_ref forget = {.key_row = k[0].row};
    vault_post(&v, &job_forget_schema, &forget, 1); /* no reply */
    assert_int_equal(hot(&v, &k[0], 2), 0);
    const struct job_key_ref destroy = {.generation = 1, .key_row = k[0].row};
    assert_int_equal(vault_call(&v, &job_destroy_schema, &destroy, &job_r_done_schema, NULL).code,
                     KY_OK);
    assert_int_equal(hot(&v, &k[0], 2), 0);
    vault_stop(&v);
}

static struct ky_status try_sign(struct vault *v, const struct test_key *k)
{
    uint8_t digest[32] = {9};
    struct job_sign job = sign_job(k, &ecdsa, KY_SPAN_OF(digest));
    struct job_r_sign r;

    return vault_call(v, &job_sign_schema, &job, &job_r_sign_schema, &r);
}

static void test_resident_key_of_another_vault(void **state)
{
    struct vault first = vault_start(&plain);
    struct vault second = vault_start(&plain);
    struct test_key k;

    (void)state;
    assert_int_equal(vault_generate(&second, KY_KEY_P256, KY_STORE_RESIDENT, &k).code, KY_OK);
    assert_int_equal(try_sign(&first, &k).code, KY_OK); /* learnt on the first miss */
    assert_int_equal(try_sign(&first, &k).code, KY_OK);
    const struct job_key_ref destroy = {.key_row = k.row, .key_id = KY_SPAN(k.blob, k.blob_len)};
    assert_int_equal(
        vault_call(&second, &job_destroy_schema, &destroy, &job_r_done_schema, NULL).code, KY_OK);
    assert_int_equal(try_sign(&second, &k).code, KY_TOKEN_REQUEST);
    assert_int_equal(try_sign(&first, &k).code,
                     KY_TOKEN_REQUEST); /* its handle is stale: found out, not used */
    vault_stop(&first);
    vault_stop(&second);
}

static void copy_citizen(const struct test_key *k)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG n = 0;
    CK_BYTE params[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_ATTRIBUTE pub[] = {{CKA_EC_PARAMS, params, sizeof(params)}};
    CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1},
                           {CKA_PRIVATE, &yes, 1},
                           {CKA_SIGN, &yes, 1},
                           {CKA_LABEL, (void *)(uintptr_t) "kyso-citizen", 12},
                           {CKA_ID, (void *)(uintptr_t)k->blob, k->blob_len}};
    CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE a = 0, b = 0;
    struct raw r = raw_open();

    assert_int_equal(r.fn->C_GenerateKeyPair(r.session, &gen, pub, 1, priv, 5, &a, &b), CKR_OK);
    assert_int_equal(r.fn->C_FindObjectsInit(r.session, &priv[4], 1), CKR_OK);
    CK_OBJECT_HANDLE found[4];
    assert_int_equal(r.fn->C_FindObjects(r.session, found, 4, &n), CKR_OK);
    assert_int_equal(n, 2);
    raw_close(&r);
}

static void test_two_objects_with_one_id(void **state)
{
    struct vault v = vault_start(&plain);
    struct test_key k, other;

    (void)state;
    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_RESIDENT, &k).code, KY_OK);
    assert_int_equal(vault_generate(&v, KY_KEY_P256, KY_STORE_RESIDENT, &other).code, KY_OK);
    assert_int_equal(try_sign(&v, &k).code, KY_OK);
    vault_stop(&v);
    copy_citizen(&k);
    v = vault_start(&plain); /* enumerated at start */
    assert_int_equal(try_sign(&v, &k).code, KY_TOKEN_REQUEST);
    assert_int_equal(try_sign(&v, &other).code, KY_OK); /* that key only */
    const struct job_key_ref forget = {.key_id = KY_SPAN(k.blob, k.blob_len)};
    vault_post(&v, &job_forget_schema, &forget, 1);
    assert_int_equal(try_sign(&v, &k).code, KY_TOKEN_REQUEST); /* and when searched for */
    vault_stop(&v);
}

static enum ky_code write_anchor(struct vault *v, uint8_t slot, const char *value,
                                 const char *expect)
{
    const struct job_anchor in = {.generation = 2,
                                  .slot = slot,
                                  .value = ky_span_text(value),
                                  .expect = ky_span_text(expect)};

    return vault_call(v, &job_anchor_write_schema, &in, &job_r_done_schema, NULL).code;
}

static void expect_anchor(struct vault *v, uint8_t slot, const char *value)
{
    const struct job_anchor in = {.generation = 2, .slot = slot};
    struct job_r_bytes r;

    assert_int_equal(vault_call(v, &job_anchor_read_schema, &in, &job_r_bytes_schema, &r).code,
                     KY_OK);
    assert_int_equal(r.value.len, strlen(value));
    assert_memory_equal(r.value.data, value, strlen(value));
}

/* A crash between create and destroy leaves both: the newer is the one with the higher serial. */
static void plant_old_anchors(int n)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)},
                        {CKA_TOKEN, &yes, 1},
                        {CKA_PRIVATE, &yes, 1},
                        {CKA_LABEL, (void *)(uintptr_t) "kyso-anchor-0", 13},
                        {CKA_APPLICATION, (void *)(uintptr_t) "00000000000000000001", 20},
                        {CKA_VALUE, (void *)(uintptr_t) "stale", 5}};
    CK_OBJECT_HANDLE h = 0;
    struct raw r = raw_open();

    for (int i = 0; i < n; i++)
        assert_int_equal(r.fn->C_CreateObject(r.session, t, 6, &h), CKR_OK);
    raw_close(&r);
}

static void test_anchor_alternates(void **state)
{
    const struct job_anchor third = {.slot = 2, .value = ky_span_text("x")};
    struct vault v = vault_start(&plain);

    (void)state;
    expect_anchor(&v, 0, "");
    expect_anchor(&v, 1, "");
    assert_int_equal(write_anchor(&v, 0, "size 1", ""), KY_OK);
    assert_int_equal(write_anchor(&v, 1, "size 2", ""), KY_OK);
    assert_int_equal(write_anchor(&v, 0, "size 3", "size 1"), KY_OK);
    assert_int_equal(write_anchor(&v, 0, "size 3", "size 1"), KY_OK); /* a job that is sent again */
    assert_int_equal(write_anchor(&v, 0, "size 4", "size 1"), KY_CONFLICT);
    expect_anchor(&v, 0, "size 3");
    expect_anchor(&v, 1, "size 2");
    assert_int_equal(
        vault_call(&v, &job_anchor_write_schema, &third, &job_r_done_schema, NULL).code,
        KY_INVALID);
    vault_stop(&v);
    plant_old_anchors(1);
    v = vault_start(&plain); /* another vault reads what the first one wrote */
    expect_anchor(&v, 0, "size 3");
    expect_anchor(&v, 1, "size 2");
    assert_int_equal(write_anchor(&v, 0, "size 5", "size 3"), KY_OK);
    expect_anchor(&v, 0, "size 5");
    vault_stop(&v);
    struct raw r = raw_open(); /* and nothing piles up */
    assert_int_not_equal(raw_find(&r, CKO_DATA, "kyso-anchor-0"), CK_INVALID_HANDLE);
    CK_ATTRIBUTE t = {CKA_LABEL, (void *)(uintptr_t) "kyso-anchor-0", 13};
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;
    assert_int_equal(r.fn->C_FindObjectsInit(r.session, &t, 1), CKR_OK);
    assert_int_equal(r.fn->C_FindObjects(r.session, found, 4, &n), CKR_OK);
    assert_int_equal(n, 1);
    raw_close(&r);
}

/* A list that came back full may be cut: it says nothing of the newest, least of all that another server wrote it. */
static void test_a_cut_list_of_anchors(void **state)
{
    struct vault v = vault_start(&plain);
    const struct job_anchor in = {.generation = 2};
    struct ky_status st;

    (void)state;
    plant_old_anchors(16);
    st = vault_call(&v, &job_anchor_read_schema, &in, &job_r_bytes_schema, NULL);
    assert_int_equal(st.code, KY_TOKEN_REQUEST);
    assert_int_equal(st.cause, CKR_DEVICE_MEMORY);
    assert_int_equal(write_anchor(&v, 0, "mine", "stale"), KY_TOKEN_REQUEST);
    assert_int_equal(write_anchor(&v, 1, "mine", "size 2"), KY_OK); /* the other slot */
    vault_stop(&v);
}

static void test_provisioning_twice_changes_nothing(void **state)
{
    const struct vault_options provision = {.provision = true};
    const struct job_derive in = {.label = ky_span_text("row-mac")};
    uint8_t before[32];
    struct job_r_bytes r;

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        struct vault v = vault_start(&plain);

        assert_int_equal(vault_call(&v, &job_derive_schema, &in, &job_r_bytes_schema, &r).code,
                         KY_OK);
        if (pass == 0)
            memcpy(before, r.value.data, 32);
        assert_memory_equal(before, r.value.data, 32);
        vault_stop(&v);
        v = vault_spawn(&provision);
        assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
        vault_send_pin(&v, TEST_PIN);
        assert_int_equal(vault_control(&v).type, CONTROL_LOGGED_IN);
        assert_int_equal(vault_control(&v).type, CONTROL_DONE);
        assert_int_equal(vault_wait_exit(&v), HSM_EXIT_OK);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_pin_is_tried_once),
        cmocka_unit_test(test_only_the_named_token),
        cmocka_unit_test(test_ends_with_its_peers),
        cmocka_unit_test(test_batch_of_500),
        cmocka_unit_test(test_batch_on_threads),
        cmocka_unit_test(test_drain_finishes_what_was_sent),
        cmocka_unit_test(test_drain_finishes_what_was_read),
        cmocka_unit_test(test_cache_is_bounded_and_forgets),
        cmocka_unit_test(test_resident_key_of_another_vault),
        cmocka_unit_test(test_two_objects_with_one_id),
        cmocka_unit_test(test_anchor_alternates),
        cmocka_unit_test(test_a_cut_list_of_anchors),
        cmocka_unit_test(test_provisioning_twice_changes_nothing),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, harness_token_setup, harness_token_teardown);
}
