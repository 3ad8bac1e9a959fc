/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on authenticators that exist: confirm, list, remove. An authenticator that waits for its confirmation counts wrong codes
 * in its epoch, which starts at 1 and rises with every write: a restart refunds nothing. The authority's thread, inside a turn.
 */
#include <string.h>

#include "enroll.h"
#include "operate.h"
#include "seed.h"

/* Writes an authenticator with its next epoch, to which its sealed seed is bound. */
static struct ky_status put_next_epoch(struct operation *o, uint32_t number,
                                       struct row_authenticator *row)
{
    uint8_t sealed[SEED_SEALED_MAX];
    struct ky_secret seed = {NULL, 0};
    struct ky_status status = KY_STATUS(KY_OK);
    const struct ky_secret *key = authority_seed_key(o->a);

    if (row->sealed_seed.len > 0) {
        status = seed_open(key, row->authenticator_id, row->epoch, row->sealed_seed, &seed);
        if (ky_ok(status))
            status = seed_seal(key, row->authenticator_id, row->epoch + 1, ky_secret_span(&seed),
                               sealed, &row->sealed_seed.len);
        row->sealed_seed.data = sealed;
    }
    if (ky_ok(status)) {
        row->epoch++;
        status = authority_row_put(o->a, ROW_AUTHENTICATOR, number, row, o->index, NULL);
    }
    row->sealed_seed = KY_SPAN(NULL, 0); /* it does not outlive this function */
    ky_secret_wipe(&seed);
    return status;
}

/*
 * The seed's fingerprint stays: a seed is enrolled once, since its spent steps go with its row. So does the key of a device that was
 * active: the approval that let it in would let it in again. One that was never confirmed is free.
 */
struct ky_status operate_put_removed(struct operation *o, uint32_t number,
                                     struct row_authenticator *row)
{
    uint8_t key_sha256[32];
    bool frees_key = row->kind == ROW_AUTH_DEVICE && row->state == ROW_AUTH_UNCONFIRMED;

    ky_sha256(row->device_key, key_sha256);
    row->state = ROW_AUTH_REMOVED;
    row->sealed_seed = KY_SPAN(NULL, 0);
    memset(row->confirm_sha256, 0, sizeof(row->confirm_sha256));
    struct ky_status status = put_next_epoch(o, number, row);
    if (ky_ok(status) && frees_key)
        status = store_lookup_remove(authority_store(o->a), STORE_BY_DEVICE_KEY,
                                     KY_SPAN_OF(key_sha256), number);
    return status;
}

bool operate_code_holds(struct operation *o, const struct row_authenticator *row, const char *code)
{
    uint8_t mac[32];
    bool in_time = authority_now_s(o->a) <= row->enrolled_s + ENROLL_CODE_VALID_S;

    return ky_ok(enroll_code_mac(authority_state_key(o->a), row->authenticator_id,
                                 ky_span_text(code), mac)) &&
           ky_span_eq_ct(KY_SPAN_OF(mac), KY_SPAN_OF(row->confirm_sha256)) && in_time;
}

static struct ky_status refuse_code(struct operation *o, uint32_t number,
                                    struct row_authenticator *row)
{
    bool last = row->epoch >= ENROLL_CONFIRM_TRIES;
    struct ky_status status =
        last ? operate_put_removed(o, number, row) : put_next_epoch(o, number, row);

    if (!ky_ok(status))
        return status;
    return operate_no(o, KY_PROOF_WRONG_CODE,
                      last ? "too many wrong codes: removed" : "the code is wrong or too old");
}

static struct ky_status subject_text(struct operation *o, uint32_t subject_row,
                                     struct ky_span *out_id)
{
    struct row_subject subject;
    struct ky_status status =
        store_row_get(authority_store(o->a), ROW_SUBJECT, subject_row, &subject);

    if (ky_ok(status))
        *out_id = subject.subject_id;
    return status;
}

struct ky_status operate_confirm_authenticator(struct operation *o)
{
    const Kyso__V1__ConfirmAuthenticator *m = o->op->confirm_authenticator;
    struct row_authenticator row;
    struct ky_span subject_id;
    uint32_t number = 0;
    bool can_sign = false;
    struct ky_status status = operate_authenticator(o, m->authenticator_id, &number, &row);

    if (!ky_ok(status))
        return status;
    if (row.state != ROW_AUTH_UNCONFIRMED)
        return operate_no(o, KY_CONFLICT, "it is not waiting for a confirmation");
    if (row.device_key_type == POLICY_PASSKEY)
        return operate_no(o, KY_CONFLICT, "a passkey is confirmed by the link that makes it");
    if (!operate_code_holds(o, &row, m->code))
        return refuse_code(o, number, &row);
    status = operate_can_sign(o, row.subject_row, &can_sign);
    if (ky_ok(status))
        status = subject_text(o, row.subject_row, &subject_id);
    if (!ky_ok(status))
        return status;
    row.state = ROW_AUTH_ACTIVE;
    row.usable_from_s =
        policy_enrolment_confirmed(can_sign, authority_now_s(o->a), row.usable_from_s);
    memset(row.confirm_sha256, 0, sizeof(row.confirm_sha256));
    operate_give_authenticator(o, &row, subject_id);
    o->result.message = operate_message(o, "authenticator %s is active%s", m->authenticator_id,
                                        can_sign ? ", and counts from tomorrow on" : "");
    return put_next_epoch(o, number, &row);
}

static struct ky_status put_passkey(struct operation *o, uint32_t client_row, uint32_t number,
                                    struct row_authenticator *row, struct ky_span public_key)
{
    struct ledger_passkey record = {.client_row = client_row, .authenticator_row = number};
    uint32_t other = 0;
    bool can_sign = false;

    ky_sha256(public_key, record.key_sha256);
    struct ky_status status =
        operate_unique(o, STORE_BY_DEVICE_KEY, KY_SPAN_OF(record.key_sha256), &other);
    if (ky_ok(status) && other != 0)
        return operate_no(o, KY_CONFLICT, "that key is enrolled already");
    if (ky_ok(status))
        status = operate_can_sign(o, row->subject_row, &can_sign);
    if (ky_ok(status))
        status = authority_append(o->a, &ledger_passkey_schema, &record, KY_SPAN(NULL, 0), &o->index);
    row->state = ROW_AUTH_ACTIVE;
    row->device_key = public_key;
    row->usable_from_s =
        policy_enrolment_confirmed(can_sign, authority_now_s(o->a), row->usable_from_s);
    memset(row->confirm_sha256, 0, sizeof(row->confirm_sha256));
    if (ky_ok(status))
        status = put_next_epoch(o, number, row);
    if (ky_ok(status))
        status = store_lookup_add(authority_store(o->a), STORE_BY_DEVICE_KEY,
                                  KY_SPAN_OF(record.key_sha256), number);
    return status;
}

static struct ky_status take_passkey(struct operation *o, uint32_t client_row,
                                     struct ky_span authenticator_id, struct ky_span code,
                                     struct ky_span public_key)
{
    char id[AUTHORITY_ID_MAX], digits[ENROLL_CODE_DIGITS + 1];
    struct row_authenticator row;
    uint32_t number = 0;

    if (policy_key_type(public_key) != POLICY_DEVICE_ES256 ||
        !ky_span_to_cstr(authenticator_id, id, sizeof(id)))
        return operate_no(o, KY_INVALID, "not a key for ES256");
    struct ky_status status = operate_authenticator(o, id, &number, &row);
    if (!ky_ok(status))
        return status;
    if (row.state != ROW_AUTH_UNCONFIRMED || row.device_key_type != POLICY_PASSKEY)
        return operate_no(o, KY_CONFLICT, "it is not waiting for a passkey");
    if (!ky_span_to_cstr(code, digits, sizeof(digits)) || !operate_code_holds(o, &row, digits))
        return refuse_code(o, number, &row);
    return put_passkey(o, client_row, number, &row, public_key);
}

enum ky_code operate_passkey(struct authority *a, uint32_t client_row,
                             struct ky_span authenticator_id, struct ky_span code,
                             struct ky_span public_key)
{
    struct ky_arena arena;
    struct operation o = {.a = a, .name = "enroll-passkey", .arena = &arena};

    if (!ky_ok(ky_arena_init(&arena, KY_ARENA_MAX)))
        return KY_BUSY;
    struct ky_status status = take_passkey(&o, client_row, authenticator_id, code, public_key);
    if (!ky_ok(status))
        log_event(LOG_INFO, "record-refused", LOG_STR("operation", o.name), LOG_CODE(status),
                  LOG_STR("why", o.why != NULL ? o.why : ""));
    ky_arena_wipe(&arena);
    return status.code;
}

static struct ky_status give_one(struct operation *o, uint32_t number, void *ctx)
{
    const struct row_subject *subject = ctx;
    struct row_authenticator row;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_AUTHENTICATOR, number, &row);

    if (ky_ok(status))
        operate_give_authenticator(o, &row, subject->subject_id);
    return status;
}

struct ky_status operate_list_authenticators(struct operation *o)
{
    struct row_subject subject;
    uint32_t number = 0;
    struct ky_status status =
        operate_subject(o, o->op->list_authenticators->subject_id, &number, &subject);

    if (ky_ok(status))
        status = operate_each_of(o, STORE_AUTHENTICATORS_OF, number, give_one, &subject);
    if (ky_ok(status))
        o->result.message = operate_message(o, "%zu authenticator(s)", o->result.n_authenticators);
    return status;
}

struct ky_status operate_remove_authenticator(struct operation *o)
{
    const Kyso__V1__RemoveAuthenticator *m = o->op->remove_authenticator;
    struct row_authenticator row;
    struct ky_span subject_id;
    uint32_t number = 0;
    struct ky_status status = operate_authenticator(o, m->authenticator_id, &number, &row);

    if (ky_ok(status) && row.state == ROW_AUTH_REMOVED)
        return operate_no(o, KY_CONFLICT, "it is removed already");
    if (ky_ok(status))
        status = subject_text(o, row.subject_row, &subject_id);
    if (!ky_ok(status))
        return status;
    struct row_authenticator shown = row;
    o->result.message = operate_message(o, "authenticator %s removed", m->authenticator_id);
    shown.state = ROW_AUTH_REMOVED;
    operate_give_authenticator(o, &shown, subject_id);
    return operate_put_removed(o, number, &row);
}
