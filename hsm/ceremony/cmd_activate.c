/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony activate: one custodian, at a terminal of their own, gives their activation share to a server that waits
 * for it. The share is judged by the public transcript before it leaves, and leaves sealed to the key of that start alone.
 * Needs no token and no plan, and writes nothing.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "activation.h"
#include "sitting.h"
#include "terminal.h"

enum { ANSWER_S = 60 }; /* others may be served first */

struct visit {
    struct cli *cli;
    const char *socket;
    struct progress progress;
    struct activation_hello hello;
};

static int read_transcript(struct visit *v)
{
    const char *path = cli_get(v->cli, "TRANSCRIPT");
    const char *error = NULL;
    struct transcript t;
    struct ky_status st = transcript_read(path, false, progress_take, &v->progress, &t, &error);

    if (st.code == KY_CORRUPT)
        return cli_fail(v->cli, CLI_UNVERIFIED, "take an unchanged copy", "%s: line %u %s", path,
                        st.cause, error);
    if (!ky_ok(st))
        return cli_fail(v->cli, CLI_FAILED, NULL, "%s: %s", path, strerror((int)st.cause));
    return v->progress.closed ? CLI_OK
                              : cli_fail(v->cli, CLI_USAGE, "finish it: kyso-ceremony init",
                                         "the ceremony of %s is not closed", path);
}

/* Connected, with the server's hello read into *out; -1 with errno. */
static int meet(const char *path, struct activation_hello *out)
{
    const struct timeval patience = {.tv_sec = ANSWER_S};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    errno = ENAMETOOLONG;
    if (fd >= 0 && ky_span_to_cstr(ky_span_text(path), a.sun_path, sizeof(a.sun_path)) &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        errno = EPROTO;
        if (recv(fd, out, sizeof(*out), MSG_WAITALL) == (ssize_t)sizeof(*out))
            return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static int not_met(struct visit *v)
{
    return cli_fail(v->cli, CLI_UNREACHABLE,
                    errno == ENOENT || errno == ECONNREFUSED
                        ? "a server listens there only while it waits for its custodians"
                    : errno == EAGAIN
                        ? "the server has its PIN, or is busy with others: see its log"
                        : NULL,
                    "%s: %s", v->socket, strerror(errno));
}

static int look(struct visit *v)
{
    int fd = meet(v->socket, &v->hello);

    if (fd < 0)
        return not_met(v);
    (void)close(fd);
    if (!activation_asks_for(&v->hello, &v->progress.custody))
        return cli_fail(v->cli, CLI_UNVERIFIED, "give nothing; look for the right transcript",
                        "that server does not ask for shares of ceremony %s", v->progress.id);
    return CLI_OK;
}

/* Two people on the telephone, or one with two screens: nothing but this tells a server from one that poses as it. */
static int compare(struct visit *v)
{
    char name[ACTIVATION_PRINT];
    struct ky_secret typed = {.bytes = NULL};
    bool same;

    activation_print(&v->hello, name);
    terminal_say("Ceremony %s. The server has %u of the %u shares that it needs.\n"
                 "This start of the server is\n\n    %s\n\n"
                 "Compare it with the line \"custodians-awaited\" of the server's own log.",
                 v->progress.id, v->hello.have, v->hello.needed, name);
    same = terminal_ask("Is it the same, group by group? (yes) ", &typed) &&
           ky_span_eq(ky_secret_span(&typed), ky_span_text("yes"));
    ky_secret_wipe(&typed);
    return same ? CLI_OK
                : cli_fail(v->cli, CLI_UNVERIFIED, "find out what answers there",
                           "nothing was given: it takes the word \"yes\"");
}

static int ask(struct visit *v, uint32_t *custodian, struct ky_secret *share)
{
    static const uint8_t zeros[SHARE_LEN];
    const struct share_set *set = &v->progress.custody;
    enum custody_typed how = TYPED_AGAIN;
    enum share_fault fault;

    if (!ky_ok(ky_secret_set(share, KY_SPAN_OF(zeros))))
        return cli_fail(v->cli, CLI_FAILED, NULL, "no locked memory for a share");
    while (how == TYPED_AGAIN) {
        *custodian = 0;
        terminal_say("\nType the two lines \"activation\" of your form (\"again\" begins anew).");
        how = custody_type(set, SHARE_ACTIVATION, custodian, share);
        terminal_clear();
    }
    if (how == TYPED_GONE)
        return cli_fail(v->cli, CLI_FAILED, "run the same command again", "the terminal is gone");
    fault = share_check(set, SHARE_ACTIVATION, *custodian, share);
    return fault == SHARE_FINE
               ? CLI_OK
               : cli_fail(v->cli, CLI_UNVERIFIED, "nothing was given",
                          "the share of custodian %u is %s", *custodian, share_faults[fault]);
}

/* A server that was started again meanwhile has another key: it is told apart before anything is sent. */
static int give(struct visit *v, uint32_t custodian, const struct ky_secret *share)
{
    struct activation_hello now = {.have = 0};
    struct activation_share sealed;
    struct activation_reply reply = {.answer = ACTIVATION_FAILED};
    uint8_t before_name[32];
    uint8_t now_name[32];
    struct ky_status st = activation_seal(&v->hello, (uint8_t)custodian, share, &sealed);
    int fd = ky_ok(st) ? meet(v->socket, &now) : -1;
    int rc = CLI_OK;

    if (!ky_ok(st))
        return cli_fail(v->cli, CLI_FAILED, NULL, "the share cannot be sealed: %s",
                        ky_code_info(st.code)->name);
    if (fd < 0)
        return not_met(v);
    activation_name(&v->hello, before_name);
    activation_name(&now, now_name);
    if (!ky_span_eq(KY_SPAN_OF(before_name), KY_SPAN_OF(now_name)))
        rc = cli_fail(v->cli, CLI_FAILED, "run the same command again: it has another name",
                      "the server was started again meanwhile, and nothing was given");
    else if (send(fd, &sealed, sizeof(sealed), MSG_NOSIGNAL) != (ssize_t)sizeof(sealed) ||
             recv(fd, &reply, sizeof(reply), MSG_WAITALL) != (ssize_t)sizeof(reply))
        rc = cli_fail(v->cli, CLI_UNREACHABLE, "run the same command again",
                      "the server took the share without an answer");
    else if (reply.answer != ACTIVATION_TAKEN && reply.answer != ACTIVATION_WHOLE)
        rc = cli_fail(v->cli, CLI_FAILED, NULL, "the share of custodian %u is %s", custodian,
                      activation_answers[reply.answer < ACTIVATION_ANSWERS ? reply.answer
                                                                           : ACTIVATION_FAILED]);
    else
        terminal_say("The share of custodian %u is %s. %u of %u are there.", custodian,
                     activation_answers[reply.answer], reply.have, reply.needed);
    (void)close(fd);
    return rc;
}

int cmd_activate(struct cli *cli)
{
    struct visit v = {.cli = cli, .socket = cli_get(cli, "--socket")};
    struct ky_secret share = {.bytes = NULL};
    uint32_t custodian = 0;
    int rc = terminal_open() ? read_transcript(&v) : CLI_USAGE;

    if (rc == CLI_OK)
        rc = look(&v);
    if (rc == CLI_OK)
        rc = compare(&v);
    if (rc == CLI_OK)
        rc = ask(&v, &custodian, &share);
    if (rc == CLI_OK)
        rc = give(&v, custodian, &share);
    ky_secret_wipe(&share);
    hsm_verifier_wipe(&v.progress.verifier);
    return rc;
}
