/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of struct config. Unknown keys are errors with line and column; defaults and bounds
 * are config_check.c's.
 */
#include "config.h"

#include <string.h>

#include "config_check.h"
#include "yaml.h"

#define TEXT KY_YAML_TEXT
#define UINT KY_YAML_UINT
#define BOOL KY_YAML_BOOL
#define PART(key, f, fields) CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, struct config, f, fields)

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
static const cyaml_schema_field_t pool_fields[] = {
    UINT("p256", config_pool, p256),       UINT("p384", config_pool, p384),
    UINT("rsa2048", config_pool, rsa2048), UINT("rsa3072", config_pool, rsa3072),
    UINT("rsa4096", config_pool, rsa4096), CYAML_FIELD_END,
};
static const cyaml_schema_field_t token_fields[] = {
    TEXT("module", config_token, module),
    TEXT("uri", config_token, uri),
    TEXT("init_args", config_token, init_args),
    TEXT("pin_file", config_token, pin_file),
    TEXT("pin_credential", config_token, pin_credential),
    TEXT("custodian_socket", config_token, custodian_socket),
    UINT("custodian_wait_s", config_token, custodian_wait_s),
    UINT("vaults", config_token, vaults),
    UINT("sessions", config_token, sessions),
    UINT("cache_keys", config_token, cache_keys),
    UINT("recycle_after", config_token, recycle_after),
    BOOL("serialize", config_token, serialize),
    BOOL("network", config_token, network),
    BOOL("unrestricted_keys", config_token, unrestricted_keys),
    BOOL("software_tuning", config_token, software_tuning),
    TEXT("verify", config_token, verify),
    CYAML_FIELD_MAPPING("pool", CYAML_FLAG_OPTIONAL, struct config_token, pool, pool_fields),
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
    BOOL("dual_control", config_policy, dual_control),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t ledger_fields[] = {
    TEXT("checkpoint_file", config_ledger, checkpoint_file),
    TEXT("ceremony_transcript", config_ledger, ceremony_transcript),
    UINT("checkpoint_interval_s", config_ledger, checkpoint_interval_s),
    UINT("anchor_interval_ms", config_ledger, anchor_interval_ms),
    UINT("anchor_records", config_ledger, anchor_records),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t certificates_fields[] = {
    TEXT("crl", config_certificates, crl),
    TEXT("ca", config_certificates, ca),
    TEXT("crl_when_stale", config_certificates, crl_when_stale),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t passkeys_fields[] = {
    TEXT("origin", config_passkeys, origin),
    BOOL("synced", config_passkeys, synced),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t clock_fields[] = {
    TEXT("when_unsynced", config_clock, when_unsynced),
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
    PART("certificates", certificates, certificates_fields),
    PART("passkeys", passkeys, passkeys_fields),
    PART("clock", clock, clock_fields),
    TEXT("status_listen", config, status_listen),
    TEXT("log_format", config, log_format),
    TEXT("log_level", config, log_level),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, top_fields),
};

static struct ky_status check(struct ky_status loaded, void *config, const uint8_t sha256[32],
                              struct config **out_config, char **out_error)
{
    struct config *c = config;
    struct ky_status st = loaded;

    if (!ky_ok(st))
        return st;
    memcpy(c->sha256, sha256, sizeof(c->sha256));
    st = config_fill_and_check(c, out_error);
    if (ky_ok(st))
        *out_config = c;
    else
        config_free(&c);
    return st;
}

struct ky_status config_load_fd(int fd, struct config **out_config, char **out_error)
{
    void *c = NULL;
    uint8_t sha256[32] = {0};
    struct ky_status st = ky_yaml_load_fd(fd, "configuration", &top_schema, &c, sha256, out_error);

    return check(st, c, sha256, out_config, out_error);
}

struct ky_status config_load_file(const char *path, struct config **out_config, char **out_error)
{
    void *c = NULL;
    uint8_t sha256[32] = {0};
    struct ky_status st =
        ky_yaml_load_file(path, "configuration", &top_schema, &c, sha256, out_error);

    return check(st, c, sha256, out_config, out_error);
}

void config_free(struct config **config)
{
    ky_yaml_free(&top_schema, *config);
    *config = NULL;
}
