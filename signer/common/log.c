/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event, written with one write(2) so that roles sharing a terminal do not mix
 * theirs. The settings are fixed by log_setup before anything else runs.
 */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kyso/span.h"

#define LINE_MAX_LEN 1024u
#define LINE_TAIL    3u /* always kept free: a quote, the closing brace, LF */

static const char *const log_events[] = {
    /* every role */
    "started", "confined", "stopped", "draining", "config-refused", "control-lost",
    /* supervisor */
    "role-started", "role-ended", "role-backoff", "vault-killed", "latch-closed", "listening",
    "serving", "all-as-root", "activated",
    /* authority */
    "opened", "sealed", "recovered", "anchor-mismatch", "anchor-late", "vault-joined", "vault-left",
    "front-joined", "front-left", "job-failed", "late-result", "checkpoint", "anchor", "snapshot",
    "provisioned", "client-suspended", "codes-suspended", "codes-resumed", "turn-slow", "key-quarantined",
    "kek-rotation", "row-refused",
    "crl-taken", "crl-refused", "crl-stale", "clock", "backup",
    "record-refused",
    /* vault */
    "token", "token-unrestricted", "login-failed", "ready", "token-error", "key-refused", "signature-withheld", "vault",
    /* custody */
    "custodians-awaited", "share-taken", "share-refused", "shares-forgotten",
    /* front */
    "connection-refused", "flood", "link-lost", "tls-failed", "front"};

static struct {
    const char *role;
    bool json;
    enum log_level level;
} settings = {.role = "kyso", .level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *role, const char *format, const char *level)
{
    settings.role = role;
    settings.json = format && strcmp(format, "json") == 0;
    for (unsigned i = 0; level && i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(level, level_names[i]) == 0)
            settings.level = (enum log_level)i;
}

struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

/* Whole or not at all. */
static bool put(struct line *l, const char *s)
{
    size_t n = strlen(s);

    if (l->len + n + LINE_TAIL > sizeof(l->text))
        return false;
    memcpy(l->text + l->len, s, n);
    l->len += n;
    return true;
}

/* Quoted, with every byte that could forge a line or a field made visible. */
static void put_quoted(struct line *l, const char *s)
{
    bool readable = ky_span_is_display_text(ky_span_text(s));
    char escaped[8];

    put(l, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            (void)snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c > 0x7f && !readable))
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
        else
            (void)snprintf(escaped, sizeof(escaped), "%c", c);
        if (!put(l, escaped))
            break;
    }
    while (*s && l->text[l->len - 1] & 0x80) /* cut between characters */
        l->len--;
    l->text[l->len++] = '"';
}

static void put_pair(struct line *l, const char *key, const char *text, uint64_t number)
{
    char digits[24];

    /* A pair that has no room for its name and a number is left out. */
    if (l->len + strlen(key) + sizeof(digits) + LINE_TAIL > sizeof(l->text))
        return;
    put(l, settings.json ? ",\"" : " ");
    put(l, key);
    put(l, settings.json ? "\":" : "=");
    if (text) {
        put_quoted(l, text);
    } else {
        (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
        put(l, digits);
    }
}

static bool event_is_listed(const char *event)
{
    for (size_t i = 0; i < sizeof(log_events) / sizeof(log_events[0]); i++)
        if (strcmp(log_events[i], event) == 0)
            return true;
    return false;
}

void log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n)
{
    struct line l = {.len = 0};
    struct timespec now;
    struct tm utc;
    char when[40];

    if (!event_is_listed(event)) {
#ifndef NDEBUG
        abort();
#endif
    }
    if (level < settings.level)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(when + used, sizeof(when) - used, ".%03ldZ", now.tv_nsec / 1000000);

    if (settings.json) {
        put(&l, "{\"time\":\"");
        put(&l, when);
        put(&l, "\"");
        put_pair(&l, "role", settings.role, 0);
        put_pair(&l, "level", level_names[level], 0);
        put_pair(&l, "event", event, 0);
    } else {
        put(&l, when);
        put(&l, " ");
        put(&l, settings.role);
        put(&l, " ");
        put(&l, level_names[level]);
        put(&l, " ");
        put(&l, event);
    }
    for (int i = 0; i < n; i++)
        put_pair(&l, pairs[i].key, pairs[i].text, pairs[i].number);
    if (settings.json)
        l.text[l.len++] = '}';
    l.text[l.len++] = '\n';
    if (write(STDERR_FILENO, l.text, l.len) < 0)
        return; /* nowhere left to say so */
}
