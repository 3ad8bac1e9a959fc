/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One control message per datagram, with at most one descriptor beside it. Supervisor and
 * every role, each on its own thread of control. Both ends are the same binary release on one host,
 * so the struct travels as it lies in memory; its length is the check.
 */
#include "kyso/control.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(struct control_msg) == 120, "no padding: every byte that is sent was set");

union fd_room { /* aligned for a header; CMSG_SPACE may hold a second descriptor in its padding */
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void attach_fd(struct msghdr *mh, union fd_room *room, int fd)
{
    memset(room, 0, sizeof(*room));
    mh->msg_control = room->bytes;
    mh->msg_controllen = sizeof(room->bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(mh);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

struct ky_status control_send(int control_fd, const struct control_msg *m, int fd)
{
    struct control_msg copy = *m;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_room room;
    if (fd >= 0)
        attach_fd(&mh, &room, fd);
    ssize_t put;
    do {
        put = sendmsg(control_fd, &mh, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put != (ssize_t)sizeof(copy))
        return KY_STATUS_CAUSE(KY_IO, put < 0 ? errno : EMSGSIZE);
    return KY_STATUS(KY_OK);
}

/* Every descriptor that came must be owned by someone: all of them are closed but a single one. */
static int take_fd(struct msghdr *mh, size_t *out_count)
{
    int kept = -1;
    *out_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if ((*out_count)++ == 0)
                kept = fd;
            else
                close(fd);
        }
    }
    return kept;
}

struct ky_status control_recv(int control_fd, struct control_msg *out, int *out_fd)
{
    struct control_msg m;
    struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
    union fd_room room;
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = room.bytes,
                        .msg_controllen = sizeof(room.bytes)};
    ssize_t got;
    do {
        got = recvmsg(control_fd, &mh, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return KY_STATUS(KY_BUSY);
    if (got < 0 && errno != ECONNRESET)
        return KY_STATUS_CAUSE(KY_IO, errno);
    if (got <= 0)
        return KY_STATUS(KY_UNAVAILABLE);
    size_t fds;
    int fd = take_fd(&mh, &fds);
    if (got != (ssize_t)sizeof(m) || fds > 1 || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        if (fd >= 0)
            close(fd);
        return KY_STATUS(KY_INVALID);
    }
    m.text[sizeof(m.text) - 1] = '\0';
    *out = m;
    *out_fd = fd;
    return KY_STATUS(KY_OK);
}
