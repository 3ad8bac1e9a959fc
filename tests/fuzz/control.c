/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams between the supervisor and a role, with and without a descriptor: one that is taken has
 * the one form and its text ends; none leaves a descriptor open. Input: whether a descriptor goes
 * along, the datagram.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "kyso/control.h"

static void send_raw(int fd, struct ky_span datagram, unsigned descriptors)
{
    _Alignas(struct cmsghdr) uint8_t space[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec io = {.iov_base = (void *)(uintptr_t)datagram.data, .iov_len = datagram.len};
    struct msghdr mh = {.msg_iov = &io, .msg_iovlen = 1};
    int fds[2] = {STDERR_FILENO, STDERR_FILENO};

    if (descriptors > 0) {
        mh.msg_control = space;
        mh.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        memcpy(CMSG_DATA(c), fds, descriptors * sizeof(int));
    }
    FUZZ_CHECK(sendmsg(fd, &mh, 0) == (ssize_t)datagram.len);
}

/* The lowest free descriptor: it stays the same where none is left open. */
static int free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ends[2];
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    unsigned descriptors = ky_get_u8(&r) % 3;
    struct ky_span datagram = fuzz_rest(&r);
    struct control_msg m, again;
    int passed = -1;

    if (ends[0] == 0)
        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
    if (datagram.len == 0 || datagram.len > 4096)
        return 0; /* nothing is an end of file */
    int before = free_fd();
    send_raw(ends[1], datagram, descriptors);
    if (ky_ok(control_recv(ends[0], &m, &passed))) {
        FUZZ_CHECK(datagram.len == sizeof(m) && descriptors < 2);
        FUZZ_CHECK((passed >= 0) == (descriptors == 1));
        FUZZ_CHECK(memchr(m.text, 0, sizeof(m.text)) != NULL);
        if (passed >= 0)
            close(passed);
        FUZZ_CHECK(ky_ok(control_send(ends[1], &m, -1)));
        FUZZ_CHECK(ky_ok(control_recv(ends[0], &again, &passed)) && passed == -1);
        FUZZ_CHECK(memcmp(&m, &again, sizeof(m)) == 0);
    }
    FUZZ_CHECK(free_fd() == before);
    return 0;
}
