/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module that misbehaves (shim.c): what is retried, what is withheld, what ends the vault.
 * Faults 31-40 of the catalogue, and P11: how often the PIN is tried.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "kyso/secret.h"

static struct test_key alice, bob, seal, rsa; /* made once, by a sound vault */
static const struct ky_algorithm ecdsa = {.scheme = KY_ECDSA, .hash = KY_SHA256};
static const struct vault_options shimmed = {.shim = true};

static struct vault start_with(const char *faults)
{
    (void)setenv("KYSO_SHIM", faults, 1);
    return vault_start(&shimmed);
}

static struct ky_status sign_as(struct vault *v, const struct test_key *k, uint8_t verify,
                                uint8_t *out_hot)
{
    uint8_t digest[32];
    struct ky_algorithm a = plain_algorithm(k->key_type, KY_SHA256);
    struct job_sign job = sign_job(k, &a, KY_SPAN_OF(digest));
    struct job_r_sign r;
    struct ky_status st;

    assert_int_equal(ky_random(digest, sizeof(digest)).code, KY_OK);
    job.verify = verify;
    st = vault_call(v, &job_sign_schema, &job, &job_r_sign_schema, &r);
    if (ky_ok(st)) {
        assert_true(
            independently_verified(job.public_key, k->key_type, &a, job.digests, r.signatures));
        *out_hot = r.was_hot;
    }
    return st;
}

static enum ky_code sign_code(struct vault *v, const struct test_key *k)
{
    uint8_t hot = 0;

    return sign_as(v, k, JOB_VERIFY_ALWAYS, &hot).code;
}

/* One bad answer: a new session or handle, one retry, and the caller sees a sound signature. */
static void test_one_fault_is_survived(void **state)
{
    static const char *const faults[] = {
        "init:2:1:b3",                                        /* CKR_SESSION_HANDLE_INVALID */
        "sign:2:1:b3",       "init:2:1:b0",    "init:2:1:90", /* CKR_OPERATION_ACTIVE */
        "init:2:1:5",                                         /* CKR_GENERAL_ERROR */
        "sign:2:1:80000042",                                  /* a vendor's own */
        "init:2:1:60",                                        /* CKR_KEY_HANDLE_INVALID */
        "init:2:1:82",       "init:2:1:31",                   /* CKR_DEVICE_MEMORY */
        "sign:2:1:flip",     "sign:2:1:short",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        for (size_t k = 0; k < 2; k++) {
            const struct test_key *key = k == 0 ? &alice : &seal;
            struct vault v = start_with(faults[i]);

            assert_int_equal(sign_code(&v, key), KY_OK);
            if (sign_code(&v, key) != KY_OK)
                fail_msg("%s was not survived", faults[i]);
            assert_int_equal(sign_code(&v, key), KY_OK);
            vault_stop(&v);
        }
    }
}

static void test_unwrap_faults(void **state)
{
    (void)state;
    struct vault v = start_with("unwrap:1:1:31,unwrap:4:2:31,unwrap:7:1:5");
    assert_int_equal(sign_code(&v, &alice), KY_OK); /* no room, made some: calls 1 and 2 */
    assert_int_equal(sign_code(&v, &bob), KY_OK);   /* call 3 */
    assert_int_equal(sign_code(&v, &rsa), KY_BUSY); /* no room twice: calls 4 and 5 */
    assert_int_equal(sign_code(&v, &rsa), KY_OK);   /* call 6 */
    struct test_key again = alice;
    again.row = 777;
    assert_int_equal(sign_code(&v, &again),
                     KY_TOKEN_REQUEST); /* a blob's failure: one call, no retry */
    uint8_t hot = 0;
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    assert_int_equal(hot, 1); /* and the session with its objects is still there */
    vault_stop(&v);
}

static void test_two_faults_fail_that_job_only(void **state)
{
    (void)state;
    struct vault v = start_with("init:2:2:b3");
    uint8_t hot = 9;
    assert_int_equal(sign_code(&v, &alice), KY_OK);
    assert_int_equal(sign_code(&v, &alice), KY_TOKEN_SESSION);
    assert_int_equal(sign_as(&v, &alice, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    vault_stop(&v);
}

/* A session's objects die with it: nothing of the old one is handed out again. */
static void test_handles_of_a_dead_session_are_forgotten(void **state)
{
    uint8_t hot = 9;

    (void)state;
    struct vault v = start_with("init:3:1:b3");
    assert_int_equal(sign_as(&v, &alice, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    assert_int_equal(sign_as(&v, &bob, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_ALWAYS, &hot).code, KY_OK); /* renewed here */
    assert_int_equal(sign_as(&v, &alice, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    assert_int_equal(hot, 0);
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_ALWAYS, &hot).code, KY_OK);
    assert_int_equal(hot, 1);
    vault_stop(&v);
}

static void test_wrong_signatures_are_withheld(void **state)
{
    static const char *const faults[] = {"sign:2:99:flip", "sign:2:99:short"};
    const struct test_key *const keys[] = {&alice, &seal, &rsa};
    uint8_t hot = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 3; k++) {
            struct vault v = start_with(faults[i]);

            assert_int_equal(sign_code(&v, keys[k]), KY_OK);
            assert_int_equal(sign_code(&v, keys[k]), KY_TOKEN_WRONG_SIGNATURE);
            assert_int_equal(sign_code(&v, keys[k]), KY_TOKEN_WRONG_SIGNATURE);
            vault_stop(&v);
        }
    }
    struct vault v = start_with("sign:1:99:flip"); /* first use is not trust without it */
    assert_int_equal(sign_as(&v, &alice, JOB_VERIFY_FIRST_USE, &hot).code,
                     KY_TOKEN_WRONG_SIGNATURE);
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_FIRST_USE, &hot).code, KY_TOKEN_WRONG_SIGNATURE);
    vault_stop(&v);
}

/* P10: a handle that silently names another citizen's key. */
static void test_aliased_handle_never_signs_for_another(void **state)
{
    (void)state;
    struct vault v = start_with("init:3:1:alias,init:6:99:alias");
    assert_int_equal(sign_code(&v, &alice), KY_OK);
    assert_int_equal(sign_code(&v, &bob), KY_OK);
    assert_int_equal(sign_code(&v, &alice), KY_OK); /* bob's key signed once: calls 3 and 4 */
    assert_int_equal(sign_code(&v, &bob), KY_OK);
    assert_int_equal(sign_code(&v, &alice), KY_TOKEN_WRONG_SIGNATURE);
    vault_stop(&v);
}

/*
 * In first-use mode an EC signature is not looked at again: the trade is what it says. RSA always
 * is.
 */
static void test_first_use_trusts_a_seen_handle(void **state)
{
    uint8_t digest[32] = {1};
    struct job_sign job = sign_job(&alice, &ecdsa, KY_SPAN_OF(digest));
    struct job_r_sign r;
    uint8_t hot = 0;

    (void)state;
    struct vault v = start_with("sign:2:1:flip,sign:4:9:flip");
    job.verify = JOB_VERIFY_FIRST_USE;
    assert_int_equal(sign_as(&v, &alice, JOB_VERIFY_FIRST_USE, &hot).code, KY_OK);
    assert_int_equal(vault_call(&v, &job_sign_schema, &job, &job_r_sign_schema, &r).code, KY_OK);
    assert_false(
        independently_verified(job.public_key, KY_KEY_P256, &ecdsa, job.digests, r.signatures));
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_FIRST_USE, &hot).code, KY_OK);
    assert_int_equal(sign_as(&v, &rsa, JOB_VERIFY_FIRST_USE, &hot).code, KY_TOKEN_WRONG_SIGNATURE);
    vault_stop(&v);
}

static void test_a_lost_module_or_login_ends_the_vault(void **state)
{
    static const struct {
        const char *faults;
        enum ky_code code;
        int exit;
    } rows[] = {
        {"init:2:9:30", KY_TOKEN_MODULE, HSM_EXIT_MODULE},  /* CKR_DEVICE_ERROR */
        {"init:2:9:32", KY_TOKEN_MODULE, HSM_EXIT_MODULE},  /* CKR_DEVICE_REMOVED */
        {"sign:2:9:e0", KY_TOKEN_MODULE, HSM_EXIT_MODULE},  /* CKR_TOKEN_NOT_PRESENT */
        {"init:2:9:190", KY_TOKEN_MODULE, HSM_EXIT_MODULE}, /* CKR_CRYPTOKI_NOT_INITIALIZED */
        {"init:2:9:101", KY_TOKEN_LOGIN, HSM_EXIT_LOGIN},   /* CKR_USER_NOT_LOGGED_IN */
        {"init:2:9:b3,open:3:9:b1", KY_TOKEN_MODULE,
         HSM_EXIT_MODULE}, /* no new session to be had */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vault v = start_with(rows[i].faults);

        assert_int_equal(sign_code(&v, &alice), KY_OK);
        assert_int_equal(sign_code(&v, &alice), rows[i].code);
        assert_int_equal(vault_wait_exit(&v), rows[i].exit);
    }
}

/*
 * One call that does not return holds up its own thread and nobody else: every other job is
 * answered meanwhile, many more than the vault has at hand at a time, and it is answered when it
 * returns.
 */
static void test_a_slow_call_holds_up_nobody(void **state)
{
    enum { JOBS = 300, HELD = 7 };
    const struct vault_options threads = {.shim = true, .sessions = 2};
    char path[] = "/tmp/kyso-hold-XXXXXX";
    char fifo[64];
    uint8_t digest[32] = {3};
    struct job_sign job = sign_job(&alice, &ecdsa, KY_SPAN_OF(digest));
    uint64_t missing = (uint64_t)JOBS * (JOBS - 1) / 2;
    struct ky_record rec;

    (void)state;
    assert_non_null(mkdtemp(path));
    (void)snprintf(fifo, sizeof(fifo), "%s/pipe", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)setenv("KYSO_SHIM_HOLD", fifo, 1);
    (void)setenv("KYSO_SHIM", "sign:7:1:hold", 1);
    struct vault v = vault_start(&threads);
    for (uint64_t i = 0; i < JOBS; i++)
        vault_post(&v, &job_sign_schema, &job, i);
    vault_flush(&v);
    for (size_t got = 0; got < JOBS - 1; got++) {
        rec = vault_next(&v);
        assert_int_equal(rec.type, JOB_R_SIGN);
        missing -= rec.tag;
    }
    assert_true(missing <= HELD); /* with two threads the seventh call is an early job's */
    (void)close(open(fifo, O_WRONLY | O_CLOEXEC));
    rec = vault_next(&v);
    assert_int_equal(rec.type, JOB_R_SIGN);
    assert_int_equal(rec.tag, missing);
    vault_stop(&v);
    (void)unlink(fifo);
    (void)rmdir(path);
}

/*
 * What one thread was signing when the module failed another is answered: it need not be signed
 * again.
 */
static void test_a_lost_module_keeps_what_others_sign(void **state)
{
    const struct vault_options threads = {.shim = true, .sessions = 2};
    char path[] = "/tmp/kyso-hold-XXXXXX";
    char fifo[64];
    uint8_t digest[32] = {4};
    struct job_sign job = sign_job(&alice, &ecdsa, KY_SPAN_OF(digest));
    struct job_r_sign r;
    struct job_r_done done;
    struct ky_record rec;

    (void)state;
    assert_non_null(mkdtemp(path));
    (void)snprintf(fifo, sizeof(fifo), "%s/pipe", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)setenv("KYSO_SHIM_HOLD", fifo, 1);
    (void)setenv("KYSO_SHIM", "sign:1:1:hold,init:2:9:30", 1); /* CKR_DEVICE_ERROR */
    struct vault v = vault_start(&threads);
    vault_post(&v, &job_sign_schema, &job, 1);
    vault_post(&v, &job_sign_schema, &job, 2);
    vault_flush(&v);
    rec = vault_next(&v);
    assert_int_equal(rec.type, JOB_R_DONE);
    assert_int_equal(ky_msg_decode(&job_r_done_schema, rec.payload, &done).code, KY_OK);
    assert_int_equal(done.code, KY_TOKEN_MODULE);
    uint64_t failed = rec.tag;
    (void)close(open(fifo, O_WRONLY | O_CLOEXEC));
    rec = vault_next(&v);
    assert_int_equal(rec.type, JOB_R_SIGN);
    assert_int_equal(rec.tag, 3 - failed);
    assert_int_equal(ky_msg_decode(&job_r_sign_schema, rec.payload, &r).code, KY_OK);
    assert_true(
        independently_verified(job.public_key, KY_KEY_P256, &ecdsa, job.digests, r.signatures));
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_MODULE);
    (void)unlink(fifo);
    (void)rmdir(path);
}

/*
 * Sessions die under four threads that share handles: every job is still answered, and right. One
 * that met two of them in a row is answered token-session, and the authority then dispatches it
 * again: so does this.
 */
static void test_threads_survive_dying_sessions(void **state)
{
    enum { JOBS = 300, AGAIN_MAX = 8 };
    const struct vault_options threads = {.shim = true, .sessions = 4, .cache_keys = 8};
    const struct test_key *const keys[] = {&alice, &bob, &seal};
    static uint8_t digests[JOBS][32];
    bool answered[JOBS] = {false};
    unsigned again = 0;
    struct job_r_sign r;

    (void)state;
    (void)setenv("KYSO_SHIM",
                 "init:40:1:b3,init:90:1:b3,sign:140:1:b3,init:200:1:60,sign:250:1:flip", 1);
    struct vault v = vault_start(&threads);
    assert_int_equal(ky_random(digests, sizeof(digests)).code, KY_OK);
    for (size_t i = 0; i < JOBS; i++) {
        struct job_sign job = sign_job(keys[i % 3], &ecdsa, KY_SPAN(digests[i], 32));

        vault_post(&v, &job_sign_schema, &job, i);
    }
    vault_flush(&v);
    for (size_t got = 0; got < JOBS;) {
        struct ky_record rec = vault_next(&v);
        const struct test_key *k = keys[rec.tag % 3];

        assert_true(rec.tag < JOBS && !answered[rec.tag]);
        if (rec.type == JOB_R_DONE) {
            struct job_sign job = sign_job(k, &ecdsa, KY_SPAN(digests[rec.tag], 32));
            struct job_r_done done;

            assert_int_equal(ky_msg_decode(&job_r_done_schema, rec.payload, &done).code, KY_OK);
            if (done.code != KY_TOKEN_SESSION || ++again > AGAIN_MAX)
                fail_msg("job %u: %s 0x%x", (unsigned)rec.tag,
                         ky_code_info((enum ky_code)done.code)->name, done.cause);
            vault_post(&v, &job_sign_schema, &job, rec.tag);
            vault_flush(&v);
            continue;
        }
        answered[rec.tag] = true;
        got++;
        assert_int_equal(rec.type, JOB_R_SIGN);
        assert_int_equal(ky_msg_decode(&job_r_sign_schema, rec.payload, &r).code, KY_OK);
        assert_true(independently_verified(KY_SPAN(k->spki, k->spki_len), KY_KEY_P256, &ecdsa,
                                           KY_SPAN(digests[rec.tag], 32), r.signatures));
    }
    vault_stop(&v);
}

static off_t logins(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void test_how_often_the_pin_is_tried(void **state)
{
    char path[160]; /* in the token's folder, which goes when the group ends */
    static const struct {
        const char *faults;
        uint64_t says;
    } rows[] = {
        {"token:1:99:20000", CKR_PIN_LOCKED}, /* FINAL_TRY */
        {"token:1:99:40000", CKR_PIN_LOCKED}, /* LOCKED */
        {"open:1:1:30", 0},                   /* no verdict of C_Login's */
    };

    (void)state;
    (void)snprintf(path, sizeof(path), "%s.logins", getenv("SOFTHSM2_CONF"));
    (void)setenv("KYSO_SHIM_LOGINS", path, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)setenv("KYSO_SHIM", rows[i].faults, 1);
        struct vault v = vault_spawn(&shimmed);
        assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
        vault_send_pin(&v, TEST_PIN);
        struct control_msg m = vault_control(&v);
        assert_int_equal(m.type, CONTROL_LOGIN_FAILED);
        assert_int_equal(m.arg, rows[i].says);
        assert_int_equal(vault_wait_exit(&v), HSM_EXIT_LOGIN);
        assert_int_equal(logins(path), 0);
    }
    (void)setenv("KYSO_SHIM", "", 1);
    struct vault v = vault_spawn(&shimmed);
    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    vault_send_pin(&v, "000000");
    assert_int_equal(vault_control(&v).type, CONTROL_LOGIN_FAILED);
    assert_int_equal(vault_wait_exit(&v), HSM_EXIT_LOGIN);
    assert_int_equal(logins(path), 1);
    v = start_with(
        "init:1:4:b3,init:9:9:101"); /* session errors and a lost login never log in again */
    for (int i = 0; i < 6; i++)
        (void)sign_code(&v, &alice);
    vault_stop(&v);
    assert_int_equal(logins(path), 2);
    (void)unsetenv("KYSO_SHIM_LOGINS");
}

static int setup(void **state)
{
    const struct vault_options o = {.sessions = 1};

    if (harness_token_setup(state) != 0)
        return -1;
    struct vault v = vault_start(&o);
    if (!ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &alice)) ||
        !ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_WRAPPED, &bob)) ||
        !ky_ok(vault_generate(&v, KY_KEY_P256, KY_STORE_RESIDENT, &seal)) ||
        !ky_ok(vault_generate(&v, KY_KEY_RSA2048, KY_STORE_WRAPPED, &rsa)))
        return -1;
    vault_stop(&v);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fault_is_survived),
        cmocka_unit_test(test_unwrap_faults),
        cmocka_unit_test(test_two_faults_fail_that_job_only),
        cmocka_unit_test(test_handles_of_a_dead_session_are_forgotten),
        cmocka_unit_test(test_wrong_signatures_are_withheld),
        cmocka_unit_test(test_aliased_handle_never_signs_for_another),
        cmocka_unit_test(test_first_use_trusts_a_seen_handle),
        cmocka_unit_test(test_a_lost_module_or_login_ends_the_vault),
        cmocka_unit_test(test_a_slow_call_holds_up_nobody),
        cmocka_unit_test(test_a_lost_module_keeps_what_others_sign),
        cmocka_unit_test(test_threads_survive_dying_sessions),
        cmocka_unit_test(test_how_often_the_pin_is_tried),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, setup, harness_token_teardown);
}
