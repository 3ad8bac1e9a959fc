/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line a subject: a label, then figures. What is as it should be is plain, what needs somebody is red or yellow, and says in
 * words what it is: a pipe has no colours.
 */
#include "status_screen.h"

#include <inttypes.h>
#include <string.h>

#define BAR_CELLS  20u
#define STALE_MS   60000u /* an anchor, a checkpoint */
#define LABEL_WIDE 14

enum mood { PLAIN, GOOD, WARN, BAD };

struct screen {
    FILE *out;
    bool colour;
};

static void paint(const struct screen *s, enum mood mood, const char *text)
{
    static const char *const codes[] = {"", "\033[1;32m", "\033[1;33m", "\033[1;31m"};
    bool colour = s->colour && mood != PLAIN;

    (void)fputs(colour ? codes[mood] : "", s->out);
    output_clean(s->out, text);
    (void)fputs(colour ? "\033[0m" : "", s->out);
}

static void label(const struct screen *s, const char *text)
{
    (void)fputs(s->colour ? "\033[2m" : "", s->out);
    (void)fprintf(s->out, "  %-*s", LABEL_WIDE, text);
    (void)fputs(s->colour ? "\033[0m" : "", s->out);
}

static void print_duration(FILE *out, uint64_t s)
{
    if (s >= 86400)
        (void)fprintf(out, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        (void)fprintf(out, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)fprintf(out, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else
        (void)fprintf(out, "%" PRIu64 " s", s);
}

static void print_head(const struct screen *s, const Kyso__V1__Status *m, int64_t now_s)
{
    char time[32];

    (void)fputs(s->colour ? "\033[1m" : "", s->out);
    (void)fputs("Kyso ", s->out);
    output_clean(s->out, m->server_id);
    (void)fputs(s->colour ? "\033[0m   " : "   ", s->out);
    paint(s, m->sealed ? BAD : GOOD, m->sealed ? "SEALED" : "SERVING");
    (void)fprintf(s->out, "   version %s   up ", m->version);
    print_duration(s->out, m->uptime_s);
    (void)fprintf(s->out, "   %s%s\n", output_time(now_s, time), m->demo ? "   (demo: seeds may be shown)" : "");
}

/* What an operator has to do something about, each a line; then the screen goes on below. */
static void print_alarms(const struct screen *s, const Kyso__V1__Status *m)
{
    if (m->sealed) {
        (void)fputs("  sealed because: ", s->out);
        paint(s, BAD, m->sealed_reason);
        (void)fputs("\n  nothing is signed until an operator acts; see the runbook for this reason\n", s->out);
    }
    if (m->codes_suspended) {
        (void)fputs("  ", s->out);
        paint(s, BAD, "codes are suspended: several clients tried wrong ones; see kyso client list. Approvals are taken");
        (void)fputc('\n', s->out);
    }
    if (m->suspended_clients > 0) {
        (void)fputs("  ", s->out);
        paint(s, WARN, m->suspended_clients == 1 ? "a client is suspended" : "clients are suspended");
        (void)fputs("; see kyso client list\n", s->out);
    }
}

static void print_clock(const struct screen *s, const Kyso__V1__Status *m)
{
    bool good = strcmp(m->clock, "synchronised") == 0;

    label(s, "clock");
    paint(s, good ? PLAIN : WARN, m->clock);
    (void)fputs(" with UTC", s->out);
    if (good)
        (void)fprintf(s->out, ", within %.1f ms", (double)m->clock_error_us / 1000.0);
    (void)fputc('\n', s->out);
}

static void print_age(const struct screen *s, uint64_t size, uint64_t head, uint64_t age_ms)
{
    (void)fprintf(s->out, "%" PRIu64 " records, ", size);
    (void)fputs(s->colour && age_ms > STALE_MS && size != head ? "\033[1;33m" : "", s->out);
    if (age_ms < 10000)
        (void)fprintf(s->out, "%.1f s", (double)age_ms / 1000.0);
    else
        print_duration(s->out, age_ms / 1000);
    (void)fputs(s->colour ? " ago\033[0m\n" : " ago\n", s->out);
}

static void print_ledger(const struct screen *s, const Kyso__V1__Status *m)
{
    label(s, "token");
    output_clean(s->out, m->token);
    (void)fputc('\n', s->out);
    label(s, "ledger");
    (void)fprintf(s->out, "%" PRIu64 " records, root ", m->ledger_size);
    for (size_t i = 0; i < m->ledger_root.len && i < 8; i++)
        (void)fprintf(s->out, "%02x", m->ledger_root.data[i]);
    (void)fputs("...\n", s->out);
    label(s, "anchor");
    print_age(s, m->anchor_size, m->ledger_size, m->anchor_age_ms);
    label(s, "checkpoint");
    if (m->checkpoint_size == 0)
        (void)fputs("none yet\n", s->out);
    else
        print_age(s, m->checkpoint_size, m->ledger_size, m->checkpoint_age_ms);
}

static void print_work(const struct screen *s, const Kyso__V1__Status *m)
{
    label(s, "signatures");
    (void)fprintf(s->out, "%" PRIu64 ", %.1f a second\n", m->signatures, (double)m->signatures_per_min / 60.0);
    label(s, "denials");
    (void)fprintf(s->out, "%" PRIu64 ", %.1f a second\n", m->denials, (double)m->denials_per_min / 60.0);
    label(s, "queue");
    (void)fprintf(s->out, "%u waiting, %u in flight, %u open transactions\n", m->queue, m->in_flight,
                  m->transactions);
}

static void print_bar(const struct screen *s, uint32_t have, uint32_t want)
{
    uint32_t cells = want == 0 ? BAR_CELLS : have >= want ? BAR_CELLS : BAR_CELLS * have / want;

    for (uint32_t i = 0; s->colour && i < BAR_CELLS; i++)
        (void)fputs(i < cells ? "\u2588" : "\u2591", s->out);
    (void)fputs(s->colour ? "  " : "", s->out);
}

static void print_people(const struct screen *s, const Kyso__V1__Status *m)
{
    label(s, "people");
    (void)fprintf(s->out, "%" PRIu64 ", with %" PRIu64 " credentials\n", m->subjects, m->credentials);
    label(s, "certificates");
    if (m->expiring > 0) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%u expire within 30 days", m->expiring);
        paint(s, WARN, text);
        (void)fputs("; see kyso credential list --expiring 30d", s->out);
    } else {
        (void)fputs("none expires within 30 days", s->out);
    }
    if (m->credentials_read < m->credentials)
        (void)fprintf(s->out, " (%u of %" PRIu64 " read since the start)", m->credentials_read, m->credentials);
    (void)fputc('\n', s->out);
    for (size_t i = 0; i < m->n_pool; i++) {
        label(s, i == 0 ? "key pool" : "");
        print_bar(s, m->pool[i]->keys, m->pool[i]->wanted);
        (void)fprintf(s->out, "%u of %u %s\n", m->pool[i]->keys, m->pool[i]->wanted,
                      show_key_type(m->pool[i]->key_type));
    }
    if (m->backup[0] != '\0') {
        label(s, "backup");
        paint(s, strncmp(m->backup, "failed", 6) == 0 ? BAD : PLAIN, m->backup);
        (void)fputc('\n', s->out);
    }
    if (m->crl[0] != '\0') {
        label(s, "revocation list");
        paint(s, strncmp(m->crl, "good", 4) == 0 ? PLAIN : BAD, m->crl);
        (void)fputc('\n', s->out);
    }
}

static void print_roles(const struct screen *s, const Kyso__V1__Status *m)
{
    (void)fprintf(s->out, "\n  %-20s %-12s %9s %12s\n", "ROLE", "STATE", "RESTARTS", "JOBS");
    for (size_t i = 0; i < m->n_roles; i++) {
        const Kyso__V1__RoleStatus *r = m->roles[i];
        bool good = strcmp(r->state, "serving") == 0;

        (void)fprintf(s->out, "  %-16s %-3u ", r->role, r->index);
        paint(s, good ? GOOD : BAD, r->state);
        (void)fprintf(s->out, "%*s %9" PRIu64 " %12" PRIu64 "\n",
                      (int)(strlen(r->state) < 12 ? 12 - strlen(r->state) : 0), "", r->restarts, r->jobs);
    }
}

void status_screen(FILE *out, const Kyso__V1__Status *m, int64_t now_s, bool colour)
{
    const struct screen s = {.out = out, .colour = colour};

    print_head(&s, m, now_s);
    print_alarms(&s, m);
    (void)fputc('\n', out);
    print_work(&s, m);
    print_people(&s, m);
    print_ledger(&s, m);
    print_clock(&s, m);
    print_roles(&s, m);
}
