/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts: failures and locks of subjects, the last spent step of authenticators, failure rates of clients. Made at the first touch,
 * since most citizens of a nation never fail. Changed only while a record is applied.
 */
#include "state.h"

#include <stdlib.h>

static void *touch(struct map *m, uint32_t row, size_t size)
{
    struct map_key key = map_key_number(0, row);
    void *v = map_get(m, key);

    if (v != NULL)
        return v;
    v = calloc(1, size);
    if (v == NULL || !map_put(m, key, v)) {
        free(v);
        return NULL;
    }
    return v;
}

struct subject_fold *state_subject_touch(struct state *s, uint32_t row)
{
    struct subject_fold *f = touch(&s->subjects, row, sizeof(*f));

    if (f != NULL)
        f->row = row;
    return f;
}

struct auth_fold *state_auth_touch(struct state *s, uint32_t row)
{
    struct auth_fold *f = touch(&s->auths, row, sizeof(*f));

    if (f != NULL)
        f->row = row;
    return f;
}

struct client_fold *state_client_touch(struct state *s, uint32_t row)
{
    struct client_fold *f = touch(&s->clients, row, sizeof(*f));

    if (f != NULL)
        f->row = row;
    return f;
}

const struct subject_fold *state_subject(const struct state *s, uint32_t row)
{
    return map_get(&s->subjects, map_key_number(0, row));
}

const struct client_fold *state_client(const struct state *s, uint32_t row)
{
    return map_get(&s->clients, map_key_number(0, row));
}

uint64_t state_last_step(const struct state *s, uint32_t authenticator_row)
{
    const struct auth_fold *f = map_get(&s->auths, map_key_number(0, authenticator_row));

    return f == NULL ? 0 : f->last_step;
}

static struct ky_status client_outcome(struct state *s, uint32_t client_row, bool failed,
                                       uint64_t now_s)
{
    struct client_fold *c = state_client_touch(s, client_row);

    if (c == NULL)
        return KY_STATUS(KY_NOMEM);
    if (policy_client_outcome(&s->limits.client, &c->rate, failed, now_s))
        c->over_threshold = true;
    return KY_STATUS(KY_OK);
}

struct ky_status state_account_denied(struct state *s, const struct ledger_denied *m,
                                      uint64_t now_s)
{
    if ((m->charged & AUTHORITY_CHARGE_SUBJECT) && m->subject_row != 0) {
        struct subject_fold *f = state_subject_touch(s, m->subject_row);
        if (f == NULL)
            return KY_STATUS(KY_NOMEM);
        policy_lockout_failure(&s->limits.lockout, &f->account.lockout, now_s);
    }
    return m->charged != 0 && m->client_row != 0 ? client_outcome(s, m->client_row, true, now_s)
                                                 : KY_STATUS(KY_OK);
}

struct ky_status state_account_proved(struct state *s, uint8_t proof, uint32_t client_row,
                                      uint32_t subject_row, uint32_t authenticator_row,
                                      uint64_t step, uint64_t now_s)
{
    if (proof == KY_PROOF_TOTP) {
        struct auth_fold *a = state_auth_touch(s, authenticator_row);
        struct subject_fold *f = state_subject_touch(s, subject_row);
        if (a == NULL || f == NULL)
            return KY_STATUS(KY_NOMEM);
        if (step <= a->last_step)
            return KY_STATUS(KY_CORRUPT); /* I3: a step is spent once */
        a->last_step = step;
        policy_lockout_success(&f->account.lockout);
    }
    if (proof == KY_PROOF_SAD || client_row == 0)
        return KY_STATUS(KY_OK); /* no fresh proof was tried */
    return client_outcome(s, client_row, false, now_s);
}
