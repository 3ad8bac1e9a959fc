/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' door from the inside: what its operate_*.c files share. The authority's thread, inside a turn.
 * The core sees operate_request() and operate_job_done() of authority.h only.
 */
#ifndef KYSO_OPERATE_H
#define KYSO_OPERATE_H

#include "kyso/grpc.h"
#include "kyso/v1/operator.pb-c.h"

#include "authority.h"
#include "csr.h"
#include "envelope.h"

#define OPERATE_EXPIRES_MAX_S        300u   /* an operation's expiry is at most this far ahead */
#define OPERATE_SHARED_EXPIRES_MAX_S 86400u /* that of one which two people signed */
#define OPERATE_SIGNERS_MAX   4u
#define OPERATE_NAMES_MAX     ((KY_NAME_MAX + 1u) * OPERATE_SIGNERS_MAX)

struct operation { /* one operation while it runs, or while its answer is made */
    struct authority *a;
    const struct request *request; /* borrowed; NULL in a continuation */
    struct reply_to to;
    struct ky_arena *arena;        /* borrowed: the parsed operation and the result's parts */
    const Kyso__V1__Operation *op; /* NULL in a continuation */
    struct ky_span bytes;          /* of op, as they were signed */
    const char *name;              /* key of the rule table */
    uint32_t signers;              /* distinct operators whose signatures hold */
    uint64_t index;                /* of the LEDGER_OPERATION record */
    Kyso__V1__OperationResult result;
    struct ky_buf made;          /* what of the result is too long for the arena */
    struct ledger_denied denied; /* the rows that are known, for the record of a refusal */
    const char *why;             /* for the log: what exactly was wrong, or NULL */
    bool deferred;               /* a job answers later */
};

/* KY_OK: reply with o->result, or later when deferred. Anything else becomes a LEDGER_DENIED record and a refusal. */
typedef struct ky_status (*operation_fn)(struct operation *o);

struct ky_status operate_add_subject(struct operation *o);
struct ky_status operate_show_subject(struct operation *o);
struct ky_status operate_unlock_subject(struct operation *o);
struct ky_status operate_add_client(struct operation *o);
struct ky_status operate_list_clients(struct operation *o);
struct ky_status operate_set_client_state(struct operation *o);
struct ky_status operate_set_client_request_key(struct operation *o);
struct ky_status operate_create_credential(struct operation *o);
struct ky_status operate_list_credentials(struct operation *o);
struct ky_status operate_show_credential(struct operation *o);
struct ky_status operate_set_credential_state(struct operation *o);
struct ky_status operate_make_csr(struct operation *o);
struct ky_status operate_import_certificate(struct operation *o);
struct ky_status operate_enroll_citizens(struct operation *o);
struct ky_status operate_enroll_totp(struct operation *o);
struct ky_status operate_enroll_device(struct operation *o);
struct ky_status operate_confirm_authenticator(struct operation *o);
struct ky_status operate_list_authenticators(struct operation *o);
struct ky_status operate_remove_authenticator(struct operation *o);
struct ky_status operate_get_status(struct operation *o);
struct ky_status operate_make_backup(struct operation *o);
struct ky_status operate_read_ledger(struct operation *o);
struct ky_status operate_add_user(struct operation *o);
struct ky_status operate_list_users(struct operation *o);
struct ky_status operate_remove_user(struct operation *o);
struct ky_status operate_set_role(struct operation *o);

/* May this person sign now? Not removed, the certificate, where there is one, within its validity. */
bool operate_user_valid(const struct row_operator *u, uint64_t now_s);
uint8_t operate_user_role(const struct row_operator *u); /* enum policy_role */
/* Do these rows, at most OPERATE_SIGNERS_MAX, have different keys and subjects? */
KY_MUST_CHECK struct ky_status operate_users_differ(struct operation *o, const uint32_t *rows,
                                                    uint32_t n, bool *out_differ);
/* NULL, or why this new person cannot stand beside those that are and were there. */
const char *operate_user_conflict(struct authority *a, const struct row_operator *u);
/* How many are missing to add a user now, whoever has the row `without` (0 = nobody) apart. */
uint32_t operate_users_missing(struct authority *a, uint32_t without);

/* The second halves of operations that needed a vault; o is fresh, job->context theirs to read. */
struct ky_status operate_credential_made(struct operation *o, const struct job *job,
                                         const struct job_result *r);
struct ky_status operate_csr_signed(struct operation *o, const struct job *job,
                                    const struct job_result *r);
struct ky_status operate_key_destroyed(struct operation *o, const struct job *job,
                                       const struct job_result *r);
struct ky_status operate_citizens_done(struct operation *o, const struct job *job,
                                       const struct job_result *r);

/* --- what one operation does for one person and operate_citizens.c for many ------------------------------------ */

/* Why these cannot be, or NULL. */
const char *operate_subject_problem(struct ky_span subject_id, struct ky_span name);
/* A new person: draws the salt. */
KY_MUST_CHECK struct ky_status operate_put_subject(struct operation *o, struct row_subject *row,
                                                   uint32_t *out_number);
/* A new credential, CREATED, of a wrapped or resident key: writes its id, and row->credential_id to point there. */
KY_MUST_CHECK struct ky_status operate_put_credential(struct operation *o,
                                                      struct row_credential *row,
                                                      char out_id[AUTHORITY_ID_MAX],
                                                      uint32_t *out_number);

struct csr_job { /* what is signed, while it is being asked for */
    struct csr_request request;
    struct ky_algorithm algorithm;
    struct ky_buf input; /* owned: a digest, or the bytes that an Ed25519 key signs */
};
/*
 * Builds the input and records the intent (I1): from then on operate_csr_receipt is owed (I4). Nothing is promised before
 * everything that can be checked has been. Errors: KY_INVALID (the name), the store's.
 */
KY_MUST_CHECK struct ky_status operate_csr_intent(struct operation *o, uint32_t number,
                                                  const struct row_credential *c,
                                                  struct csr_job *csr, uint64_t *out_intent);
/* What a vault is asked. */
struct job_sign operate_csr_message(const struct row_credential *c, const struct csr_job *csr);
/* raw: the signature, where code is KY_OK. */
KY_MUST_CHECK struct ky_status operate_csr_receipt(struct operation *o, uint64_t intent,
                                                   struct ky_status outcome, struct ky_span raw);
/* The request in DER, when the credential is as it was when it was asked for (P21) and the signature is its key's (I7). */
KY_MUST_CHECK struct ky_status operate_csr_finish(struct operation *o, uint32_t number,
                                                  uint32_t epoch, struct ky_span dn,
                                                  struct ky_span raw, struct ky_buf *out_der);

/*
 * A person's TOTP authenticator, its seed sealed to a reader: a new one where there is none. Of one that is confirmed, or where a
 * credential of the person is active, nothing is sealed and only its id is told. Any other is told again to the reader that it was
 * sealed to, while its code holds, and else removed for a new one.
 */
KY_MUST_CHECK struct ky_status operate_sealed_totp(struct operation *o, const char *subject_id,
                                                   uint8_t hash, uint8_t digits,
                                                   const struct envelope_reader *reader,
                                                   char out_id[AUTHORITY_ID_MAX],
                                                   struct ky_buf *out_envelope);
/* Has the person a credential that is active, or suspended: that one can come back, and counts like it. */
KY_MUST_CHECK struct ky_status operate_can_sign(struct operation *o, uint32_t subject_row,
                                                bool *out_can_sign);
/* Is this the code that confirms it, and not too old? */
bool operate_code_holds(struct operation *o, const struct row_authenticator *row, const char *code);
KY_MUST_CHECK struct ky_status operate_put_removed(struct operation *o, uint32_t number,
                                                   struct row_authenticator *row);

/* --- operate_common.c: finding rows and filling results ---------------------------------------------------- */

/* Sets o->why and gives the status back. */
struct ky_status operate_no(struct operation *o, enum ky_code code, const char *why);

/*
 * Row and number of a thing by its public id; the row's spans are copied into the arena. The row is noted in
 * o->denied. Errors: KY_NOT_FOUND, KY_BUSY (arena) and the store's.
 */
KY_MUST_CHECK struct ky_status operate_subject(struct operation *o, const char *subject_id,
                                               uint32_t *out_row, struct row_subject *out);
KY_MUST_CHECK struct ky_status operate_credential(struct operation *o, const char *credential_id,
                                                  uint32_t *out_row, struct row_credential *out);
KY_MUST_CHECK struct ky_status operate_authenticator(struct operation *o,
                                                     const char *authenticator_id,
                                                     uint32_t *out_row,
                                                     struct row_authenticator *out);

/* Calls fn for each row that a subject owns, ascending. */
typedef struct ky_status (*operate_row_fn)(struct operation *o, uint32_t row, void *ctx);
KY_MUST_CHECK struct ky_status operate_each_of(struct operation *o, enum store_lookup kind,
                                               uint32_t subject_row, operate_row_fn fn, void *ctx);
/* The unique row of a key, 0 = none. */
KY_MUST_CHECK struct ky_status operate_unique(struct operation *o, enum store_lookup kind,
                                              struct ky_span key, uint32_t *out_row);
/* A subject's row as a lookup key: u32 little-endian. */
void operate_subject_key(uint32_t subject_row, uint8_t out[4]);

/* ky_put_bytes of each name; KY_INVALID unless every one is a name of ours (or "*", where any_allowed). */
KY_MUST_CHECK struct ky_status operate_put_names(size_t n, char *const *names, bool any_allowed,
                                                 struct ky_buf *out);
size_t operate_count_items(struct ky_span list); /* of repeated ky_put_bytes */

/* Arena copies; a failure makes the reply KY_BUSY (the arena remembers). */
char *operate_text(struct operation *o, struct ky_span s);
char *operate_message(struct operation *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
ProtobufCBinaryData operate_bytes(struct operation *o, struct ky_span s);
char **operate_texts(struct operation *o, struct ky_span list, size_t *out_n);
ProtobufCBinaryData *operate_blobs(struct operation *o, struct ky_span list, size_t *out_n);

/* Appends to o->result; everything is copied. */
void operate_give_credential(struct operation *o, const struct row_credential *c,
                             struct ky_span subject_id);
void operate_give_authenticator(struct operation *o, const struct row_authenticator *d,
                                struct ky_span subject_id);

#endif
