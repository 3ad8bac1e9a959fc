/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proofs against what people really sent; each spent once, by nobody who is locked; intents, and
 * the one receipt of each with signatures that a vault made of that job. Part of the oracle: see
 * oracle.c.
 */
#include "sim.h"

#include <string.h>

#define LOCK_TRIES   5u
#define LOCK_TOTAL   20u
#define LOCK_FIRST_S 900u
#define LOCK_MAX_S   86400u

/* --- proofs ---------------------------------------------------------------------------------- */

static const struct person *person_of_totp(const struct sim *s, uint32_t row)
{
    for (uint32_t i = 0; i < PERSONS; i++)
        if (s->persons[i].totp_row == row)
            return &s->persons[i];
    return NULL;
}

void spends_step(struct sim *s, const struct order *o, uint32_t subject, uint32_t authenticator,
                 uint64_t step)
{
    struct oracle *k = &s->oracle;
    const struct person *p = person_of_totp(s, authenticator);
    uint64_t now = k->now_s / STEP_S;
    char code[9];
    bool sent = false;

    if (p == NULL || p->subject_row != subject || k->authenticators[authenticator].off)
        sim_fail(s, "proof", "authenticator %u is not the subject's, or was removed",
                 authenticator);
    if (step <= k->last_step[authenticator])
        sim_fail(s, "I3/P24", "step %lu is spent after step %lu", (unsigned long)step,
                 (unsigned long)k->last_step[authenticator]);
    if (step <= k->floor_step)
        sim_fail(s, "P24", "step %lu is spent, the floor is %lu", (unsigned long)step,
                 (unsigned long)k->floor_step);
    if (step + 1 < now || step > now + 1)
        sim_fail(s, "P24", "step %lu is spent at step %lu", (unsigned long)step,
                 (unsigned long)now);
    assert_true(ky_ok(policy_totp_code(0, 6, KY_SPAN_OF(p->seed), step, code)));
    for (uint32_t i = o->family; i < s->order_count; i++)
        for (uint32_t c = 0; s->orders[i].family == o->family && c < s->orders[i].code_count; c++)
            sent = sent || strcmp(s->orders[i].codes[c], code) == 0;
    if (!sent)
        sim_fail(s, "proof", "%s was taken without the code of its step", o->id);
    struct o_subject *a = &k->subjects[subject];
    if (k->now_s < a->locked_until_s || a->not_me != 0)
        sim_fail(s, "P17", "a code of a locked subject was taken");
    k->last_step[authenticator] = step;
    a->failures = a->total = a->locks = 0;
}

void spends_failure(struct sim *s, uint32_t subject)
{
    struct o_subject *a = &s->oracle.subjects[subject];
    uint64_t length = LOCK_FIRST_S;

    if (s->oracle.now_s < a->locked_until_s || a->not_me != 0)
        sim_fail(s, "P17", "a code of a locked subject was looked at");
    a->failures++;
    if (++a->total == LOCK_TOTAL)
        a->locked_until_s = UINT64_MAX;
    if (a->failures < LOCK_TRIES || a->total == LOCK_TOTAL)
        return;
    for (uint32_t i = 0; i < a->locks && length < LOCK_MAX_S; i++)
        length *= 2;
    a->locks++;
    a->failures = 0;
    a->locked_until_s = s->oracle.now_s + (length < LOCK_MAX_S ? length : LOCK_MAX_S);
    s->figures[DID_LOCK]++;
}

/* A device's word for this transaction was really given. */
bool spends_device_said_yes(const struct sim *s, const struct o_tx *t)
{
    for (uint32_t i = 0; i < s->deal_count; i++)
        if (strcmp(s->deals[i].id, t->id) == 0)
            return s->deals[i].approved;
    return false;
}

/* --- intents and receipts ------------------------------------------------------------------- */

/*
 * Whose word stands behind the intent; and that it was given, for these hashes, and not used
 * before.
 */
static uint32_t judge_proof(struct sim *s, const struct ledger_intent *m, const struct order *o)
{
    uint8_t hash[32];

    if (m->proof == KY_PROOF_TOTP) {
        spends_step(s, o, m->subject_row, m->authenticator_row, m->step);
        return m->authenticator_row;
    }
    struct o_tx *t = oracle_open_tx(s, m->transaction_id, "a spend");
    const struct order *of = &s->orders[t->order];
    if (t->credential != m->credential_row || t->client != m->client_row ||
        t->epoch != m->credential_epoch)
        sim_fail(s, "P1", "%s is spent for another key or client", t->id);
    for (uint32_t i = 0; i < o->count; i++) {
        bool listed = false;
        for (uint32_t k = 0; k < of->count; k++)
            listed = listed || memcmp(of->hashes[k], o->hashes[i], 32) == 0;
        if (!listed)
            sim_fail(s, "P1", "%s is spent on a hash that it does not list", t->id);
    }
    t->ended = m->ends_transaction != 0;
    if (m->proof == KY_PROOF_APPROVAL) {
        if (t->authorized != 0 || s->oracle.now_s >= t->not_after_s ||
            !spends_device_said_yes(s, t))
            sim_fail(s, "proof", "%s is spent by an approval that was not given or is too late",
                     t->id);
        s->figures[DID_APPROVAL]++;
        return m->authenticator_row;
    }
    ky_sha256(KY_SPAN_OF(o->sad), hash);
    if (t->authorized == 0 || memcmp(hash, t->sad_sha256, 32) != 0 ||
        s->oracle.now_s >= t->sad_not_after_s)
        sim_fail(s, "proof", "%s is spent by a SAD that is not its own, or too late", t->id);
    s->figures[DID_SAD]++;
    return t->authenticator;
}

void spends_intent(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_intent *m = msg;
    struct oracle *k = &s->oracle;
    const struct order *o = oracle_order(s, m->request_id, m->client_row, m->hashes);

    if (o == NULL || o->kind != DOOR_SIGN || o->proof != m->proof ||
        s->persons[o->person].credentials[o->credential].row != m->credential_row)
        sim_fail(s, "I1", "an intent that nobody asked for");
    if (o->credential != o->client && o->person != SHARED)
        sim_fail(s, "tenancy", "an intent with another tenant's key");
    for (uint32_t i = 0; i < o->count; i++)
        if (oracle_intent_of(s, o->hashes[i]) != NULL)
            sim_fail(s, "P1", "%s: a hash of it has an intent already", o->id);
    for (uint32_t i = 0; i < k->intent_count; i++)
        if (s->orders[k->intents[i].order].family == o->family)
            sim_fail(s, "replay", "%s has two intents", o->id);
    oracle_must_be_usable(s, m->credential_row, m->credential_epoch, m->client_row, "an intent");
    uint32_t authenticator = judge_proof(s, m, o);
    if (k->authenticators[authenticator].off || k->subjects[m->subject_row].not_me != 0)
        sim_fail(s, "P21", "an intent by an authenticator that was removed, or after a \"not me\"");
    k->intents[k->intent_count++] = (struct o_intent){.index = index,
                                                      .order = oracle_order_number(s, o),
                                                      .key_row = m->credential_row,
                                                      .epoch = m->credential_epoch,
                                                      .subject = m->subject_row,
                                                      .authenticator = authenticator,
                                                      .client = m->client_row,
                                                      .count = o->count};
}

static void judge_signatures(struct sim *s, const struct o_intent *in,
                             const struct ledger_receipt *m)
{
    const struct order *o = &s->orders[in->order];

    if (m->sig_len != 64 || m->signatures.len != (size_t)in->count * 64)
        sim_fail(s, "I7", "receipt of intent %lu: not a signature for each hash",
                 (unsigned long)in->index);
    for (uint32_t i = 0; i < in->count; i++) {
        const struct made *made = NULL;
        for (uint32_t k = s->made_count; k > 0 && made == NULL; k--)
            if (memcmp(s->made[k - 1].signature, m->signatures.data + 64u * i, 32) == 0)
                made = &s->made[k - 1];
        if (made == NULL)
            sim_fail(s, "I5", "receipt of intent %lu: a result that was nobody's to give",
                     (unsigned long)in->index);
        if (memcmp(made->digest, o->hashes[i], 32) != 0 || made->key_row != in->key_row)
            sim_fail(s, "I7", "receipt of intent %lu: a signature of another hash or key",
                     (unsigned long)in->index);
    }
}

void spends_receipt(struct sim *s, uint64_t index, const void *msg)
{
    const struct ledger_receipt *m = msg;
    struct oracle *k = &s->oracle;
    struct o_intent *in = NULL;

    for (uint32_t i = k->intent_count; i > 0 && in == NULL; i--)
        if (k->intents[i - 1].index == m->intent)
            in = &k->intents[i - 1];
    if (in == NULL || in->receipt != 0)
        sim_fail(s, "I4", "intent %lu is unknown or has a receipt already",
                 (unsigned long)m->intent);
    in->receipt = index;
    in->outcome = m->outcome;
    if (m->outcome != LEDGER_SIGNED) {
        s->figures[DID_ABANDON] += m->outcome == LEDGER_ABANDONED;
        return;
    }
    judge_signatures(s, in, m);
    ky_sha256(m->signatures, in->answer);
    if (k->credentials[in->key_row].changed > in->index ||
        k->authenticators[in->authenticator].changed > in->index || k->clients[in->client].off ||
        k->subjects[in->subject].not_me != 0)
        sim_fail(s, "P21", "intent %lu is signed by authority that was revoked",
                 (unsigned long)in->index);
    s->figures[DID_SIGN]++;
}
