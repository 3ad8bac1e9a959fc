/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages: one datagram each, at most one descriptor, none leaked.
 */
#include "kyso/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto_test.h"

static int setup(void **state)
{
    int *fds = calloc(2, sizeof(*fds));
    assert_non_null(fds);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *state = fds;
    return 0;
}

static int teardown(void **state)
{
    int *fds = *state;
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(fds);
    return 0;
}

static int open_count(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_round_trip(void **state)
{
    const int *fds = *state;
    const struct control_msg m = {.type = CONTROL_PEER_DEAD,
                                  .door = 2,
                                  .index = 3,
                                  .generation = 4,
                                  .arg = UINT64_MAX,
                                  .text = "why"};
    struct control_msg got;
    int fd = 99;
    EXPECT(KY_BUSY, control_recv(fds[1], &got, &fd));
    EXPECT(KY_OK, control_send(fds[0], &m, -1));
    EXPECT(KY_OK, control_recv(fds[1], &got, &fd));
    assert_memory_equal(&m, &got, sizeof(m));
    assert_int_equal(fd, -1);
}

static void test_descriptor(void **state)
{
    const int *fds = *state;
    const struct control_msg m = {.type = CONTROL_PIN};
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    int before = open_count();
    EXPECT(KY_OK, control_send(fds[0], &m, pipe_fds[0]));
    struct control_msg got;
    int fd = -1;
    EXPECT(KY_OK, control_recv(fds[1], &got, &fd));
    assert_int_equal(open_count(), before + 1);
    assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(pipe_fds[1], "1234", 4), 4);
    char pin[8];
    assert_int_equal(read(fd, pin, sizeof(pin)), 4);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* n descriptors beside `len` bytes, as no sender of ours would. */
static void send_odd(int to, size_t len, int n, int fd)
{
    uint8_t bytes[256] = {0};
    struct iovec iov = {bytes, len};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } u;
    memset(&u, 0, sizeof(u));
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        mh.msg_control = u.room;
        mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        for (int i = 0; i < n; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(int));
    }
    assert_int_equal(sendmsg(to, &mh, 0), (ssize_t)len);
}

static void test_odd_datagrams(void **state)
{
    const int *fds = *state;
    const size_t whole = sizeof(struct control_msg);
    const struct {
        size_t len;
        int n;
    } odd[] = {{1, 0},         {whole - 1, 0}, {whole + 1, 0}, {whole - 1, 1},
               {whole + 1, 1}, {whole, 2},     {whole, 3},     {whole, 4}};
    int before = open_count();
    for (size_t i = 0; i < ROWS(odd); i++) {
        struct control_msg got = {.type = 77};
        int fd = 99;
        send_odd(fds[0], odd[i].len, odd[i].n, fds[0]);
        EXPECT(KY_INVALID, control_recv(fds[1], &got, &fd));
        assert_true(got.type == 77 && fd == 99);
        assert_int_equal(open_count(), before);
    }
}

static void test_text_is_ended(void **state)
{
    const int *fds = *state;
    struct control_msg m = {.type = CONTROL_SEALED};
    memset(m.text, 'x', sizeof(m.text));
    EXPECT(KY_OK, control_send(fds[0], &m, -1));
    int fd;
    EXPECT(KY_OK, control_recv(fds[1], &m, &fd));
    assert_int_equal(strlen(m.text), sizeof(m.text) - 1);
}

static void test_peer_gone(void **state)
{
    int *fds = *state;
    const struct control_msg m = {.type = CONTROL_HELLO};
    struct control_msg got;
    int fd;
    EXPECT(KY_OK, control_send(fds[0], &m, -1));
    close(fds[0]);
    fds[0] = -1;
    EXPECT(KY_OK, control_recv(fds[1], &got, &fd));
    EXPECT(KY_UNAVAILABLE, control_recv(fds[1], &got, &fd));
    EXPECT(KY_IO, control_send(fds[1], &m, -1));
    EXPECT(KY_IO, control_recv(-1, &got, &fd));
}

#define WITH_PAIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_round_trip),    WITH_PAIR(test_descriptor), WITH_PAIR(test_odd_datagrams),
        WITH_PAIR(test_text_is_ended), WITH_PAIR(test_peer_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
