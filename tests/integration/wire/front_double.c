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

#include "kyso/alg.h"
#include "kyso/control.h"
#include "kyso/door.h"
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
    unsigned long records, signs, cancels, answered;
    unsigned long events[DOOR_EVENT_FLOOD + 1];
    uint8_t spki[KY_SPKI_HASH_LEN];
    uint32_t uid;
    unsigned secret_len, hashes_len, proof, ttl_s;
    uint64_t deadline_in_ms;
};

struct play {
    struct ky_channel channel;
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
    uint8_t answer[KY_RECORD_MAX];
};

static void die(const char *what)
{
    perror(what);
    exit(3);
}

static void reply(struct play *p, const struct ky_schema *s, const void *msg, uint64_t tag)
{
    if (!ky_ok(ky_channel_send(&p->channel, s, msg, tag, 0))) {
        (void)fprintf(stderr, "double: cannot send %s\n", s->name);
        exit(3);
    }
    p->totals.answered++;
}

static void refuse(struct play *p, uint16_t code, uint64_t tag)
{
    reply(p, &door_refused_schema,
          &(struct door_refused){.code = code, .retry_after_ms = code == KY_BUSY ? 250 : 0}, tag);
}

/* A "signature" is its hash over and over, so that a test sees which one it got. */
static void answer_sign(struct play *p, const struct door_tx *tx, uint64_t tag)
{
    size_t hash_len = ky_hash_len(tx->hash), count = tx->hashes.len / hash_len;
    size_t sig_len = tx->scheme == KY_ECDSA || tx->scheme == KY_EDDSA ? 64 : 256;
    struct door_r_sign r = {.request_id = tx->request_id,
                            .transaction_id = ky_span_text("tx-1"),
                            .count = (uint16_t)count,
                            .sig_len = (uint16_t)sig_len,
                            .scheme = tx->scheme};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sig_len; j++)
            p->answer[i * sig_len + j] = tx->hashes.data[i * hash_len + j % hash_len];
    r.signatures = KY_SPAN(p->answer, count * sig_len);
    reply(p, &door_r_sign_schema, &r, tag);
}

static void answer_tx(struct play *p, struct ky_span request_id, struct ky_span transaction_id,
                      bool authorized, uint64_t tag)
{
    static const uint8_t sad[KY_SAD_LEN] = {0x5a, 0x5a, 0x5a};
    struct door_r_tx r = {.request_id = request_id,
                          .transaction_id = transaction_id,
                          .state = authorized ? 2 : 1,
                          .not_after_s = 1900000000};
    memset(r.tx_digest, 0xd1, sizeof(r.tx_digest));
    memset(r.nonce, 0x0e, sizeof(r.nonce));
    if (authorized)
        r.sad = KY_SPAN_OF(sad);
    else
        r.matching_code = ky_span_text("42");
    reply(p, &door_r_tx_schema, &r, tag);
}

static struct door_r_cred credential(struct ky_span id)
{
    static const uint8_t der[] = {0x30, 0x03, 0x02, 0x01, 0x07};
    return (struct door_r_cred){.credential_id = id,
                                .subject_id = ky_span_text("citizen-1"),
                                .key_type = KY_KEY_P256,
                                .state = 2,
                                .storage = KY_STORE_WRAPPED,
                                .epoch = 3,
                                .max_hashes = 16,
                                .certificate = KY_SPAN_OF(der),
                                .public_key = KY_SPAN_OF(der)};
}

static void put_item(struct ky_buf *list, const struct ky_schema *s, const void *msg)
{
    struct ky_buf item = KY_BUF_INIT(KY_RECORD_MAX);
    if (!ky_ok(ky_msg_encode(s, msg, &item)))
        exit(3);
    ky_put_bytes(list, ky_buf_span(&item));
    ky_buf_free(&item);
}

static void answer_list(struct play *p, const struct door_cred_list *q, uint64_t tag)
{
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX), chain = KY_BUF_INIT(4096);
    struct door_r_list r = {.next_page_token = q->page_token};
    uint32_t n = q->page_size ? q->page_size : 2;

    ky_put_bytes(&chain, ky_span_text("issuer"));
    for (uint32_t i = 0; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "cred-%u", (unsigned)i);
        struct door_r_cred c = credential(ky_span_text(id));
        c.chain = ky_buf_span(&chain);
        put_item(&items, &door_r_cred_schema, &c);
    }
    r.items = ky_buf_span(&items);
    reply(p, &door_r_cred_list_schema, &r, tag);
    ky_buf_free(&items);
    ky_buf_free(&chain);
}

static struct door_r_approval approval(struct ky_span transaction_id, const struct ky_buf *choices)
{
    static const uint8_t hashes[64] = {1, 2, 3};
    struct door_r_approval a = {.transaction_id = transaction_id,
                                .server_id = ky_span_text("server"),
                                .client = ky_span_text("gateway"),
                                .relying_party = ky_span_text("bank"),
                                .subject_id = ky_span_text("citizen-1"),
                                .credential_id = ky_span_text("cred-1"),
                                .credential_epoch = 3,
                                .scheme = KY_RSA_PSS,
                                .hash = KY_SHA256,
                                .salt_len = 32,
                                .hashes = KY_SPAN_OF(hashes),
                                .display_text =
                                    ky_span_text("H\xe1\xbb\xa3p \xc4\x91\xe1\xbb\x93ng"),
                                .not_after_s = 1900000000,
                                .state = 1,
                                .choices = ky_buf_span(choices)};
    memset(a.nonce, 0x0e, sizeof(a.nonce));
    return a;
}

static void answer_approvals(struct play *p, const struct door_approval_ref *q, bool one,
                             uint64_t tag)
{
    struct ky_buf items = KY_BUF_INIT(KY_RECORD_MAX), choices = KY_BUF_INIT(64);
    struct door_r_approval a;

    ky_put_bytes(&choices, ky_span_text("17"));
    ky_put_bytes(&choices, ky_span_text("42"));
    if (one) {
        a = approval(q->transaction_id, &choices);
        reply(p, &door_r_approval_schema, &a, tag);
    } else {
        a = approval(ky_span_text("tx-1"), &choices);
        put_item(&items, &door_r_approval_schema, &a);
        a = approval(ky_span_text("tx-2"), &choices);
        put_item(&items, &door_r_approval_schema, &a);
        reply(p, &door_r_approval_list_schema, &(struct door_r_list){.items = ky_buf_span(&items)},
              tag);
    }
    ky_buf_free(&items);
    ky_buf_free(&choices);
}

static void answer_info(struct play *p, uint64_t tag)
{
    static const uint8_t algorithms[] = {KY_ECDSA, KY_SHA256, KY_RSA_PSS, KY_SHA512};
    struct door_r_info r = {.server_id = ky_span_text("server"),
                            .version = ky_span_text("0"),
                            .client = ky_span_text("gateway"),
                            .algorithms = KY_SPAN_OF(algorithms),
                            .max_hashes = 256};
    reply(p, &door_r_info_schema, &r, tag);
}

/* The name that a request's rule hangs on. */
static struct ky_span rule_of(uint16_t type, const void *m)
{
    const struct door_tx *tx = m;
    const struct door_cred_get *get = m;
    const struct door_tx_ref *ref = m;
    const struct door_approval_ref *approval_ref = m;
    const struct door_decide *decide = m;

    switch (type) {
    case DOOR_SIGN:
    case DOOR_TX_BEGIN:
    case DOOR_TX_AUTHORIZE:
        return tx->credential_id;
    case DOOR_CRED_GET:
        return get->credential_id;
    case DOOR_TX_WAIT:
    case DOOR_TX_CANCEL:
        return ref->transaction_id;
    case DOOR_APPROVAL_GET:
        return approval_ref->transaction_id;
    case DOOR_APPROVAL_DECIDE:
        return decide->transaction_id;
    default:
        return KY_SPAN(NULL, 0);
    }
}

static const struct ky_schema *const requests[] = {
    &door_info_schema,         &door_cred_list_schema,       &door_cred_get_schema,
    &door_tx_begin_schema,     &door_tx_authorize_schema,    &door_sign_schema,
    &door_tx_wait_schema,      &door_tx_cancel_schema,       &door_approval_list_schema,
    &door_approval_get_schema, &door_approval_decide_schema, &door_operate_schema,
};

union any {
    struct door_info info;
    struct door_cred_list list;
    struct door_cred_get get;
    struct door_tx tx;
    struct door_tx_ref ref;
    struct door_approval_ref approval_ref;
    struct door_decide decide;
    struct door_operate operate;
};

static bool decode(uint16_t type, struct ky_span payload, union any *out)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (requests[i]->type == type)
            return ky_ok(ky_msg_decode(requests[i], payload, out));
    return false;
}

static void answer(struct play *p, uint16_t type, const union any *m, uint64_t tag)
{
    switch (type) {
    case DOOR_INFO:
        answer_info(p, tag);
        break;
    case DOOR_CRED_LIST:
        answer_list(p, &m->list, tag);
        break;
    case DOOR_CRED_GET: {
        struct door_r_cred c = credential(m->get.credential_id);
        reply(p, &door_r_cred_schema, &c, tag);
        break;
    }
    case DOOR_TX_BEGIN:
        answer_tx(p, m->tx.request_id, ky_span_text("tx-1"), false, tag);
        break;
    case DOOR_TX_AUTHORIZE:
        answer_tx(p, m->tx.request_id, ky_span_text("tx-1"), true, tag);
        break;
    case DOOR_SIGN:
        answer_sign(p, &m->tx, tag);
        break;
    case DOOR_TX_WAIT:
    case DOOR_TX_CANCEL:
        answer_tx(p, KY_SPAN(NULL, 0), m->ref.transaction_id, type == DOOR_TX_WAIT, tag);
        break;
    case DOOR_APPROVAL_LIST:
    case DOOR_APPROVAL_GET:
        answer_approvals(p, &m->approval_ref, type == DOOR_APPROVAL_GET, tag);
        break;
    case DOOR_APPROVAL_DECIDE: {
        struct door_r_decision d = {.transaction_id = m->decide.transaction_id,
                                    .state = m->decide.decision + 1u};
        reply(p, &door_r_decision_schema, &d, tag);
        break;
    }
    case DOOR_OPERATE:
        reply(p, &door_r_operate_schema, &(struct door_r_operate){.result = m->operate.operation},
              tag);
        break;
    default:
        break;
    }
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
    union any m;
    if (decode(h->type, KY_SPAN(h->payload, h->len), &m))
        answer(p, h->type, &m, h->tag);
    free(h->payload);
}

static void shuffle(struct play *p, const struct ky_record *r)
{
    p->shuffled[p->shuffled_count++] = hold(r, 0);
    if (p->shuffled_count == SHUFFLE)
        while (p->shuffled_count > 0)
            answer_held(p, &p->shuffled[--p->shuffled_count]);
}

static void note(struct play *p, const struct ky_record *r, const union any *m)
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
    union any m;
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
    if (!decode(r->type, r->payload, &m)) {
        (void)fprintf(stderr, "double: record of type %u does not decode\n", r->type);
        exit(3);
    }
    note(p, r, &m);
    (void)ky_span_to_cstr(rule_of(r->type, &m), rule, sizeof(rule));
    if (strncmp(rule, "slow-", 5) == 0 && p->held_count < HELD_MAX)
        p->held[p->held_count++] = hold(r, ky_now_us() + strtoull(rule + 5, NULL, 10) * 1000u);
    else if (strncmp(rule, "refuse-", 7) == 0)
        refuse(p, (uint16_t)strtoul(rule + 7, NULL, 10), r->tag);
    else if (strcmp(rule, "shuffle") == 0)
        shuffle(p, r);
    else if (strcmp(rule, "never") != 0)
        answer(p, r->type, &m, r->tag);
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
    (void)!ky_ok(ky_channel_send(&p->channel, &door_heartbeat_schema,
                                 &(struct door_heartbeat){p->serving}, 0, 0));
}

static void read_channel(struct play *p)
{
    struct ky_record r;
    struct ky_status st = ky_channel_read(&p->channel);
    while (ky_ok(st) && ky_channel_next(&p->channel, &r, &st))
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
                 t->records, t->signs, t->cancels, t->answered, (unsigned)t->uid, t->secret_len,
                 t->hashes_len, t->proof, t->ttl_s, (unsigned long long)t->deadline_in_ms);
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
        if (ky_channel_has_output(&p->channel) && fds[1].fd >= 0)
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
        if (!ky_ok(ky_channel_flush(&p->channel)))
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
    ky_channel_init(&p.channel, p.channel_fd, 64u * 1024u * 1024u);
    beat(&p, ky_now_us()); /* it serves before anybody is told the port */
    if (!ky_ok(ky_channel_flush(&p.channel)))
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
    ky_channel_wipe(&p.channel);
    return 0;
}
