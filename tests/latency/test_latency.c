/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue by numbers, without a clock; then the module on a real token, in processes of their own
 * (it reads its environment once). Delays are long, so that a busy machine's late wake-ups stay
 * small beside them.
 */
#include <p11-kit/p11-kit.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "slots.h"

enum { MS = 1000000, DELAY_MS = 100, THREADS_MAX = 32 };

static void test_places_and_queue(void **state)
{
    struct slots *s = slots_open(NULL, 2);

    (void)state;
    assert_non_null(s);
    assert_int_equal(slots_take(s, 100, 10), 110); /* two at once */
    assert_int_equal(slots_take(s, 100, 30), 130);
    assert_int_equal(slots_take(s, 101, 10), 120); /* the third follows the first */
    assert_int_equal(slots_take(s, 102, 10), 130);
    assert_int_equal(slots_take(s, 103, 10), 140);
    assert_int_equal(slots_take(s, 500, 10), 510); /* idle time is not saved up */
    assert_int_equal(slots_take(s, 500, 10), 510);
    assert_int_equal(slots_take(s, 500, 10), 520);
    free(s);
}

static void test_jitter_stays_inside(void **state)
{
    struct slots *s = slots_open(NULL, 1);
    uint64_t last =
        slots_now() + UINT64_C(1000000) * MS; /* far ahead: bookings follow each other */
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;

    (void)state;
    s->free_ns[0] = last;
    for (int i = 0; i < 10000; i++) {
        uint64_t end = slots_book(s, 4 * MS, MS);

        low = end - last < low ? end - last : low;
        high = end - last > high ? end - last : high;
        last = end;
    }
    assert_in_range(low, 3 * MS, 3 * MS + MS / 50);
    assert_in_range(high, 5 * MS - MS / 50, 5 * MS);
    free(s);
}

static void test_count_is_checked(void **state)
{
    char path[] = "/tmp/kyso-slots-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    struct slots *first = slots_open(path, 3);
    struct slots *second = slots_open(path, 3);

    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(slots_take(first, 1000, 5), 1005);
    assert_int_equal(second->free_ns[0], 1005); /* one memory */
    assert_null(slots_open(path, 4));
    assert_null(slots_open(NULL, 0));
    assert_int_equal(unlink(path), 0);
}

struct load {
    CK_FUNCTION_LIST *fn;
    CK_SLOT_ID slot;
    pthread_barrier_t start;
    unsigned signs; /* of each thread */
    uint64_t begun_ns[THREADS_MAX];
    uint64_t ended_ns[THREADS_MAX];
    unsigned next;
    pthread_mutex_t lock;
};

static CK_OBJECT_HANDLE make_key(CK_FUNCTION_LIST *fn, CK_SESSION_HANDLE s)
{
    static CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE pub[] = {{CKA_EC_PARAMS, curve, sizeof(curve)}};
    CK_ATTRIBUTE priv[] = {{CKA_SIGN, &yes, sizeof(yes)}};
    CK_OBJECT_HANDLE half = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;

    if (fn->C_GenerateKeyPair(s, &m, pub, 1, priv, 1, &half, &key) != CKR_OK)
        _exit(3);
    return key;
}

static void *signer(void *arg)
{
    struct load *l = arg;
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1};
    CK_BYTE sig[64];
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    unsigned me = 0;

    (void)pthread_mutex_lock(&l->lock);
    me = l->next++;
    (void)pthread_mutex_unlock(&l->lock);
    if (l->fn->C_OpenSession(l->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s) !=
        CKR_OK)
        _exit(4);
    key = make_key(l->fn, s);
    (void)pthread_barrier_wait(&l->start);
    l->begun_ns[me] = slots_now();
    for (unsigned i = 0; i < l->signs; i++) {
        CK_ULONG len = sizeof(sig);

        if (l->fn->C_SignInit(s, &m, key) != CKR_OK ||
            l->fn->C_Sign(s, digest, sizeof(digest), sig, &len) != CKR_OK || len != sizeof(sig))
            _exit(5);
    }
    l->ended_ns[me] = slots_now();
    return NULL;
}

/* In a process of its own: signatures a second, on the pipe. */
static void run_load(int out, unsigned threads, unsigned signs)
{
    struct load l = {.signs = signs, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t ids[THREADS_MAX];
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_SESSION_HANDLE anchor = CK_INVALID_HANDLE;
    uint64_t begun = UINT64_MAX;
    uint64_t ended = 0;
    double rate = 0;

    l.fn = p11_kit_module_load(TEST_LATENCY, P11_KIT_MODULE_UNMANAGED);
    if (l.fn == NULL ||
        l.fn->C_Initialize(&(CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK}) != CKR_OK ||
        l.fn->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK || n == 0 ||
        l.fn->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &anchor) !=
            CKR_OK ||
        l.fn->C_Login(anchor, CKU_USER, (CK_BYTE *)(uintptr_t)TEST_PIN, strlen(TEST_PIN)) != CKR_OK)
        _exit(2);
    l.slot = slots[0]; /* the token; the free slot comes after it */
    (void)pthread_barrier_init(&l.start, NULL, threads);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, signer, &l) != 0)
            _exit(6);
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
        begun = l.begun_ns[i] < begun ? l.begun_ns[i] : begun;
        ended = l.ended_ns[i] > ended ? l.ended_ns[i] : ended;
    }
    (void)l.fn->C_Finalize(NULL);
    rate = threads * signs * 1e9 / (double)(ended - begun);
    _exit(write(out, &rate, sizeof(rate)) == (ssize_t)sizeof(rate) ? 0 : 7);
}

struct run {
    pid_t pid;
    int fd;
};

static struct run start(unsigned threads, unsigned signs)
{
    struct run r;
    int p[2];

    assert_int_equal(pipe(p), 0);
    r.pid = fork();
    assert_true(r.pid >= 0);
    if (r.pid == 0)
        run_load(p[1], threads, signs);
    (void)close(p[1]);
    r.fd = p[0];
    return r;
}

static double finish(struct run r)
{
    double rate = 0;
    int status = -1;

    assert_int_equal(read(r.fd, &rate, sizeof(rate)), sizeof(rate));
    (void)close(r.fd);
    assert_int_equal(waitpid(r.pid, &status, 0), r.pid);
    assert_int_equal(status, 0);
    return rate;
}

static void setting(const char *parallel, const char *shared)
{
    char ms[8];

    (void)snprintf(ms, sizeof(ms), "%d", DELAY_MS);
    assert_int_equal(setenv("KYSO_LATENCY_MS", ms, 1), 0);
    assert_int_equal(setenv("KYSO_LATENCY_PARALLEL", parallel, 1), 0);
    if (shared != NULL)
        assert_int_equal(setenv("KYSO_LATENCY_SHARED", shared, 1), 0);
    else
        (void)unsetenv("KYSO_LATENCY_SHARED");
}

/* Of what `parallel` places can do: at least 90 %, and no more than all of it. */
static void assert_rate(double rate, double parallel)
{
    double most = parallel * 1000 / DELAY_MS;

    print_message("%.0f/s of %.0f/s\n", rate, most);
    assert_true(rate >= 0.9 * most);
    assert_true(rate <= 1.001 * most);
}

static void test_one_thread_waits_each_time(void **state)
{
    (void)state;
    setting("32", NULL);
    assert_rate(finish(start(1, 12)), 1);
}

static void test_as_many_threads_as_places(void **state)
{
    (void)state;
    setting("32", NULL);
    assert_rate(finish(start(32, 12)), 32);
}

static void test_more_threads_than_places(void **state)
{
    (void)state;
    setting("4", NULL);
    assert_rate(finish(start(32, 2)), 4);
}

/* Two vaults, one HSM: together they get what it has, not each. */
static void test_processes_share_the_places(void **state)
{
    char path[] = "/tmp/kyso-slots-XXXXXX";
    int fd = mkstemp(path);
    struct run a;
    struct run b;

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    setting("4", path);
    a = start(8, 8);
    b = start(8, 8);
    double sum = finish(a) + finish(b);
    print_message("together %.0f/s of %.0f/s\n", sum, 4 * 1000.0 / DELAY_MS);
    assert_true(sum < 1.5 * 4 * 1000 / DELAY_MS); /* they need not begin at the same instant */
    assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_and_queue),
        cmocka_unit_test(test_jitter_stays_inside),
        cmocka_unit_test(test_count_is_checked),
        cmocka_unit_test(test_one_thread_waits_each_time),
        cmocka_unit_test(test_as_many_threads_as_places),
        cmocka_unit_test(test_more_threads_than_places),
        cmocka_unit_test(test_processes_share_the_places),
    };

    harness_maybe_vault(argc, argv);
    return cmocka_run_group_tests(tests, harness_token_setup, harness_token_teardown);
}
