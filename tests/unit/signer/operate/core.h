/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authority's core for the tests of the operators' door: the real store beneath, and everything
 * else of authority.h in its simplest form. Replies, refusals and jobs are kept for the test to
 * look at; jobs are done by software keys when it says so.
 */
#ifndef KYSO_TEST_CORE_H
#define KYSO_TEST_CORE_H

#include <openssl/evp.h>

#include "authority.h"
#include "kyso/v1/operator.pb-c.h"

#define CORE_KEYS      128u
#define CORE_NOW_S     1767225600u /* 2026-01-01 */
#define CORE_SERVER_ID "kyso.test"

struct authority {
    struct store *store;
    struct ky_secret row_mac, state_key, seed_key;
    struct store_keys keys;
    struct job_r_info token;
    uint64_t now_us;
    bool demo, dual_control;
    bool client_suspended;
    char folder[64], path[96];
    uint8_t nonces[64][16];
    size_t nonce_count;
    /* what the last request brought */
    Kyso__V1__OperationResult *result; /* owned; NULL when it was refused or waits */
    enum ky_code
        refused; /* the precise code given to authority_refuse, KY_OK when there was none */
    struct ledger_denied denied;       /* the last LEDGER_DENIED record, its spans emptied */
    struct ledger_operation operation; /* the last LEDGER_OPERATION record, its spans emptied */
    char operation_name[64], operation_operators[300], operation_target[140];
    struct ledger_intent intent; /* the last one, spans emptied */
    uint8_t intent_digest[1024];
    uint8_t intent_starts[64][32]; /* of the digests of the last 64 intents */
    struct ledger_receipt receipt; /* the last one, spans emptied */
    unsigned operations, denials, unlocks, client_states, intents, receipts, forgotten;
    /* at the vault */
    struct job job;
    struct ky_buf job_payload;
    bool has_job, queue_full;
    EVP_PKEY *vault_keys[CORE_KEYS]; /* owned; a blob is "blob" and an index */
    size_t vault_key_count;
    bool vault_lies; /* signs something else */
    unsigned vault_refuses; /* bits: of the many that are to be signed, these keys fail */
    EVP_PKEY *rsa4096;    /* owned; given by the test: every key of that type */
    uint32_t quarantined; /* a credential's row */
    unsigned vault_destroyed;
    uint8_t pool_key_type; /* what authority_take_key() has one of */
    struct pool_key pool_key;
};

struct authority *core_new(bool demo);
void core_free(struct authority *a);
/*
 * Commits what is staged, closes the store and opens it again, versions read back from the ledger.
 */
void core_commit(struct authority *a);
/* Forgets what the last request brought. */
void core_clear(struct authority *a);
/* Does the waiting job and settles it. */
void core_vault(struct authority *a);
/* Settles the waiting job with a failure. */
void core_vault_fails(struct authority *a, enum ky_code code);

#endif
