/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets. The supervisor binds them once and lends them to the fronts, so a
 * front that is started again loses no waiting connection, and several share one port.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisor.h"

#define BACKLOG 1024

static struct ky_status split_address(const char *listen, char *host, size_t cap, const char **port)
{
    const char *colon = strrchr(listen, ':');
    size_t n;

    if (!colon || colon == listen)
        return KY_STATUS(KY_INVALID);
    n = (size_t)(colon - listen);
    if (*listen == '[' && listen[n - 1] == ']') {
        listen++;
        n -= 2;
    }
    if (n >= cap)
        return KY_STATUS(KY_INVALID);
    memcpy(host, listen, n);
    host[n] = '\0';
    *port = colon + 1;
    return KY_STATUS(KY_OK);
}

static void name_socket(struct listener *l, const char *host)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    unsigned port = 0;

    if (getsockname(l->fd, (struct sockaddr *)&bound, &len) == 0) {
        if (bound.ss_family == AF_INET)
            port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
        else if (bound.ss_family == AF_INET6)
            port = ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
    }
    (void)snprintf(l->address, sizeof(l->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static struct ky_status open_tcp(struct listener *l, const char *listen_on)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST };
    struct addrinfo *found = NULL;
    const char *port;
    char host[64];
    const int on = 1;
    struct ky_status st = split_address(listen_on, host, sizeof(host), &port);

    if (!ky_ok(st))
        return st;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return KY_STATUS(KY_INVALID);
    l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(l->fd, found->ai_addr, found->ai_addrlen) != 0 || listen(l->fd, BACKLOG) != 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    else
        name_socket(l, host);
    freeaddrinfo(found);
    return st;
}

static bool is_unix(const struct listener *l)
{
    return l->door == KY_DOOR_OPERATOR || l->door == DOOR_CUSTODY;
}

static struct ky_status open_unix(struct listener *l, const char *path, mode_t mode)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct stat left;

    if (strlen(path) >= sizeof(a.sun_path))
        return KY_STATUS_CAUSE(KY_INVALID, ENAMETOOLONG);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (lstat(path, &left) == 0 && S_ISSOCK(left.st_mode))
        (void)unlink(path); /* an earlier server's: the state's lock is held. Anything else stays, and bind says so. */
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)) != 0 || chmod(path, mode) != 0 ||
        listen(l->fd, BACKLOG) != 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    (void)snprintf(l->address, sizeof(l->address), "%s", path);
    return KY_STATUS(KY_OK);
}

/* Nobody but who started this server: kyso-ceremony, while the KEK is rotated. */
static void open_custodians(struct supervisor *s)
{
    char path[sizeof(s->custodians.address)];
    struct ky_status st = KY_STATUS(KY_INVALID);

    if ((size_t)snprintf(path, sizeof(path), "%s/run/kek.sock", s->config->state_dir) < sizeof(path))
        st = open_unix(&s->custodians, path, 0600);
    if (!ky_ok(st)) /* the server does without */
        log_event(LOG_WARN, "listening", LOG_STR("not", "run/kek.sock"), LOG_CODE(st));
}

struct ky_status listen_open_all(struct supervisor *s)
{
    const struct config_doors *d = &s->config->doors;
    const bool all = s->phase == PHASE_RUN;
    const struct { uint32_t door; const char *where; } wanted[] = {
        { KY_DOOR_SIGNER, d->signer_listen },
        { KY_DOOR_APPROVER, d->approver_listen },
        { KY_DOOR_OPERATOR, d->operator_socket },
        { 0, s->config->status_listen },
        { DOOR_CUSTODY, s->config->token.custodian_socket },
    };

    s->custodians = (struct listener){ .fd = -1, .door = KY_DOOR_CUSTODIAN };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct listener *l = &s->listeners[s->listener_count];
        struct ky_status st;

        if (!wanted[i].where || !*wanted[i].where || (!all && wanted[i].door != DOOR_CUSTODY))
            continue;
        *l = (struct listener){ .fd = -1, .door = wanted[i].door };
        st = is_unix(l) ? open_unix(l, wanted[i].where, 0660) : open_tcp(l, wanted[i].where);
        s->listener_count++;
        if (!ky_ok(st)) {
            log_event(LOG_ERROR, "config-refused", LOG_STR("listen", wanted[i].where), LOG_CODE(st));
            return st;
        }
        log_event(LOG_INFO, "listening", LOG_U64("door", l->door), LOG_STR("address", l->address));
    }
    if (all)
        open_custodians(s);
    return KY_STATUS(KY_OK);
}

static const char *address_of(const struct supervisor *s, uint32_t door)
{
    for (int i = 0; i < s->listener_count; i++)
        if (s->listeners[i].door == door)
            return s->listeners[i].address;
    return "";
}

struct ky_status listen_publish(const struct supervisor *s)
{
    char path[1024], fresh[1040];
    FILE *f;
    int bad;

    if ((size_t)snprintf(path, sizeof(path), "%s/run/endpoints.json", s->config->state_dir) >= sizeof(path))
        return KY_STATUS(KY_INVALID);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    f = fopen(fresh, "we");
    if (!f)
        return KY_STATUS_CAUSE(KY_IO, errno);
    bad = fprintf(f,
                  "{\"server_id\":\"%s\",\"signer\":\"%s\",\"approver\":\"%s\",\"operator\":\"%s\","
                  "\"status\":\"%s\",\"pid\":%ld}\n",
                  s->config->server_id, address_of(s, KY_DOOR_SIGNER), address_of(s, KY_DOOR_APPROVER),
                  address_of(s, KY_DOOR_OPERATOR), address_of(s, 0), (long)getpid()) < 0;
    bad |= fclose(f) != 0;
    if (bad || rename(fresh, path) != 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    return KY_STATUS(KY_OK);
}

void listen_close_all(struct supervisor *s)
{
    char path[1024];

    for (int i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].fd >= 0)
            close(s->listeners[i].fd);
        if (is_unix(&s->listeners[i]))
            (void)unlink(s->listeners[i].address);
    }
    s->listener_count = 0;
    if (s->custodians.fd >= 0) {
        close(s->custodians.fd);
        (void)unlink(s->custodians.address);
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/run/endpoints.json", s->config->state_dir) < sizeof(path))
        (void)unlink(path);
}
