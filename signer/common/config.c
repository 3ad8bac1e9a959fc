/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to struct config by libcyaml's schema. Unknown and missing keys are errors with
 * line and column; defaults and bounds are config_check.c's.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cyaml/cyaml.h>

#include "config_check.h"
#include "kyso/alg.h"

#define CONFIG_MAX  (64u * 1024u)
#define MESSAGE_MAX 1024u

#define TEXT(key, S, f)                                                                            \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct S, f, 0, 1024)
#define UINT(key, S, f) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, struct S, f)
#define BOOL(key, S, f)                                                                            \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct S, f, booleans, 2)
#define PART(key, f, fields) CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, struct config, f, fields)

/* libcyaml's own takes every other word for true: a mistyped "false" would make a demo. */
static const cyaml_strval_t booleans[] = {{"false", false}, {"true", true}};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate", config_tls, certificate),
    TEXT("key", config_tls, key),
    TEXT("client_ca", config_tls, client_ca),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t doors_fields[] = {
    TEXT("signer_listen", config_doors, signer_listen),
    UINT("signer_fronts", config_doors, signer_fronts),
    TEXT("approver_listen", config_doors, approver_listen),
    TEXT("operator_socket", config_doors, operator_socket),
    UINT("max_connections", config_doors, max_connections),
    UINT("max_streams", config_doors, max_streams),
    UINT("max_connection_age_s", config_doors, max_connection_age_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t token_fields[] = {
    TEXT("module", config_token, module),
    TEXT("uri", config_token, uri),
    TEXT("init_args", config_token, init_args),
    TEXT("pin_file", config_token, pin_file),
    TEXT("pin_credential", config_token, pin_credential),
    UINT("vaults", config_token, vaults),
    UINT("sessions", config_token, sessions),
    UINT("cache_keys", config_token, cache_keys),
    UINT("recycle_after", config_token, recycle_after),
    BOOL("serialize", config_token, serialize),
    BOOL("network", config_token, network),
    BOOL("unrestricted_keys", config_token, unrestricted_keys),
    BOOL("software_tuning", config_token, software_tuning),
    TEXT("verify", config_token, verify),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t users_fields[] = {
    TEXT("front", config_users, front),
    TEXT("authority", config_users, authority),
    TEXT("vault", config_users, vault),
    TEXT("status", config_users, status),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    UINT("queue", config_limits, queue),
    UINT("per_client", config_limits, per_client),
    UINT("max_hashes", config_limits, max_hashes),
    UINT("start_deadline_ms", config_limits, start_deadline_ms),
    UINT("sign_deadline_ms", config_limits, sign_deadline_ms),
    UINT("generate_deadline_ms", config_limits, generate_deadline_ms),
    UINT("replay_window_s", config_limits, replay_window_s),
    UINT("replay_requests", config_limits, replay_requests),
    UINT("pending_ttl_s", config_limits, pending_ttl_s),
    UINT("heartbeat_ms", config_limits, heartbeat_ms),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t policy_fields[] = {
    UINT("totp_window", config_policy, totp_window),
    UINT("lock_tries", config_policy, lock_tries),
    UINT("lock_first_s", config_policy, lock_first_s),
    UINT("lock_max_s", config_policy, lock_max_s),
    UINT("lock_total", config_policy, lock_total),
    UINT("client_failures_per_minute", config_policy, client_failures_per_minute),
    UINT("client_failure_percent", config_policy, client_failure_percent),
    UINT("spray_clients", config_policy, spray_clients),
    UINT("spray_window_s", config_policy, spray_window_s),
    UINT("begins_per_5min", config_policy, begins_per_5min),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t ledger_fields[] = {
    TEXT("checkpoint_file", config_ledger, checkpoint_file),
    UINT("checkpoint_interval_s", config_ledger, checkpoint_interval_s),
    UINT("anchor_interval_ms", config_ledger, anchor_interval_ms),
    UINT("anchor_records", config_ledger, anchor_records),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t top_fields[] = {
    TEXT("server_id", config, server_id),
    TEXT("state_dir", config, state_dir),
    BOOL("demo", config, demo),
    PART("tls", tls, tls_fields),
    PART("doors", doors, doors_fields),
    PART("token", token, token_fields),
    PART("users", users, users_fields),
    PART("limits", limits, limits_fields),
    PART("policy", policy, policy_fields),
    PART("ledger", ledger, ledger_fields),
    TEXT("status_listen", config, status_listen),
    TEXT("log_format", config, log_format),
    TEXT("log_level", config, log_level),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, top_fields),
};

struct messages { /* what libcyaml says, gathered into one text */
    char text[MESSAGE_MAX];
    size_t len;
};

__attribute__((format(printf, 3, 0))) static void gather(cyaml_log_t level, void *ctx,
                                                         const char *fmt, va_list args)
{
    struct messages *m = ctx;
    int n;

    if (level < CYAML_LOG_ERROR)
        return;
    n = vsnprintf(m->text + m->len, sizeof(m->text) - m->len, fmt, args);
    if (n > 0)
        m->len += (size_t)n < sizeof(m->text) - m->len ? (size_t)n : sizeof(m->text) - m->len - 1;
}

static cyaml_config_t parser(struct messages *m)
{
    return (cyaml_config_t){
        .log_fn = gather,
        .log_ctx = m,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS, /* no entity bombs */
    };
}

static struct ky_status parse(const uint8_t *text, size_t len, struct config **out,
                              char **out_error)
{
    struct messages m = {.len = 0};
    const cyaml_config_t how = parser(&m);
    struct config *c = NULL;
    cyaml_err_t e = cyaml_load_data(text, len, &how, &top_schema, (cyaml_data_t **)&c, NULL);
    struct ky_status st;

    if (e != CYAML_OK) {
        if (asprintf(out_error, "configuration: %s\n%s", cyaml_strerror(e), m.text) < 0)
            *out_error = NULL;
        return KY_STATUS(KY_INVALID);
    }
    if (!c) { /* nothing but comments */
        *out_error = strdup("configuration: it is empty");
        return KY_STATUS(KY_INVALID);
    }
    ky_sha256(KY_SPAN(text, len), c->sha256);
    st = config_fill_and_check(c, out_error);
    if (!ky_ok(st)) {
        config_free(&c);
        return st;
    }
    *out = c;
    return KY_STATUS(KY_OK);
}

struct ky_status config_load_fd(int fd, struct config **out_config, char **out_error)
{
    uint8_t *text = malloc(CONFIG_MAX + 1);
    size_t len = 0;
    struct ky_status st = KY_STATUS(KY_OK);

    *out_error = NULL;
    if (!text)
        return KY_STATUS(KY_NOMEM);
    /* pread: every role shares the descriptor's offset */
    for (;;) {
        ssize_t n = pread(fd, text + len, CONFIG_MAX + 1 - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = KY_STATUS_CAUSE(KY_IO, errno);
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len > CONFIG_MAX) {
            *out_error = strdup("configuration: longer than 64 KiB");
            st = KY_STATUS(KY_INVALID);
            break;
        }
    }
    if (ky_ok(st))
        st = parse(text, len, out_config, out_error);
    free(text);
    return st;
}

struct ky_status config_load_file(const char *path, struct config **out_config, char **out_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct ky_status st;

    if (fd < 0) {
        int e = errno;
        if (asprintf(out_error, "configuration: cannot open %s: %s", path, strerror(e)) < 0)
            *out_error = NULL;
        return KY_STATUS_CAUSE(KY_IO, e);
    }
    st = config_load_fd(fd, out_config, out_error);
    close(fd);
    return st;
}

void config_free(struct config **config)
{
    struct messages m = {.len = 0};
    const cyaml_config_t how = parser(&m);

    if (*config)
        cyaml_free(&how, &top_schema, *config, 0);
    *config = NULL;
}
