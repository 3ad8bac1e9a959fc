/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vault: one process around one PKCS#11 module. The only entry points that
 * other folders call; the rest of hsm/ is private to it.
 */
#ifndef KYSO_HSM_H
#define KYSO_HSM_H

#include "kyso/control.h"
#include "kyso/job.h"

#define HSM_LABEL_ROOT   "kyso-root"
#define HSM_LABEL_KEK    "kyso-kek"
#define HSM_LABEL_LEDGER "kyso-ledger"
#define HSM_LABEL_ANCHOR "kyso-anchor"

/* The process's exit code: says where a vault ended, so that its restart can be judged. */
enum hsm_exit {
    HSM_EXIT_OK = 0,
    HSM_EXIT_START = 10,   /* module, token or memory: never got to a login */
    HSM_EXIT_LOGIN = 11,   /* login refused, or lost while serving */
    HSM_EXIT_KEYS = 12,    /* a key of the server's own is absent or has a wrong attribute */
    HSM_EXIT_MODULE = 13,  /* the module failed while serving */
    HSM_EXIT_CHANNEL = 14, /* a peer sent what is no record, or is gone in mid-sentence */
    HSM_EXIT_FULL = 15,    /* while provisioning: the token has no room for the server's keys */
};

struct hsm_config {         /* every pointer borrowed until hsm_vault_run returns */
    const char *module;     /* absolute path: loaded alone, never through a proxy */
    const char *token_uri;  /* RFC 7512: token=, serial=, ... */
    const char *init_args;  /* CK_C_INITIALIZE_ARGS.pReserved, or NULL */
    uint32_t sessions;      /* worker threads, one session each; 1 = no threads */
    uint32_t cache_keys;    /* unwrapped handles kept, per vault */
    uint64_t recycle_after; /* unwraps, then CONTROL_WORN once; 0 = never */
    bool serialize; /* one operation at a time over all sessions (tokens with per-token state) */
    /* the token is software on this machine: shorten its use of OpenSSL (hsm/tuning.h) */
    bool software_tuning;
    bool unrestricted_keys; /* takes a token that keeps nobody with the PIN from copying its keys */
    bool probe;     /* print what the token can do (hsm/probe.c), then CONTROL_DONE and exit */
    bool provision; /* make kyso-root, KEK and ledger key if absent, then CONTROL_DONE and exit */
    /*
     * Optional; called on the main thread only, with an event of signer/common/log.c. cause: CK_RV
     * or other number.
     */
    void (*log)(void *ctx, const char *event, const char *detail, uint32_t cause);
    void *log_ctx;
};

/*
 * Runs a vault over KY_CONTROL_FD and KY_CHANNEL_FD until its channel ends or it is told to drain;
 * returns the process's exit code. Ends with C_Finalize; the caller then calls _exit.
 */
int hsm_vault_run(const struct hsm_config *config);

#endif
