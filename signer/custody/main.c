/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-custody: runs while the server waits for its PIN. Takes custodians' shares over one socket, one connection at a time, and
 * gives the supervisor the PIN through a pipe when there are M. It ends when it has, or when the others have not come in
 * time: whatever it held is gone with it, and the next one has another key. A process of its own because kysod is
 * root's and reads no byte from outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "collector.h"
#include "config.h"
#include "confine.h"
#include "kyso/control.h"
#include "kyso/record.h"
#include "log.h"
#include "progress.h"

enum { TRANSCRIPT_FD = KY_CHANNEL_FD, TRANSCRIPT_MAX = 16 * 1024 * 1024 };
enum { SECURE_HEAP = 16384, SECURE_LEAST = 32 };
#define VISIT_US   2000000u  /* for the 114 bytes of a share */
#define REFUSAL_NS 250000000 /* so many a second, whoever floods: no more log, no more work */

struct custody {
    struct collector collector;
    uint64_t patience_us; /* from the first share to the last */
    uint64_t until_us;    /* 0: no share is here */
    int pin_to, pin_from; /* the pipe, made before the rights are given up */
};

/* --- one visitor ------------------------------------------------------------------------------ */

static bool read_whole(int fd, void *out, size_t len)
{
    const uint64_t until_us = ky_now_us() + VISIT_US;
    uint8_t *at = out;

    while (len > 0) {
        const uint64_t now_us = ky_now_us();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (now_us >= until_us || poll(&p, 1, (int)((until_us - now_us) / 1000) + 1) < 0)
            return false;
        n = recv(fd, at, len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static uint64_t uid_of(int fd)
{
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof(who);

    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    return who.uid;
}

static void tell_missing(const struct custody *c)
{
    const struct control_msg m = {.type = CONTROL_READY,
                                  .arg = c->collector.set.m - c->collector.count};

    (void)!ky_ok(control_send(KY_CONTROL_FD, &m, -1)); /* the loop sees that it is gone */
}

static void note(struct custody *c, uint64_t uid, uint8_t custodian, enum activation_answer answer)
{
    if (answer > ACTIVATION_WHOLE) {
        log_event(LOG_WARN, "share-refused", LOG_U64("custodian", custodian), LOG_U64("uid", uid),
                  LOG_STR("why", activation_answers[answer]));
        return;
    }
    log_event(LOG_INFO, "share-taken", LOG_U64("custodian", custodian), LOG_U64("uid", uid),
              LOG_U64("have", c->collector.count), LOG_U64("needed", c->collector.set.m));
    if (c->until_us == 0)
        c->until_us = ky_now_us() + c->patience_us;
    tell_missing(c);
}

/* True: all shares that are needed are there. */
static bool attend(struct custody *c, int fd)
{
    const struct timespec pause = {.tv_nsec = REFUSAL_NS};
    const struct activation_hello *hello = &c->collector.key.hello;
    struct activation_share share;
    struct activation_reply reply = {.needed = hello->needed};
    enum activation_answer answer;

    if (send(fd, hello, sizeof(*hello), MSG_NOSIGNAL) < 0 || !read_whole(fd, &share, sizeof(share)))
        return false;
    answer = collector_take(&c->collector, &share);
    note(c, uid_of(fd), share.custodian, answer);
    reply.answer = (uint8_t)answer;
    reply.have = hello->have;
    (void)!send(fd, &reply, sizeof(reply), MSG_NOSIGNAL);
    if (answer > ACTIVATION_WHOLE)
        (void)nanosleep(&pause, NULL);
    return answer == ACTIVATION_WHOLE;
}

/* --- the wait --------------------------------------------------------------------------------- */

/* Names the key that the shares were sealed to: the ledger will. */
static struct ky_status give_pin(struct custody *c)
{
    struct control_msg m = {.type = CONTROL_PIN, .arg = collector_custodians(&c->collector)};
    struct ky_secret pin = {.bytes = NULL};
    struct ky_status st = collector_pin(&c->collector, &pin);

    activation_name(&c->collector.key.hello, (uint8_t *)m.text);
    if (ky_ok(st) && write(c->pin_to, pin.bytes, pin.len) != (ssize_t)pin.len)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    ky_secret_wipe(&pin);
    (void)close(c->pin_to);
    return ky_ok(st) ? control_send(KY_CONTROL_FD, &m, c->pin_from) : st;
}

static bool told_to_end(void)
{
    struct control_msg m;
    int passed = -1;
    struct ky_status st = control_recv(KY_CONTROL_FD, &m, &passed);

    if (passed >= 0)
        (void)close(passed);
    return !ky_ok(st) || m.type == CONTROL_DRAIN;
}

/* Until there are enough, or it is told to end, or the rest are late. */
static bool wait_for_shares(struct custody *c)
{
    struct pollfd p[2] = {{.fd = KY_CONTROL_FD, .events = POLLIN},
                          {.fd = KY_LISTEN_FD, .events = POLLIN}};
    bool whole = false;

    while (!whole) {
        const uint64_t now_us = ky_now_us();
        int fd;

        if (c->until_us != 0 && now_us >= c->until_us) {
            log_event(LOG_WARN, "shares-forgotten", LOG_U64("had", c->collector.count),
                      LOG_U64("needed", c->collector.set.m));
            return false;
        }
        if (poll(p, 2, c->until_us == 0 ? -1 : (int)((c->until_us - now_us) / 1000) + 1) < 0 &&
            errno != EINTR)
            return false;
        if (p[0].revents != 0 && told_to_end())
            return false;
        fd = p[1].revents != 0 ? accept4(KY_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0) {
            whole = attend(c, fd);
            (void)close(fd);
        }
    }
    return true;
}

/* --- the start -------------------------------------------------------------------------------- */

static struct ky_status read_transcript(struct progress *out, const char **out_why)
{
    struct ky_buf text = KY_BUF_INIT(TRANSCRIPT_MAX);
    struct transcript t;
    struct ky_status st = KY_STATUS(KY_OK);
    uint8_t chunk[4096];
    ssize_t n;

    /* the same descriptor serves every start: it has no place that is kept */
    while ((n = pread(TRANSCRIPT_FD, chunk, sizeof(chunk), (off_t)text.len)) > 0 && !text.failed)
        ky_buf_put(&text, chunk, (size_t)n);
    if (n < 0 || text.failed)
        st = KY_STATUS_CAUSE(KY_IO, n < 0 ? errno : EFBIG);
    if (ky_ok(st))
        st = transcript_parse(ky_buf_span(&text), false, progress_take, out, &t, out_why);
    ky_buf_free(&text);
    return st;
}

static struct ky_status begin(struct custody *c)
{
    struct progress p = {.id = ""};
    char name[ACTIVATION_PRINT];
    const char *why =
        "is not closed, or older than this program: it has no commitment to its secret";
    int ends[2] = {-1, -1};
    struct ky_status st = read_transcript(&p, &why);

    if (ky_ok(st))
        st = p.closed ? collector_open(&p.custody, &c->collector) : KY_STATUS(KY_INVALID);
    if (!ky_ok(st))
        log_event(LOG_ERROR, "config-refused", LOG_STR("option", "ledger.ceremony_transcript"),
                  LOG_STR("why", why), LOG_CODE(st));
    else if (pipe2(ends, O_CLOEXEC) != 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    c->pin_from = ends[0];
    c->pin_to = ends[1];
    hsm_verifier_wipe(&p.verifier);
    if (!ky_ok(st))
        return st;
    activation_print(&c->collector.key.hello, name);
    log_event(LOG_WARN, "custodians-awaited", LOG_STR("ceremony", p.id),
              LOG_U64("needed", c->collector.set.m), LOG_U64("of", c->collector.set.n),
              LOG_STR("this_start", name));
    return st;
}

int main(void)
{
    struct custody c = {.until_us = 0};
    struct config *config = NULL;
    const struct confine door = {.role = CONFINE_DOOR};
    char *why = NULL;
    struct ky_status st = ky_harden_process();
    int code = EXIT_FAILURE;

    log_setup("custody", NULL, NULL);
    (void)signal(SIGTERM, SIG_IGN); /* the supervisor tells when */
    if (ky_ok(st))
        st = config_load_fd(KY_CONFIG_FD, &config, &why);
    if (!ky_ok(st)) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", why != NULL ? why : ""),
                  LOG_CODE(st));
        goto done;
    }
    log_setup("custody", config->log_format, config->log_level);
    c.patience_us = config->token.custodian_wait_s * (uint64_t)1000000;
    /* The private key's number is kept in locked pages that no core file has. */
    if (CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST) != 1)
        goto done;
    st = begin(&c);
    if (!ky_ok(st) || !ky_ok(st = confine_process(&door)))
        goto done;
    tell_missing(&c);
    if (wait_for_shares(&c) && !ky_ok(st = give_pin(&c)))
        log_event(LOG_ERROR, "share-refused", LOG_STR("why", "the shares do not give the secret"),
                  LOG_CODE(st));
    code = ky_ok(st) ? EXIT_SUCCESS : EXIT_FAILURE;
done:
    collector_close(&c.collector);
    (void)CRYPTO_secure_malloc_done();
    free(why);
    config_free(&config);
    return code;
}
