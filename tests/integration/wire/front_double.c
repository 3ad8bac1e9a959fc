/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front with an authority that is played: starts kyso-front as the supervisor would, answers its
 * records by rules that the tests write into names, and takes orders on standard input.
 *   a credential or transaction named
 *     "slow-250"  answers after 250 ms     "never"    does not answer
 *     "refuse-7"  refuses with that code   "shuffle"  answers ten at a time, last first
 * Orders: stats, hang, resume, serving 0|1, close, drain. End of input: the front is let go.
 * Every order is answered by one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front_double_answers.h"
#include "kyso/control.h"
#include "kyso/record.h"
#include "kyso/secret.h"
#include "kyso/wire.h"

#define HEARTBEAT_US 20000u
#define SHUFFLE      10u
#define HELD_MAX     8192u

struct held {
    uint64_t due_us;
    uint64_t tag;
    uint16_t type;
    uint8_t *payload; /* owned */
    size_t len;
};

struct totals {
    unsigned long records, signs, cancels;
    unsigned long events[DOOR_EVENT_FLOOD + 1];
    uint8_t spki[KY_SPKI_HASH_LEN];
    uint32_t uid;
    unsigned secret_len, hashes_len, proof, ttl_s;
    uint64_t deadline_in_ms;
};

struct play {
    struct answers answers;
    int control;
    int channel_fd;
    pid_t front;
    bool hang, closed;
    uint8_t serving;
    uint64_t next_beat_us;
    struct held held[HELD_MAX];
    size_t held_count;
    struct held shuffled[SHUFFLE];
    size_t shuffled_count;
    struct totals totals;
};

static void die(const char *what)
{
    perror(what);
    exit(3);
}

static struct held hold(const struct ky_record *r, uint64_t due_us)
{
    struct held h = {.due_us = due_us, .tag = r->tag, .type = r->type, .len = r->payload.len};
    h.payload = malloc(h.len ? h.len : 1);
    if (!h.payload)
        die("malloc");
    memcpy(h.payload, r->payload.data, h.len);
    return h;
}

static void answer_held(struct play *p, struct held *h)
{
    union asked m;
    if (answers_decode(h->type, KY_SPAN(h->payload, h->len), &m))
        answers_give(&p->answers, h->type, &m, h->tag);
    free(h->payload);
}

static void shuffle(struct play *p, const struct ky_record *r)
{
    p->shuffled[p->shuffled_count++] = hold(r, 0);
    if (p->shuffled_count == SHUFFLE)
        while (p->shuffled_count > 0)
            answer_held(p, &p->shuffled[--p->shuffled_count]);
}

static void note(struct play *p, const struct ky_record *r, const union asked *m)
{
    struct totals *t = &p->totals;
    memcpy(t->spki, r->type == DOOR_OPERATE ? t->spki : m->info.spki, sizeof(t->spki));
    t->deadline_in_ms = r->deadline_us ? (r->deadline_us - ky_now_us()) / 1000 : 0;
    if (r->type == DOOR_OPERATE)
        t->uid = m->operate.uid;
    if (r->type == DOOR_SIGN || r->type == DOOR_TX_BEGIN || r->type == DOOR_TX_AUTHORIZE) {
        t->secret_len = (unsigned)m->tx.proof_secret.len;
        t->hashes_len = (unsigned)m->tx.hashes.len;
        t->proof = m->tx.proof;
        t->ttl_s = m->tx.ttl_s;
    }
    if (r->type == DOOR_SIGN)
        t->signs++;
}

static void on_record(struct play *p, const struct ky_record *r)
{
    union asked m;
    struct door_event event;
    char rule[KY_NAME_MAX + 1];

    p->totals.records++;
    if (r->type == DOOR_CANCEL) {
        p->totals.cancels++;
        return;
    }
    if (r->type == DOOR_EVENT && ky_ok(ky_msg_decode(&door_event_schema, r->payload, &event))) {
        if (event.kind <= DOOR_EVENT_FLOOD)
            p->totals.events[event.kind] += event.count;
        return;
    }
    if (!answers_decode(r->type, r->payload, &m)) {
        (void)fprintf(stderr, "double: record of type %u does not decode\n", r->type);
        exit(3);
    }
    note(p, r, &m);
    (void)ky_span_to_cstr(answers_rule(r->type, &m), rule, sizeof(rule));
    if (strncmp(rule, "slow-", 5) == 0 && p->held_count < HELD_MAX)
        p->held[p->held_count++] = hold(r, ky_now_us() + strtoull(rule + 5, NULL, 10) * 1000u);
    else if (strncmp(rule, "refuse-", 7) == 0)
        answers_refuse(&p->answers, (uint16_t)strtoul(rule + 7, NULL, 10), r->tag);
    else if (strcmp(rule, "shuffle") == 0)
        shuffle(p, r);
    else if (strcmp(rule, "never") != 0)
        answers_give(&p->answers, r->type, &m, r->tag);
}

static void answer_due(struct play *p, uint64_t now_us)
{
    for (size_t i = 0; i < p->held_count;) {
        if (p->held[i].due_us > now_us) {
            i++;
            continue;
        }
        answer_held(p, &p->held[i]);
        p->held[i] = p->held[--p->held_count];
    }
}

static void beat(struct play *p, uint64_t now_us)
{
    if (now_us < p->next_beat_us)
        return;
    p->next_beat_us = now_us + HEARTBEAT_US;
    (void)!ky_ok(ky_channel_send(&p->answers.channel, &door_heartbeat_schema,
                                 &(struct door_heartbeat){p->serving}, 0, 0));
}

static void read_channel(struct play *p)
{
    struct ky_record r;
    struct ky_status st = ky_channel_read(&p->answers.channel);
    while (ky_ok(st) && ky_channel_next(&p->answers.channel, &r, &st))
        on_record(p, &r);
    if (!ky_ok(st))
        p->closed = true;
}

static void print_stats(const struct play *p)
{
    const struct totals *t = &p->totals;
    (void)printf("{\"records\":%lu,\"signs\":%lu,\"cancels\":%lu,\"answered\":%lu,\"uid\":%u,"
                 "\"secret_len\":%u,"
                 "\"hashes_len\":%u,\"proof\":%u,\"ttl_s\":%u,\"deadline_in_ms\":%llu,\"events\":[",
                 t->records, t->signs, t->cancels, p->answers.answered, (unsigned)t->uid,
                 t->secret_len, t->hashes_len, t->proof, t->ttl_s,
                 (unsigned long long)t->deadline_in_ms);
    for (unsigned i = 0; i <= DOOR_EVENT_FLOOD; i++)
        (void)printf("%s%lu", i ? "," : "", t->events[i]);
    (void)printf("],\"spki\":\"");
    for (unsigned i = 0; i < sizeof(t->spki); i++)
        (void)printf("%02x", t->spki[i]);
    (void)printf("\"}\n");
}

static void order(struct play *p, const char *line)
{
    if (strcmp(line, "stats") == 0) {
        print_stats(p);
        return;
    }
    if (strcmp(line, "hang") == 0) {
        p->hang = true;
    } else if (strcmp(line, "resume") == 0) {
        p->hang = false;
    } else if (strncmp(line, "serving ", 8) == 0) {
        p->serving = line[8] == '1';
        p->next_beat_us = 0;
    } else if (strcmp(line, "drain") == 0) {
        if (!ky_ok(control_send(p->control, &(struct control_msg){.type = CONTROL_DRAIN}, -1)))
            die("drain");
    } else if (strcmp(line, "close") == 0) {
        (void)close(p->channel_fd);
        p->closed = true;
    }
    (void)printf("{\"done\":\"%s\"}\n", line);
}

/* False at the end of the orders. */
static bool read_orders(struct play *p)
{
    static char line[256];
    static size_t len;
    char c;
    ssize_t n;

    while ((n = read(STDIN_FILENO, &c, 1)) == 1) {
        if (c != '\n') {
            if (len + 1 < sizeof(line))
                line[len++] = c;
            continue;
        }
        line[len] = '\0';
        len = 0;
        order(p, line);
        (void)fflush(stdout);
    }
    return n < 0 && errno == EAGAIN;
}

static void run(struct play *p)
{
    bool ordered = true;
    while (ordered) {
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0},
                               {p->hang || p->closed ? -1 : p->channel_fd, POLLIN, 0}};
        uint64_t now_us;
        if (ky_channel_has_output(&p->answers.channel) && fds[1].fd >= 0)
            fds[1].events |= POLLOUT;
        if (poll(fds, 2, 5) < 0 && errno != EINTR)
            die("poll");
        if (fds[0].revents)
            ordered = read_orders(p);
        if (fds[1].revents & (POLLIN | POLLHUP) && !p->hang && !p->closed)
            read_channel(p);
        now_us = ky_now_us();
        if (p->hang || p->closed)
            continue;
        answer_due(p, now_us);
        beat(p, now_us);
        if (!ky_ok(ky_channel_flush(&p->answers.channel)))
            p->closed = true;
    }
}

static int listen_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof(a.sun_path))
        die("path");
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 64) != 0)
        die("listen");
    return fd;
}

static int config_memory(const char *path)
{
    char chunk[4096];
    int in = open(path, O_RDONLY);
    int out = memfd_create("configuration", 0);
    ssize_t n;
    if (in < 0 || out < 0)
        die(path);
    while ((n = read(in, chunk, sizeof(chunk))) > 0)
        if (write(out, chunk, (size_t)n) != n)
            die("memfd");
    (void)close(in);
    (void)lseek(out, 0, SEEK_SET);
    return out;
}

/* Descriptors to 3..6 by way of higher numbers, so that none overwrites another. */
static void exec_front(int fds[4], char **argv)
{
    for (int i = 0; i < 4; i++)
        if ((fds[i] = fcntl(fds[i], F_DUPFD, 20)) < 0)
            _exit(3);
    for (int i = 0; i < 4; i++)
        if (dup2(fds[i], KY_CONTROL_FD + i) < 0)
            _exit(3);
    for (int fd = KY_LISTEN_FD + 1; fd < 64; fd++)
        (void)close(fd);
    (void)execv(argv[0], argv);
    _exit(3);
}

/* front_double CONFIG SOCKET|- FRONT FRONT_ARGUMENTS... */
int main(int argc, char **argv)
{
    static struct play p = {.serving = 1};
    int control[2], channel[2], fds[4], status = 0;
    struct control_msg ready;
    int passed;

    if (argc < 4)
        return 2;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, channel) != 0)
        die("socketpair");
    fds[0] = control[1];
    fds[1] = config_memory(argv[1]);
    fds[2] = channel[1];
    fds[3] = strcmp(argv[2], "-") == 0 ? listen_tcp() : listen_unix(argv[2]);
    p.front = fork();
    if (p.front < 0)
        die("fork");
    if (p.front == 0)
        exec_front(fds, argv + 3);
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
    p.control = control[0];
    p.channel_fd = channel[0];
    if (!ky_ok(control_recv(p.control, &ready, &passed)) || ready.type != CONTROL_READY) {
        (void)fprintf(stderr, "double: the front did not become ready\n");
        return 3;
    }
    (void)fcntl(p.channel_fd, F_SETFL, O_NONBLOCK);
    ky_channel_init(&p.answers.channel, p.channel_fd, 64u * 1024u * 1024u);
    beat(&p, ky_now_us()); /* it serves before anybody is told the port */
    if (!ky_ok(ky_channel_flush(&p.answers.channel)))
        die("heartbeat");
    (void)printf("{\"port\":%llu,\"pid\":%d}\n", (unsigned long long)ready.arg, (int)p.front);
    (void)fflush(stdout);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    run(&p);
    (void)close(p.control);
    if (waitpid(p.front, &status, 0) != p.front)
        die("waitpid");
    print_stats(&p);
    (void)printf("{\"exit\":%d,\"signal\":%d}\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    for (size_t i = 0; i < p.held_count; i++)
        free(p.held[i].payload);
    for (size_t i = 0; i < p.shuffled_count; i++)
        free(p.shuffled[i].payload);
    ky_channel_wipe(&p.answers.channel);
    return 0;
}
