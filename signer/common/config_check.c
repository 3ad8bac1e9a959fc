/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults and bounds: one row per option, so that the check, the default and the
 * message cannot drift apart.
 */
#include "config_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct number_rule {
    const char *name;
    size_t offset;
    uint32_t standard; /* taken when absent or 0 */
    uint32_t min, max;
};
struct text_rule {
    const char *name;
    size_t offset;
    const char *standard; /* NULL: may stay absent */
    const char *in_state; /* default is state_dir + this */
    const char *must;     /* what to write, when there is no default */
    bool path;            /* must be absolute */
};

/* clang-format off */
#define N(path, f, standard, min, max) { path, offsetof(struct config, f), standard, min, max }
#define T(name, f, ...) { name, offsetof(struct config, f), __VA_ARGS__ }
/* clang-format on */

static const struct number_rule numbers[] = {
    N("doors.signer_fronts", doors.signer_fronts, 1, 1, 64),
    N("doors.max_connections", doors.max_connections, 4096, 1, 65536),
    N("doors.max_streams", doors.max_streams, 256, 1, 4096),
    N("doors.max_connection_age_s", doors.max_connection_age_s, 3600, 10, 86400),
    N("token.sessions", token.sessions, 1, 1, 256),
    N("token.custodian_wait_s", token.custodian_wait_s, 900, 1, 86400),
    N("token.pool.p256", token.pool.p256, 0, 0, 10000),
    N("token.pool.p384", token.pool.p384, 0, 0, 10000),
    N("token.pool.rsa2048", token.pool.rsa2048, 0, 0, 10000),
    N("token.pool.rsa3072", token.pool.rsa3072, 0, 0, 10000),
    N("token.pool.rsa4096", token.pool.rsa4096, 0, 0, 10000),
    N("token.cache_keys", token.cache_keys, 4096, 1, 1000000),
    N("limits.queue", limits.queue, 8192, 1, 1000000),
    N("limits.per_client", limits.per_client, 4096, 1, 1000000),
    N("limits.max_hashes", limits.max_hashes, 256, 1, 256),
    N("limits.start_deadline_ms", limits.start_deadline_ms, 60000, 1000, 600000),
    N("limits.sign_deadline_ms", limits.sign_deadline_ms, 2000, 100, 60000),
    N("limits.generate_deadline_ms", limits.generate_deadline_ms, 60000, 1000, 600000),
    N("limits.replay_requests", limits.replay_requests, 4000000, 1000, 100000000),
    N("limits.replay_window_s", limits.replay_window_s, 86400, 60, 604800),
    N("limits.pending_ttl_s", limits.pending_ttl_s, 120, 1, 600),
    N("limits.heartbeat_ms", limits.heartbeat_ms, 100, 50, 60000),
    N("policy.totp_window", policy.totp_window, 1, 1, 10),
    N("policy.lock_tries", policy.lock_tries, 5, 1, 100),
    N("policy.lock_first_s", policy.lock_first_s, 900, 1, 86400),
    N("policy.lock_max_s", policy.lock_max_s, 86400, 1, 2592000),
    N("policy.lock_total", policy.lock_total, 20, 1, 100),
    N("policy.client_failures_per_minute", policy.client_failures_per_minute, 50, 1, 100000),
    N("policy.client_failure_percent", policy.client_failure_percent, 5, 1, 100),
    N("policy.spray_clients", policy.spray_clients, 3, 2, 1000),
    N("policy.spray_window_s", policy.spray_window_s, 3600, 60, 604800),
    N("policy.begins_per_5min", policy.begins_per_5min, 3, 1, 8),
    N("ledger.checkpoint_interval_s", ledger.checkpoint_interval_s, 10, 1, 86400),
    N("ledger.anchor_interval_ms", ledger.anchor_interval_ms, 1000, 50, 60000),
    N("ledger.anchor_records", ledger.anchor_records, 10000, 1, 10000000),
};

static const struct text_rule texts[] = {
    T("server_id", server_id, NULL, NULL, "a name such as sign.example.vn", false),
    T("state_dir", state_dir, NULL, NULL, "an absolute folder such as /var/lib/kyso", true),
    T("tls.certificate", tls.certificate, NULL, NULL, "the server's certificate chain, PEM", true),
    T("tls.key", tls.key, NULL, NULL, "the server's private key, PEM", true),
    T("tls.client_ca", tls.client_ca, NULL, NULL, "the issuers of client certificates, PEM", true),
    T("token.module", token.module, NULL, NULL, "the PKCS#11 module's absolute path", true),
    T("token.uri", token.uri, NULL, NULL, "an RFC 7512 URI such as pkcs11:token=kyso", false),
    T("token.verify", token.verify, "always", NULL, NULL, false),
    T("doors.signer_listen", doors.signer_listen, "127.0.0.1:8443", NULL, NULL, false),
    T("doors.operator_socket", doors.operator_socket, NULL, "/run/operator.sock", NULL, true),
    T("token.custodian_socket", token.custodian_socket, NULL, NULL, NULL, true),
    T("ledger.checkpoint_file", ledger.checkpoint_file, NULL, "/checkpoint", NULL, true),
    T("ledger.ceremony_transcript", ledger.ceremony_transcript, NULL, NULL, NULL, true),
    T("certificates.crl", certificates.crl, NULL, NULL, NULL, true),
    T("certificates.ca", certificates.ca, NULL, NULL, NULL, true),
    T("certificates.crl_when_stale", certificates.crl_when_stale, "refuse", NULL, NULL, false),
    T("passkeys.origin", passkeys.origin, NULL, NULL, NULL, false),
    T("clock.when_unsynced", clock.when_unsynced, "serve", NULL, NULL, false),
    T("log_format", log_format, "text", NULL, NULL, false),
    T("log_level", log_level, "info", NULL, NULL, false),
};

#define CHOICE_WORDS 4u

struct choice_rule {
    const char *name;
    size_t offset;
    const char *words[CHOICE_WORDS];
};
static const struct choice_rule choices[] = {
    {"token.verify", offsetof(struct config, token.verify), {"always", "first-use"}},
    {"certificates.crl_when_stale",
     offsetof(struct config, certificates.crl_when_stale),
     {"refuse", "serve"}},
    {"clock.when_unsynced", offsetof(struct config, clock.when_unsynced), {"serve", "refuse"}},
    {"log_format", offsetof(struct config, log_format), {"text", "json"}},
    {"log_level", offsetof(struct config, log_level), {"debug", "info", "warn", "error"}},
};

__attribute__((format(printf, 2, 3))) static struct ky_status refuse(char **out_error,
                                                                     const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(out_error, fmt, args) < 0)
        *out_error = NULL;
    va_end(args);
    return KY_STATUS(KY_INVALID);
}

static char **text_at(struct config *c, size_t offset)
{
    return (char **)(void *)((char *)c + offset);
}

static struct ky_status fill_text(struct config *c, const struct text_rule *r, char **out_error)
{
    char **value = text_at(c, r->offset);
    int n = 0;

    if (*value && !**value) { /* an empty value is an absent one */
        free(*value);
        *value = NULL;
    }
    if (!*value && r->standard)
        n = (*value = strdup(r->standard)) ? 0 : -1;
    else if (!*value && r->in_state)
        n = asprintf(value, "%s%s", c->state_dir, r->in_state);
    if (n < 0)
        return KY_STATUS(KY_NOMEM);
    if (!*value && r->must)
        return refuse(out_error, "configuration: %s is missing: give %s", r->name, r->must);
    if (*value && r->path && **value != '/')
        return refuse(out_error, "configuration: %s must be an absolute path, not \"%s\"", r->name,
                      *value);
    return KY_STATUS(KY_OK);
}

static struct ky_status fill_number(struct config *c, const struct number_rule *r, char **out_error)
{
    uint32_t *value = (uint32_t *)(void *)((char *)c + r->offset);

    if (*value == 0)
        *value = r->standard;
    if (*value < r->min || *value > r->max)
        return refuse(out_error, "configuration: %s is %u: it must lie between %u and %u", r->name,
                      *value, r->min, r->max);
    return KY_STATUS(KY_OK);
}

static struct ky_status check_choice(struct config *c, const struct choice_rule *r,
                                     char **out_error)
{
    const char *value = *text_at(c, r->offset);
    char words[64] = "";

    for (size_t i = 0; i < CHOICE_WORDS && r->words[i]; i++) {
        if (strcmp(value, r->words[i]) == 0)
            return KY_STATUS(KY_OK);
        (void)snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s",
                       i > 0 ? ", " : "", r->words[i]);
    }
    return refuse(out_error, "configuration: %s is \"%s\": it must be one of %s", r->name, value,
                  words);
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

/* As browsers write it (RFC 6454 s.6.1): nothing that an assertion's client data would escape. Plain http is for a demo on one machine. */
static bool is_origin(const char *text)
{
    size_t scheme = strncmp(text, "https://", 8) == 0           ? 8
                    : strncmp(text, "http://localhost", 16) == 0 ? 7
                                                                 : 0;
    size_t n = strlen(text);

    return scheme > 0 && n > scheme && n < 200 && text[scheme] != ':' &&
           strspn(text + scheme, "abcdefghijklmnopqrstuvwxyz0123456789.-:") == n - scheme;
}

static struct ky_status check_relations(const struct config *c, char **out_error)
{
    struct ky_span id = ky_span_text(c->server_id);
    const int sources = (c->token.pin_file != NULL) + (c->token.pin_credential != NULL) +
                        (c->token.custodian_socket != NULL);

    if (!ky_span_is_name(id, 64))
        return refuse(out_error,
                      "configuration: server_id must be 1 to 64 of A-Z a-z 0-9 . _ : @ -");
    if (sources > 1)
        return refuse(out_error, "configuration: give one of token.pin_file, token.pin_credential "
                                 "and token.custodian_socket, not both");
    if (sources == 0)
        return refuse(out_error,
                      "configuration: token.pin_file, token.pin_credential or "
                      "token.custodian_socket is missing: name where the PIN comes from");
    if (c->token.custodian_socket && !c->ledger.ceremony_transcript)
        return refuse(out_error, "configuration: ledger.ceremony_transcript is missing: it says "
                                 "whose shares token.custodian_socket waits for");
    if (strstr(c->token.uri, "pin-value") || strstr(c->token.uri, "pin-source"))
        return refuse(out_error,
                      "configuration: token.uri must not carry the PIN: use token.pin_file");
    if (c->status_listen && *c->status_listen && !is_loopback(c->status_listen))
        return refuse(out_error,
                      "configuration: status_listen is \"%s\": only a loopback address is "
                      "served, put a proxy before it",
                      c->status_listen);
    if (c->policy.lock_total < c->policy.lock_tries)
        return refuse(out_error,
                      "configuration: policy.lock_total must not be less than lock_tries");
    if (c->certificates.crl && !c->certificates.ca)
        return refuse(out_error, "configuration: certificates.ca is missing: the issuers of certificates.crl, PEM");
    if (c->passkeys.origin && !is_origin(c->passkeys.origin))
        return refuse(out_error,
                      "configuration: passkeys.origin is \"%s\": it must be like "
                      "https://approve.example.vn, in small letters, with nothing after the host but a port",
                      c->passkeys.origin);
    if (c->token.vaults > 64)
        return refuse(out_error, "configuration: token.vaults is %u: at most 64", c->token.vaults);
    return KY_STATUS(KY_OK);
}

struct ky_status config_fill_and_check(struct config *c, char **out_error)
{
    struct ky_status st = KY_STATUS(KY_OK);

    for (size_t i = 0; ky_ok(st) && i < sizeof(texts) / sizeof(texts[0]); i++)
        st = fill_text(c, &texts[i], out_error);
    for (size_t i = 0; ky_ok(st) && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        st = fill_number(c, &numbers[i], out_error);
    for (size_t i = 0; ky_ok(st) && i < sizeof(choices) / sizeof(choices[0]); i++)
        st = check_choice(c, &choices[i], out_error);
    if (ky_ok(st))
        st = check_relations(c, out_error);
    return st;
}
