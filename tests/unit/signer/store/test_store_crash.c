/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at known points and at arbitrary ones: a turn whose commit returned is there, one whose
 * commit did not begin is not, and no turn is there in part. The child says through a pipe where it
 * is.
 */
#include "store_test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PER_TURN 7u

/* Runs in the child; ends by being killed. */
typedef void (*child_fn)(struct bench *b, int tell);

static void say(int tell, uint8_t word)
{
    if (write(tell, &word, 1) != 1) {
        _exit(3);
    }
}

static void stage(struct bench *b)
{
    for (uint32_t i = 0; i + 1 < PER_TURN; i++) {
        if (!ky_ok(bench_event(b, i))) {
            _exit(4);
        }
    }
    if (!ky_ok(bench_subject(b, 0, "cccd:1", NULL))) {
        _exit(4);
    }
}

static void commit(struct bench *b)
{
    if (!ky_ok(store_commit(b->store))) {
        _exit(5);
    }
}

static void killed_before_the_commit(struct bench *b, int tell)
{
    stage(b);
    commit(b);
    stage(b);
    say(tell, 1);
    (void)pause();
}

static void killed_after_the_commit(struct bench *b, int tell)
{
    stage(b);
    commit(b);
    say(tell, 1);
    (void)pause();
}

static void killed_anywhere(struct bench *b, int tell)
{
    for (;;) {
        stage(b);
        commit(b);
        say(tell, 1);
    }
}

/* Returns how many words the child had said when it was dead. */
static uint32_t kill_child(struct bench *b, child_fn run, uint32_t after_words)
{
    int pipe_fds[2];
    uint32_t words = 0;
    uint8_t word = 0;
    int status = 0;
    assert_int_equal(pipe(pipe_fds), 0);
    bench_close(b);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pipe_fds[0]);
        bench_keys(b);
        if (ky_ok(bench_start(b))) {
            run(b, pipe_fds[1]);
        }
        _exit(2);
    }
    (void)close(pipe_fds[1]);
    while (words < after_words && read(pipe_fds[0], &word, 1) == 1) {
        words++;
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail_msg("the child ended by itself: status %x", (unsigned)status);
    }
    while (read(pipe_fds[0], &word, 1) == 1) { /* said before it died */
        words++;
    }
    (void)close(pipe_fds[0]);
    return words;
}

static void a_staged_turn_is_gone(void **state)
{
    struct bench *b = *state;
    assert_int_equal(kill_child(b, killed_before_the_commit, 1), 1);
    OK(bench_start(b));
    assert_int_equal(store_ledger_size(b->store), PER_TURN);
    assert_int_equal(store_row_count(b->store, ROW_SUBJECT), 1);
    OK(store_ledger_check(b->store));
}

static void a_committed_turn_stays(void **state)
{
    struct bench *b = *state;
    assert_int_equal(kill_child(b, killed_after_the_commit, 1), 1);
    OK(bench_start(b));
    assert_int_equal(store_ledger_size(b->store), PER_TURN);
    OK(store_ledger_check(b->store));
}

static void no_kill_leaves_part_of_a_turn(void **state)
{
    struct bench *b = *state;
    uint64_t before = 0;
    for (uint32_t round = 0; round < 25; round++) {
        uint64_t said = kill_child(b, killed_anywhere, 1 + round % 5);
        OK(bench_start(b));
        uint64_t turns = store_ledger_size(b->store) / PER_TURN;
        assert_int_equal(store_ledger_size(b->store) % PER_TURN, 0);
        assert_true(turns >= before + said); /* what was told is there */
        assert_true(turns <=
                    before + said + 1); /* at most the one it was about to tell is there too */
        assert_int_equal(store_row_count(b->store, ROW_SUBJECT), turns);
        OK(store_ledger_check(b->store));
        before = turns;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        TEST(a_staged_turn_is_gone),
        TEST(a_committed_turn_stays),
        TEST(no_kill_leaves_part_of_a_turn),
    };
    return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
