/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: one YAML file, parsed once per role from the same bytes.
 * It holds no secret: the PIN's source is named, never the PIN.
 */
#ifndef KYSO_CONFIG_H
#define KYSO_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "kyso/span.h"
#include "kyso/status.h"

struct config_tls {
    char *certificate; /* PEM: chain, the server's first */
    char *key;         /* PEM, mode 0600 */
    char *client_ca;   /* PEM: issuers of client certificates; the pin is what identifies */
};
struct config_doors {
    char *signer_listen;      /* "127.0.0.1:0"; port 0 = any, published in run/endpoints.json */
    uint32_t signer_fronts;   /* processes that share the port */
    char *approver_listen;    /* empty = door closed */
    char *operator_socket;    /* path; default state_dir/run/operator.sock */
    uint32_t max_connections; /* per front */
    uint32_t max_streams;     /* per connection */
    uint32_t max_connection_age_s;
};
struct config_pool { /* keys made in advance, of each type */
    uint32_t p256, p384, rsa2048, rsa3072, rsa4096;
};
struct config_token {
    char *module;
    char *uri;
    char *init_args;      /* optional */
    char *pin_file;       /* one of pin_file, */
    char *pin_credential; /* a systemd credential's name, or */
    char *custodian_socket; /* where M custodians bring their shares; ledger.ceremony_transcript says whose */
    uint32_t custodian_wait_s; /* 900: from the first share to the last */
    uint32_t vaults;      /* 0 = one per core */
    uint32_t sessions;
    uint32_t cache_keys;
    uint32_t recycle_after; /* unwraps before a vault is replaced (SoftHSM2 leaks); 0 = never */
    bool serialize;
    bool network;         /* the module needs sockets: a daemon, a network HSM */
    bool unrestricted_keys; /* a token that keeps nobody with the PIN from copying its keys is taken */
    bool software_tuning; /* hsm/tuning.h; for tokens in software only */
    char *verify;         /* "always" or "first-use" */
    struct config_pool pool;
};
struct config_users { /* names or numbers; NULL: kyso-front and so on. Only for a kysod that root starts */
    char *front, *authority, *vault, *status;
};
struct config_limits {
    uint32_t queue;      /* requests admitted and not yet answered */
    uint32_t per_client; /* of these, by one client */
    uint32_t max_hashes;
    uint32_t start_deadline_ms;    /* vault: 60000; C_Initialize and C_Login of a slow module */
    uint32_t sign_deadline_ms;     /* vault: 2000 */
    uint32_t generate_deadline_ms; /* vault: 60000 */
    uint32_t replay_window_s;      /* 86400 */
    uint32_t replay_requests;      /* 4000000 request ids remembered, about 73 bytes each */
    uint32_t pending_ttl_s;        /* 120 */
    /* 100: fronts call an authority dead that is silent for longer (I6) */
    uint32_t heartbeat_ms;
};
struct config_policy {
    uint32_t totp_window;
    uint32_t lock_tries, lock_first_s, lock_max_s, lock_total;
    uint32_t client_failures_per_minute, client_failure_percent;
    uint32_t spray_clients, spray_window_s; /* 3, 3600 */
    uint32_t begins_per_5min; /* 3 */
    bool dual_control;        /* two people where the rules say so, in a demo too */
};
struct config_ledger {
    char *checkpoint_file;          /* default state_dir/checkpoint */
    char *ceremony_transcript;      /* --init: its hash is the second record; custodian_socket */
    uint32_t checkpoint_interval_s; /* 10 */
    uint32_t anchor_interval_ms;    /* 1000 */
    uint32_t anchor_records;        /* 10000 */
};
struct config_certificates {
    char *crl;            /* PEM or DER, watched; NULL = none */
    char *ca;             /* PEM: its issuers */
    char *crl_when_stale; /* "refuse" or "serve" */
};
struct config_passkeys {
    char *origin; /* of the approval page: "https://approve.example.vn"; NULL = passkeys are not taken */
    bool synced;  /* also keys that may be copied to their owner's other devices */
};
struct config_clock {
    char *when_unsynced; /* "serve" or "refuse" */
};
struct config {
    char *server_id;
    char *state_dir; /* absolute; 0700 */
    bool demo;       /* seeds and codes may be shown; the ledger says so */
    struct config_tls tls;
    struct config_doors doors;
    struct config_token token;
    struct config_users users;
    struct config_limits limits;
    struct config_policy policy;
    struct config_ledger ledger;
    struct config_certificates certificates;
    struct config_passkeys passkeys;
    struct config_clock clock;
    char *status_listen; /* /metrics /healthz /readyz; loopback only; empty = none */
    char *log_format;    /* "text" or "json" */
    char *log_level;
    uint8_t sha256[32]; /* of the file's bytes */
};

/*
 * Reads, checks and fills defaults. On failure *out_error (owned by the caller, may be NULL) says
 * what, where (line, column) and what to do. Errors: KY_IO, KY_INVALID.
 */
KY_MUST_CHECK struct ky_status config_load_file(const char *path, struct config **out_config,
                                                char **out_error);
/* The same from KY_CONFIG_FD. */
KY_MUST_CHECK struct ky_status config_load_fd(int fd, struct config **out_config, char **out_error);
void config_free(struct config **config); /* nulls the caller's pointer */

#endif
