/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door's listening socket, which the supervisor bound and several fronts may share. It is
 * left alone while the front is full, out of descriptors or draining: another front takes the peer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "kyso/control.h"
#include "log.h"

#define ACCEPTS_PER_TURN      16
#define OUT_OF_DESCRIPTORS_US 100000u

static void describe(const struct sockaddr_storage *a, char *out, size_t cap)
{
    char text[INET6_ADDRSTRLEN] = "";
    uint16_t port = 0;

    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)a;
        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        port = ntohs(in->sin_port);
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)a;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        port = ntohs(in6->sin6_port);
    }
    (void)snprintf(out, cap, "%s:%u", text[0] ? text : "local", (unsigned)port);
}

static void accept_one(struct front *f, int fd, const struct sockaddr_storage *addr)
{
    char peer[64];
    int on = 1;

    if (f->door == KY_DOOR_OPERATOR) {
        struct ucred who;
        socklen_t len = sizeof(who);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) {
            (void)close(fd);
            return;
        }
        (void)snprintf(peer, sizeof(peer), "uid:%u", (unsigned)who.uid);
        conn_accept(f, fd, peer, (uint32_t)who.uid);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    describe(addr, peer, sizeof(peer));
    conn_accept(f, fd, peer, 0);
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    struct front *f = arg;

    (void)what;
    front_clock(f);
    for (int i = 0; i < ACCEPTS_PER_TURN && f->accepting; i++) {
        struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(addr);
        int fd =
            accept4((int)listen_fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(f, fd, &addr);
            if (f->conn_count >= f->config->doors.max_connections)
                listener_pause(f, 0);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_event(LOG_WARN, "connection-refused",
                      LOG_STR("why", "out of descriptors or memory"),
                      LOG_U64("connections", f->conn_count));
            listener_pause(f, f->now_us + OUT_OF_DESCRIPTORS_US);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

struct ky_status listener_open(struct front *f)
{
    if (evutil_make_socket_nonblocking(KY_LISTEN_FD) != 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    event_assign(&f->accept_event, f->base, KY_LISTEN_FD, EV_READ | EV_PERSIST, on_acceptable, f);
    if (event_add(&f->accept_event, NULL) != 0)
        return KY_STATUS(KY_NOMEM);
    f->accepting = true;
    return KY_STATUS(KY_OK);
}

void listener_pause(struct front *f, uint64_t until_us)
{
    if (f->accepting)
        event_del(&f->accept_event);
    f->accepting = false;
    f->accept_again_us = until_us;
}

void listener_resume(struct front *f)
{
    if (f->accepting || f->draining || f->stop ||
        f->conn_count >= f->config->doors.max_connections || f->now_us < f->accept_again_us)
        return;
    f->accepting = event_add(&f->accept_event, NULL) == 0;
}

void listener_close(struct front *f)
{
    listener_pause(f, 0);
}

uint16_t listener_port(void)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(a);
    if (getsockname(KY_LISTEN_FD, (struct sockaddr *)&a, &len) != 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&a)->sin_port);
    return a.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)&a)->sin6_port)
               : 0;
}
