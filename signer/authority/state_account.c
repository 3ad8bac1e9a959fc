/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts: failures and locks of subjects, the last spent step of authenticators, failure rates of clients. Made at the first touch,
 * since most citizens of a nation never fail; a right code touches no account. Changed only while a record is applied.
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

struct client_fold *state_client_touch(struct state *s, uint32_t row)
{
    struct client_fold *f = touch(&s->clients, row, sizeof(*f));

    if (f != NULL)
        f->row = row;
    return f;
}

void state_client_suspend(struct state *s, struct client_fold *f, uint64_t since_s)
{
    f->suspended_s = since_s;
    if (since_s > s->newest_suspension_s)
        s->newest_suspension_s = since_s;
}

const struct subject_fold *state_subject(const struct state *s, uint32_t row)
{
    return map_get(&s->subjects, map_key_number(0, row));
}

const struct client_fold *state_client(const struct state *s, uint32_t row)
{
    return map_get(&s->clients, map_key_number(0, row));
}

/* --- spent steps ---------------------------------------------------------------------------------- */

static bool widen(struct step_pages *p, uint32_t page)
{
    uint32_t count = page < 2 * p->page_count ? 2 * p->page_count : page + 1;
    uint64_t **pages = reallocarray(p->pages, count, sizeof(*pages));

    if (pages == NULL)
        return false;
    for (uint32_t i = p->page_count; i < count; i++)
        pages[i] = NULL;
    p->pages = pages;
    p->page_count = count;
    return true;
}

bool state_step_put(struct state *s, uint32_t authenticator_row, uint64_t step)
{
    struct step_pages *p = &s->steps;
    uint32_t page = authenticator_row / STATE_STEPS_PAGE;

    if (page >= p->page_count && !widen(p, page))
        return false;
    if (p->pages[page] == NULL)
        p->pages[page] = calloc(STATE_STEPS_PAGE, sizeof(**p->pages));
    if (p->pages[page] == NULL)
        return false;
    uint64_t *at = &p->pages[page][authenticator_row % STATE_STEPS_PAGE];
    p->count += *at == 0;
    *at = step;
    return true;
}

uint64_t state_last_step(const struct state *s, uint32_t authenticator_row)
{
    const struct step_pages *p = &s->steps;
    uint32_t page = authenticator_row / STATE_STEPS_PAGE;

    return page < p->page_count && p->pages[page] != NULL
               ? p->pages[page][authenticator_row % STATE_STEPS_PAGE]
               : 0;
}

void state_steps_free(struct state *s)
{
    for (uint32_t i = 0; i < s->steps.page_count; i++)
        free(s->steps.pages[i]);
    free(s->steps.pages);
    s->steps = (struct step_pages){0};
}

/* --- what proofs change --------------------------------------------------------------------------- */

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
    /* of a passkey the step is its counter, and only one that does not count has none */
    if (proof == KY_PROOF_TOTP || (proof == KY_PROOF_APPROVAL && step != 0)) {
        if (step <= state_last_step(s, authenticator_row))
            return KY_STATUS(KY_CORRUPT); /* I3: a step is spent once */
        if (!state_step_put(s, authenticator_row, step))
            return KY_STATUS(KY_NOMEM);
    }
    if (proof == KY_PROOF_TOTP) {
        struct subject_fold *f = map_get(&s->subjects, map_key_number(0, subject_row));
        if (f != NULL) /* who never failed has nothing to be forgiven, and needs no account */
            policy_lockout_success(&f->account.lockout);
    }
    if (proof == KY_PROOF_SAD || client_row == 0)
        return KY_STATUS(KY_OK); /* no fresh proof was tried */
    return client_outcome(s, client_row, false, now_s);
}
