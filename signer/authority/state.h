/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fold of the ledger: accounts, transactions, the replay index, intents without a receipt. state_apply() is the only function
 * that changes any of it, live and at replay alike, so that what a restart rebuilds is what was there (I3, I4).
 * Decisions read; times come from the record being applied, never from a clock. Authority's thread only.
 */
#ifndef KYSO_STATE_H
#define KYSO_STATE_H

#include "kyso/ledger.h"
#include "kyso/policy.h"

#include "authority.h"
#include "map.h"

#define STATE_BEGINS_MAX     8u    /* remembered pushes of a subject */
#define STATE_ENDED_KEEP_S   600u  /* how long an ended transaction still answers */
#define STATE_WHEEL          8192u /* seconds; longer than any transaction's life */
#define STATE_CODE_MAX       8u
#define STATE_FLIGHT_REPLIES 4u /* callers that may wait for one intent */

struct state_limits {
    struct policy_lockout_limits lockout;
    struct policy_client_limits client;
    uint32_t replay_window_s;
    size_t replay_max;
    size_t tx_max;
};

struct name { /* a short text, kept by value */
    uint8_t len;
    uint8_t text[KY_NAME_MAX];
};
struct ky_span name_span(const struct name *n);
void name_set(
    struct name *n,
    struct ky_span s); /* at most KY_NAME_MAX bytes; longer ones are cut by no one: callers check */

struct subject_fold {
    uint32_t row;
    struct subject_account account;
    uint32_t begins_s[STATE_BEGINS_MAX]; /* newest first, 0 = none */
    struct tx *pending;                  /* borrowed: at most one push at a time */
};
/* The last spent step of each authenticator. Rows are dense, so pages of numbers are the index: 8 bytes for each of a million. */
#define STATE_STEPS_PAGE 4096u
struct step_pages {
    uint64_t **pages; /* owned, and each page; NULL = none of its rows was touched. 0 in a page = untouched */
    uint32_t page_count;
    uint64_t count; /* touched */
};
struct client_fold {
    uint32_t row;
    struct policy_client_rate rate;
    uint64_t suspended_s; /* since when by its failures, and nobody has dealt with it; 0 = it is not */
    bool
        over_threshold; /* set by an outcome, cleared by LEDGER_CLIENT_STATE: authority_append() acts on it */
};

enum tx_state { /* numbers of kyso.v1.TransactionState */
                TX_PENDING = 1,
                TX_AUTHORIZED,
                TX_SPENT,
                TX_REJECTED,
                TX_EXPIRED,
                TX_CANCELLED,
};
struct tx {
    uint8_t key[MAP_KEY_LEN];          /* the 16 bytes that its id spells in hex */
    struct tx *wheel_next, **wheel_at; /* links of the second in which it is due */
    uint64_t due_s;
    uint8_t state;
    uint8_t scheme, hash, mgf_hash;
    uint16_t salt_len;
    uint32_t client_row, subject_row, credential_row, credential_epoch;
    struct name relying_party;
    uint8_t spki_sha256[32];
    uint8_t content_sha256[32];
    uint8_t tx_digest[32];
    uint8_t nonce[KY_TX_NONCE_LEN];
    uint8_t sad_sha256[32]; /* zero until authorized */
    uint64_t not_after_s;   /* what was shown and digested */
    uint64_t sad_not_after_s;
    uint32_t authenticator_row; /* that authorized it: once it is removed the SAD is void (P21) */
    uint8_t proof;
    uint8_t code_len;
    uint8_t code[STATE_CODE_MAX];
    uint8_t used[KY_HASHES_MAX / 8];
    struct ky_span hashes;  /* borrowed from `tail`; empty once a SAD has ended */
    struct ky_span display; /* the same */
    uint8_t *tail;          /* owned */
};
#define TX_ID_LEN 33u /* "t" and 32 hex digits */
void tx_id_write(const uint8_t key[MAP_KEY_LEN], char out[TX_ID_LEN + 1]);
bool tx_id_parse(struct ky_span id, uint8_t out_key[MAP_KEY_LEN]);

enum replay_kind { REPLAY_SIGN = 1, REPLAY_BEGIN, REPLAY_AUTHORIZE };
enum replay_state { REPLAY_FLYING = 1, REPLAY_SIGNED, REPLAY_DEAD, REPLAY_TX };
struct replay { /* one request id of one client for one relying party */
    uint8_t key[MAP_KEY_LEN];
    uint8_t content[16]; /* of ky_tx_content_digest */
    union {
        struct {
            uint64_t intent, receipt; /* ledger indices: the signatures stay in the ledger */
        };
        uint8_t tx[MAP_KEY_LEN];
    };
    uint32_t at_s;
    uint8_t kind;
    uint8_t state;
};
struct replay_slot { /* where in the ring a key stands */
    uint32_t tag;    /* of the key; tells the slot's home too */
    uint32_t at;     /* its sequence number, shortened, plus 1; 0 = free */
};
struct replay_ring {        /* oldest first, in chunks that never move */
    struct replay **chunks; /* owned */
    size_t chunk_cap;
    uint64_t head, tail;       /* sequence numbers */
    struct replay_slot *slots; /* owned: one for each entry, at most three quarters full */
    size_t slot_mask;          /* their number, a power of two, less 1 */
};

struct flight { /* an intent without its receipt */
    uint64_t intent;
    uint8_t kind; /* 1 sign, 2 csr */
    uint8_t scheme;
    uint16_t count;
    uint32_t client_row, subject_row, credential_row, credential_epoch;
    uint32_t authenticator_row; /* of the proof; of a SAD's, the one that authorized it */
    uint8_t replay_key[MAP_KEY_LEN];
    uint8_t tx_key[MAP_KEY_LEN];
    struct name request_id;
    /* live only, not part of the fold */
    uint32_t reply_count;
    struct reply_to replies[STATE_FLIGHT_REPLIES];
    struct flight *next_free;
};

struct operation_nonce {
    uint8_t nonce[16];
    uint64_t expires_s;
};

struct state {
    struct state_limits limits;
    uint64_t records; /* applied */
    uint64_t last_time_us;
    uint64_t floor_step;
    struct name server_id; /* of the genesis record */
    bool demo;
    struct map subjects, clients; /* row -> *_fold, owned */
    uint64_t newest_suspension_s; /* of all that ever were by failures: no walk of the clients is needed long after it */
    struct step_pages steps;      /* of authenticators */
    struct map tx_by_id, tx_by_sad;      /* tx_by_id owns */
    size_t tx_open;
    struct tx **wheel;  /* STATE_WHEEL heads, owned */
    struct tx *overdue; /* open ones whose second has passed */
    uint64_t wheel_s;   /* last second swept */
    struct replay_ring replay;
    struct map flights; /* intent -> flight, owned */
    struct flight *free_flights;
    struct map nonces;            /* of operations that have not expired, owned */
    uint64_t signatures, denials; /* since start, for the figures; not part of the fold */
};

KY_MUST_CHECK struct ky_status state_new(const struct state_limits *limits,
                                         struct state **out_state);
void state_free(struct state **s);

/* msg is the record's struct. Errors: KY_NOMEM, KY_CORRUPT (a record that cannot follow what was before). */
KY_MUST_CHECK struct ky_status state_apply(struct state *s, const struct ledger_leaf *leaf,
                                           const void *msg, struct ky_span private_data);
/* Decodes a committed leaf and applies it. Errors: as above, KY_INVALID. */
KY_MUST_CHECK struct ky_status state_replay_leaf(struct state *s, struct ky_span leaf,
                                                 struct ky_span private_data);
/* Forgets what no decision can need any more at now_s: old request ids, ended transactions, expired nonces. */
void state_collect(struct state *s, uint64_t now_s);
/* Is there room for one more transaction? Asked before anything is decided. */
bool state_has_room(const struct state *s);

/* The whole fold as bytes, in an order that depends on its content only; fails `out` while an intent has no receipt. */
void state_encode(const struct state *s, struct ky_buf *out);
/* And back, into a new state. KY_UNIMPLEMENTED: of another version's form, and nothing was read. */
KY_MUST_CHECK struct ky_status state_decode(struct state *s, struct ky_span in);

/* Reading. NULL when untouched or unknown. */
const struct subject_fold *state_subject(const struct state *s, uint32_t row);
const struct client_fold *state_client(const struct state *s, uint32_t row);
uint64_t state_last_step(const struct state *s, uint32_t authenticator_row);
struct tx *state_tx(const struct state *s, const uint8_t key[MAP_KEY_LEN]);
struct tx *state_tx_by_id(const struct state *s, struct ky_span id);
struct tx *state_tx_by_sad(const struct state *s, const uint8_t sad_sha256[32]);
struct flight *state_flight(const struct state *s, uint64_t intent);
void state_replay_key(uint32_t client_row, struct ky_span relying_party, struct ky_span request_id,
                      uint8_t out[MAP_KEY_LEN]);
struct replay *state_replay(const struct state *s, const uint8_t key[MAP_KEY_LEN]);
bool state_nonce_spent(const struct state *s, const uint8_t nonce[16], uint64_t now_s);
/* An open transaction whose time has passed (as of the last state_collect), or NULL. */
struct tx *state_tx_due(const struct state *s);
bool tx_is_open(const struct tx *t);

/* --- between state_*.c only --- */
struct subject_fold *state_subject_touch(struct state *s, uint32_t row);
/* False: no memory. step is not 0. */
bool state_step_put(struct state *s, uint32_t authenticator_row, uint64_t step);
void state_steps_free(struct state *s);
struct client_fold *state_client_touch(struct state *s, uint32_t row);
/* since_s: 0 lifts it. */
void state_client_suspend(struct state *s, struct client_fold *f, uint64_t since_s);
/* Notes an operation's nonce until it expires. False: no memory. */
bool state_nonce_put(struct state *s, const uint8_t nonce[16], uint64_t expires_s);
struct ky_status state_account_denied(struct state *s, const struct ledger_denied *m,
                                      uint64_t now_s);
struct ky_status state_account_proved(struct state *s, uint8_t proof, uint32_t client_row,
                                      uint32_t subject_row, uint32_t authenticator_row,
                                      uint64_t step, uint64_t now_s);
struct ky_status state_tx_begin(struct state *s, const struct ledger_tx *m,
                                struct ky_span private_data, uint64_t now_s);
struct ky_status state_tx_authorized(struct state *s, const struct ledger_authorized *m,
                                     uint64_t now_s);
struct ky_status state_tx_ended(struct state *s, const struct ledger_ended *m, uint64_t now_s);
struct ky_status state_tx_spend(struct state *s, const struct ledger_intent *m, uint64_t now_s);
void state_tx_end(struct state *s, struct tx *t, uint8_t state, uint64_t now_s);
void state_tx_void_all(struct state *s, uint64_t now_s);
void state_tx_file(struct state *s, struct tx *t, uint64_t due_s); /* into the wheel */
void state_tx_free(struct state *s, struct tx *t);
void state_tx_free_all(struct state *s);
/* Of a snapshot: false when there is no memory or it is there already. */
bool state_tx_restore(struct state *s, const struct tx *from, struct ky_span code,
                      struct ky_span hashes, struct ky_span display);
void state_tx_collect(struct state *s, uint64_t now_s);
struct ky_status state_replay_put(struct state *s, const struct replay *entry);
bool state_replay_open(struct state *s); /* false: no memory */
struct replay *state_replay_at(const struct replay_ring *r, uint64_t sequence);
void state_replay_collect(struct state *s, uint64_t now_s);
void state_replay_free(struct state *s);
/* NULL: no memory, or it is there already. */
struct flight *state_flight_new(struct state *s, uint64_t intent);
void state_flight_end(struct state *s, struct flight *f);

#endif
