/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions, and nothing else: pure functions over values, with time as an
 * argument. No I/O, no logging, no clock, no randomness, no state of their own.
 */
#ifndef KYSO_POLICY_H
#define KYSO_POLICY_H

#include "kyso/alg.h"
#include "kyso/span.h"
#include "kyso/status.h"
#include "kyso/tx.h"

/* --- TOTP, RFC 6238 over RFC 4226 ------------------------------------------------------------ */

enum policy_otp_hash { POLICY_OTP_SHA1 = 0, POLICY_OTP_SHA256 = 1, POLICY_OTP_SHA512 = 2 };
#define POLICY_TOTP_PERIOD_S 30u

struct policy_totp {
    uint8_t hash;      /* enum policy_otp_hash */
    uint8_t digits;    /* 6, 7 or 8 */
    uint8_t window;    /* steps either side, default 1 */
    uint64_t last_step;  /* the highest step spent, 0 = none */
    uint64_t floor_step; /* steps up to here are refused whatever was spent (after an unclean start), 0 = none */
};

/*
 * Finds the time step that a code belongs to, within now_s +- window steps.
 * RFC 6238 s.5.2: a step <= last_step never matches again. Every candidate is computed and compared in constant time.
 *   code      ASCII digits, exactly `digits` of them
 *   now_s     seconds since the Unix epoch, UTC
 *   out_step  the step that the caller must record as spent
 * Step 0 never matches: last_step could not remember it. A code shared by two steps of one window is a replay when either was
 * spent; else the higher step is the answer, which closes the lower one too.
 * Errors: KY_PROOF_MALFORMED, KY_PROOF_WRONG, KY_PROOF_REPLAYED (a code that was or could have been spent); KY_INVALID when the
 * authenticator itself is (hash, digits, an empty seed).
 */
KY_MUST_CHECK struct ky_status policy_totp_check(const struct policy_totp *p, struct ky_span seed, struct ky_span code,
                                                 uint64_t now_s, uint64_t *out_step);
/* The code of one step, for enrolment's confirmation and for tests. out holds digits + NUL. Errors: KY_INVALID. */
KY_MUST_CHECK struct ky_status policy_totp_code(uint8_t hash, uint8_t digits, struct ky_span seed, uint64_t step,
                                                char out[9]);

/* --- Device approvals -------------------------------------------------------------------------- */

enum policy_device_type { POLICY_DEVICE_ES256 = 1, POLICY_DEVICE_ED25519 = 2 };

uint8_t policy_key_type(struct ky_span spki_der); /* which of them these bytes could be; 0 = neither */

struct policy_device_key; /* a parsed public key, ready to verify; one thread at a time */
/*
 * *io_key is NULL or a key loaded before, which is used again where it can be (a third cheaper); it is NULL after any error.
 * ES256: P-256 as a named curve, uncompressed, on the curve. Ed25519: canonical, not of small order.
 * Errors: KY_INVALID (not DER SubjectPublicKeyInfo of that type, or trailing bytes), KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status policy_device_key_load(uint8_t type, struct ky_span spki_der,
                                                      struct policy_device_key **io_key);
void policy_device_key_free(struct policy_device_key **key); /* nulls the caller's pointer */
/*
 * Verifies a device's signature over ky_approval_challenge's 32 bytes. They are the message, for either type: ES256 signs
 * their SHA-256, as "SHA256withECDSA" does on a phone.
 * ES256: DER (strict: minimal, nothing trailing) or 64-byte raw; r and s in 1..n-1; high s is honest.
 * Errors: KY_PROOF_MALFORMED, KY_PROOF_WRONG.
 */
KY_MUST_CHECK struct ky_status policy_device_verify(struct policy_device_key *key, const uint8_t challenge[32],
                                                    struct ky_span signature);
/* Verifies any signature by such a key over a message's SHA-256 (ES256) or the message itself (Ed25519): operators. */
KY_MUST_CHECK struct ky_status policy_key_verify_message(struct policy_device_key *key, struct ky_span message,
                                                         struct ky_span signature);

/* --- Passkeys ------------------------------------------------------------------------------------ */

#define POLICY_PASSKEY     3u    /* an authenticator's device type: an ES256 key that signs WebAuthn assertions */
#define POLICY_PASSKEY_MAX 1024u /* bytes of an assertion */
struct policy_passkey {
    struct ky_span origin;     /* of the approval page, as browsers write it: "https://approve.example.vn"; empty = none is taken */
    bool synced;               /* keys that may be copied to their owner's other devices are taken */
    uint32_t last_counter;     /* the highest seen, 0 = none */
};
/*
 * Verifies an assertion over ky_approval_challenge's 32 bytes, which are its challenge.
 *   key          of type POLICY_DEVICE_ES256
 *   assertion    authenticator data and client data, each after its length in 2 bytes, big-endian; then the signature as for ES256
 *   out_counter  what the caller must record; 0 from authenticators that do not count
 * Errors: KY_PROOF_MALFORMED; KY_PROOF_WRONG (signature, challenge); KY_PASSKEY_ORIGIN (type, origin, relying party);
 * KY_PASSKEY_USER (not present or not verified); KY_PASSKEY_SYNCED; KY_PROOF_REPLAYED (the counter did not rise, which only one
 * that is 0 for ever need not); KY_PROOF_UNCONFIRMED (no origin).
 */
KY_MUST_CHECK struct ky_status policy_passkey_verify(struct policy_device_key *key, const struct policy_passkey *p,
                                                     const uint8_t challenge[32], struct ky_span assertion,
                                                     uint32_t *out_counter);
struct ky_span policy_passkey_rp_id(struct ky_span origin); /* its host: borrowed; empty = not an origin */

/* --- Signed requests ---------------------------------------------------------------------------- */

#define POLICY_REQUEST_LIFE_S 300u /* its expiry is at most this far ahead */
/*
 * Does a relying party's signature over ky_request_digest's 32 bytes hold, and now? The forms are those of policy_device_verify.
 * Errors: KY_REQUEST_UNSIGNED (none is there), KY_REQUEST_STALE, KY_REQUEST_FORGED.
 */
KY_MUST_CHECK struct ky_status policy_request_verify(struct policy_device_key *key,
                                                     const uint8_t digest[32],
                                                     struct ky_span signature, uint64_t expires_s,
                                                     uint64_t now_s);

/* --- Lockout of a subject ------------------------------------------------------------------------ */

struct policy_lockout_limits {
    uint32_t tries;        /* consecutive failures before a lock, default 5 */
    uint32_t first_lock_s; /* default 900, doubling */
    uint32_t max_lock_s;   /* default 86400 */
    uint32_t total_tries;  /* without success: locked until re-enrolled, default 20 */
};
struct policy_lockout { /* zero-initialised: clean */
    uint32_t failures;      /* since the last success or the last lock's end */
    uint32_t total;         /* since the last success */
    uint32_t locks;         /* since the last success */
    uint64_t locked_until_s; /* UINT64_MAX: until an operator unlocks */
};
/*
 * locked_until_s is an instant: a clock that goes back only lengthens a lock, and its end never moves to an earlier one but by a
 * success. A failure while locked changes nothing (no proof is looked at then). Times saturate at UINT64_MAX.
 * Limits of 0 lock at the first failure. policy_lockout_success is also what an operator's unlocking does.
 */
bool policy_lockout_is_locked(const struct policy_lockout *s, uint64_t now_s);
void policy_lockout_failure(const struct policy_lockout_limits *l, struct policy_lockout *s, uint64_t now_s);
void policy_lockout_success(struct policy_lockout *s);
void policy_lockout_not_me(struct policy_lockout *s); /* locked until an operator unlocks */

/* --- Suspension of a client ---------------------------------------------------------------------- */

struct policy_client_limits {
    uint32_t failures_per_minute; /* default 50 */
    uint32_t failure_percent;     /* default 5: the larger of the two thresholds counts */
};
struct policy_client_rate { /* one minute's window, zero-initialised */
    uint64_t minute;
    uint32_t attempts;
    uint32_t failures;
};
/* Records one proof's outcome; true when the client must be suspended now: a failure that brings failures above
 * max(failures_per_minute, failure_percent of attempts). One minute back stays in the window; further back starts one. */
bool policy_client_outcome(const struct policy_client_limits *l, struct policy_client_rate *r, bool failed,
                           uint64_t now_s);

/* --- Requests ------------------------------------------------------------------------------------ */

struct policy_request { /* what a client asks, reduced to what rules look at */
    uint32_t rights;           /* of the client: enum row_right's bits */
    uint8_t door;              /* enum ky_door */
    uint16_t request;          /* enum door_type */
    uint8_t proof;             /* enum ky_proof_kind */
    bool for_itself;           /* relying party equals the client's name */
    bool delegated;            /* ... or is listed in its delegate right */
    bool credential_allows;    /* the credential lists the relying party */
    bool subject_allowed;      /* the client's subject list is empty or names the subject */
    uint32_t hash_count;       /* of the request, or of the pending transaction that it names */
    uint32_t client_max_hashes, credential_max_hashes, server_max_hashes; /* 0 = no limit of its own */
};
/*
 * The matrix of RPC by right (PROTOCOL.md), judged in this order:
 *   KY_WRONG_DOOR  not a request of this door
 *   KY_NO_RIGHT    the client lacks the right; a client with both SIGN and APPROVE has neither
 *   KY_INVALID     the request does not take a proof of this kind
 *   KY_NO_RIGHT    ... or the client may not use it: TOTP, APPROVAL; a SAD takes none
 *   KY_NOT_FOUND   tenancy. Relying party: all of the signer's door but INFO. Credential: CRED_GET, TX_BEGIN, TX_AUTHORIZE, SIGN.
 *                  Subject: those, CRED_LIST and the approver's door (set subject_allowed there too)
 *   KY_INVALID     TX_BEGIN, TX_AUTHORIZE, SIGN: hash_count outside 1..KY_HASHES_MAX or above a limit
 * TX_BEGIN takes the APPROVAL right as well as SIGN: it rings the person's devices.
 */
KY_MUST_CHECK struct ky_status policy_request_allowed(const struct policy_request *r);

/* Digests and algorithm (allowed, then fit for the key): allow-list, exact length, none all zero, no duplicates, 1..KY_HASHES_MAX.
 * Errors: KY_INVALID, KY_HASH_FORBIDDEN. */
KY_MUST_CHECK struct ky_status policy_hashes_check(uint8_t key_type, const struct ky_algorithm *a,
                                                   struct ky_span hashes, uint32_t *out_count);

/* --- SAD: which of the transaction's hashes a request spends --------------------------------------- */

/*
 * Every requested hash must be listed and unused; one that is not fails the whole request. Any unlisted one is KY_HASH_NOT_IN_SAD,
 * whatever else was spent. Both lists hold 1..KY_HASHES_MAX hashes; `listed` passed policy_hashes_check when its transaction
 * began, so it names none twice and is not searched for that here: this runs for each hash of a long list.
 *   used      one bit per listed hash (bit i of byte i/8); not changed
 *   out_take  bits to add to `used` when the intent is written, same size
 *   out_left  hashes of the list still unused after that
 * Errors: KY_HASH_NOT_IN_SAD, KY_HASH_SPENT, KY_INVALID (a length: a digest has at least 8 bytes; duplicates).
 */
KY_MUST_CHECK struct ky_status policy_sad_take(struct ky_span listed, struct ky_span requested, size_t hash_len,
                                               const uint8_t *used, uint8_t *out_take, uint32_t *out_left);

/* --- Operators and enrolment ------------------------------------------------------------------------ */

enum policy_role { /* numbers of kyso.v1.Role; one person has one */
    POLICY_SECURITY_OFFICER = 1,
    POLICY_ADMINISTRATOR,
    POLICY_OPERATOR,
    POLICY_AUDITOR,
    POLICY_ROLE_END
};
struct policy_operation { /* one row of the rule table */
    const char *name;     /* "create-credential" */
    uint8_t roles;        /* who may: bits 1 << enum policy_role */
    uint8_t people;       /* distinct people who must sign, where control is dual */
    bool reads_only;
};
const struct policy_operation *policy_operation(const char *name); /* NULL when unknown */
/* May people of these roles, each another person, do it together? NULL, or why not. */
const char *policy_operation_problem(const struct policy_operation *op, const uint8_t *roles, size_t people,
                                     bool dual_control);
/* May somebody of role `from` (0 = nobody yet) become `to`? An auditor never was anything else, and becomes nothing else. */
bool policy_role_change_allowed(uint8_t from, uint8_t to);

struct policy_enrolment {
    bool has_active_credential;   /* of this subject: ACTIVE or SUSPENDED, or one operator could suspend, enrol and resume */
    bool has_active_authenticator;
    bool approved_by_authenticator; /* an existing one signed the new one's hash */
    uint32_t signers;             /* distinct operators on the operation */
};
/*
 * May an authenticator be added, and from when may it be used? While no credential is active: one operator, at once.
 * Later: an existing one's approval (at once; it must be active), or two operators (a day's delay).
 * out_usable_from_s: now_s or later. Errors: KY_OPERATOR_REFUSED.
 */
KY_MUST_CHECK struct ky_status policy_enrolment_allowed(const struct policy_enrolment *e, uint64_t now_s,
                                                        uint64_t *out_usable_from_s);
/*
 * From when an authenticator counts that the person's code confirms now. usable_from_s: what it was let in with. Where a credential is
 * active it has a day to wait from here: it may have been let in while there was nothing to sign with, and one person confirms it.
 */
uint64_t policy_enrolment_confirmed(bool has_active_credential, uint64_t now_s, uint64_t usable_from_s);

/* --- The matching code ------------------------------------------------------------------------------- */

/* "10".."99" from 8 random bytes; the bias is below 2^-57. */
void policy_matching_code(const uint8_t random[8], char out_code[4]);
/*
 * The code and two other codes, in random order. Draw them once per transaction and keep them: two draws for one code would have
 * little but the code in common. Errors: KY_INVALID (not a code of ours).
 */
KY_MUST_CHECK struct ky_status policy_matching_choices(const char *code, const uint8_t random[16],
                                                       char out_choices[3][4]);

#endif
