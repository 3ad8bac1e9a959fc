/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on people: add, show, unlock. A person's id and name never enter the ledger but
 * through the row's salted hash. The authority's thread, inside a turn.
 */
#include <string.h>

#include "operate.h"

#define SUBJECT_NAME_MAX 200u

const char *operate_subject_problem(struct ky_span subject_id, struct ky_span name)
{
    if (!ky_span_is_name(subject_id, KY_NAME_MAX))
        return "subject_id is not a name";
    if (name.len > SUBJECT_NAME_MAX || !ky_span_is_display_text(name))
        return "name is too long or not plain text";
    return NULL;
}

struct ky_status operate_put_subject(struct operation *o, struct row_subject *row,
                                     uint32_t *out_number)
{
    struct ky_status status = ky_random(row->salt, sizeof(row->salt));

    if (ky_ok(status))
        status = authority_row_put(o->a, ROW_SUBJECT, 0, row, o->index, out_number);
    if (ky_ok(status))
        status = store_lookup_add(authority_store(o->a), STORE_BY_SUBJECT_ID, row->subject_id,
                                  *out_number);
    return status;
}

struct ky_status operate_add_subject(struct operation *o)
{
    const Kyso__V1__AddSubject *m = o->op->add_subject;
    struct row_subject row = {.subject_id = ky_span_text(m->subject_id),
                              .name = ky_span_text(m->name)};
    const char *why = operate_subject_problem(row.subject_id, row.name);
    uint32_t number = 0;

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    struct ky_status status = operate_unique(o, STORE_BY_SUBJECT_ID, row.subject_id, &number);
    if (!ky_ok(status))
        return status;
    if (number != 0)
        return operate_no(o, KY_CONFLICT, "that subject exists");
    status = operate_put_subject(o, &row, &number);
    if (!ky_ok(status))
        return status;
    o->result.subject_id = operate_text(o, row.subject_id);
    o->result.subject_name = operate_text(o, row.name);
    o->result.message = operate_message(o, "subject %s added", m->subject_id);
    return status;
}

struct owned {
    uint32_t credentials;    /* not destroyed */
    uint32_t authenticators; /* active */
};

static struct ky_status count_credential(struct operation *o, uint32_t row, void *ctx)
{
    struct owned *owned = ctx;
    struct row_credential c;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_CREDENTIAL, row, &c);

    if (ky_ok(status))
        owned->credentials += c.state != KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_DESTROYED;
    return status;
}

static struct ky_status count_authenticator(struct operation *o, uint32_t row, void *ctx)
{
    struct owned *owned = ctx;
    struct row_authenticator d;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_AUTHENTICATOR, row, &d);

    if (ky_ok(status))
        owned->authenticators += d.state == ROW_AUTH_ACTIVE;
    return status;
}

static char *lock_text(struct operation *o, const struct subject_account *account)
{
    if (account->not_me)
        return operate_message(o, "locked: a device said \"not me\"");
    if (!policy_lockout_is_locked(&account->lockout, authority_now_s(o->a)))
        return operate_message(o, "open");
    if (account->lockout.locked_until_s == UINT64_MAX)
        return operate_message(o, "locked until unlocked by an operator");
    return operate_message(o, "locked until %llu",
                           (unsigned long long)account->lockout.locked_until_s);
}

struct ky_status operate_show_subject(struct operation *o)
{
    struct row_subject row;
    struct owned owned = {0, 0};
    uint32_t number = 0;
    struct ky_status status = operate_subject(o, o->op->show_subject->subject_id, &number, &row);

    if (!ky_ok(status))
        return status;
    struct subject_account account = authority_subject_account(o->a, number);
    o->result.subject_id = operate_text(o, row.subject_id);
    o->result.subject_name = operate_text(o, row.name);
    o->result.subject_state = lock_text(o, &account);
    o->result.subject_row = number;
    status = operate_each_of(o, STORE_CREDENTIALS_OF, number, count_credential, &owned);
    if (ky_ok(status))
        status = operate_each_of(o, STORE_AUTHENTICATORS_OF, number, count_authenticator, &owned);
    if (ky_ok(status))
        o->result.message = operate_message(
            o, "%u credential(s), %u active authenticator(s), %u failure(s) in a row",
            owned.credentials, owned.authenticators, account.lockout.total);
    return status;
}

struct ky_status operate_unlock_subject(struct operation *o)
{
    struct ledger_unlocked record = {.operation = o->index};
    struct row_subject row;
    struct ky_status status =
        operate_subject(o, o->op->unlock_subject->subject_id, &record.subject_row, &row);

    if (!ky_ok(status))
        return status;
    status = authority_append(o->a, &ledger_unlocked_schema, &record, KY_SPAN(NULL, 0), NULL);
    if (!ky_ok(status))
        return status;
    o->result.subject_id = operate_text(o, row.subject_id);
    o->result.subject_state = operate_message(o, "open");
    o->result.message =
        operate_message(o, "subject %s unlocked", o->op->unlock_subject->subject_id);
    return status;
}
