/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares to custodians and back (P22). At birth each types theirs back and every subset is tried, so that nobody
 * leaves with a share that does not work. Later M of them come together; a wrong share is named and changes
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "ckr.h"
#include "kyso/alg.h"
#include "sitting.h"
#include "terminal.h"

struct card { /* what one custodian holds */
    struct ky_secret shares[SHARE_KINDS];
};

static int gone(struct sitting *s)
{
    return cli_fail(s->cli, CLI_FAILED, "run the same command again", "the terminal is gone");
}

static void wipe_card(struct card *c)
{
    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        ky_secret_wipe(&c->shares[k]);
}

static struct ky_status blank_card(struct card *c)
{
    static const uint8_t zeros[SHARE_LEN];
    struct ky_status st = KY_STATUS(KY_OK);

    for (enum share_kind k = 0; ky_ok(st) && k < SHARE_KINDS; k++)
        st = ky_secret_set(&c->shares[k], KY_SPAN_OF(zeros));
    return st;
}

static struct ky_status show(const struct share_set *set, uint32_t custodian,
                             const struct card *card)
{
    static const uint8_t room[KY_SECRET_MAX];
    struct ky_secret line = {.bytes = NULL};
    struct ky_secret all = {.bytes = NULL};
    size_t n = 0;
    struct ky_status st = ky_secret_set(&all, KY_SPAN_OF(room));

    for (enum share_kind k = 0; ky_ok(st) && k < SHARE_KINDS; k++) {
        terminal_say("\n  %s", share_kinds[k]);
        for (uint32_t i = 1; ky_ok(st) && i <= SHARE_LINES; i++) {
            st = share_print(set, k, custodian, i, &card->shares[k], &line);
            if (!ky_ok(st))
                break;
            terminal_show(&line);
            memcpy(all.bytes + n, line.bytes, line.len);
            n += line.len;
            all.bytes[n++] = '\n';
        }
    }
    all.len = n > 0 ? n - 1 : 0;
    if (ky_ok(st))
        terminal_qr(&all);
    ky_secret_wipe(&line);
    ky_secret_wipe(&all);
    return st;
}

enum custody_typed custody_type(const struct share_set *set, enum share_kind kind,
                                uint32_t *custodian, struct ky_secret *share)
{
    struct ky_secret typed = {.bytes = NULL};
    enum custody_typed result = TYPED_FINE;

    for (uint32_t line = 1; result == TYPED_FINE && line <= SHARE_LINES; line++) {
        enum share_fault fault = SHARE_MISTYPED;
        char prompt[64];

        (void)snprintf(prompt, sizeof(prompt), "  %s, line %u: ", share_kinds[kind], line);
        while (result == TYPED_FINE && fault != SHARE_FINE) {
            if (!terminal_ask(prompt, &typed))
                result = TYPED_GONE;
            else if (ky_span_eq(ky_secret_span(&typed), ky_span_text("again")))
                result = TYPED_AGAIN;
            else
                fault = share_read(set, kind, custodian, line, ky_secret_span(&typed), share);
            if (result == TYPED_FINE && fault != SHARE_FINE)
                terminal_say("  This line is %s. Type it once more.", share_faults[fault]);
        }
    }
    ky_secret_wipe(&typed);
    return result;
}

static enum custody_typed type_card(const struct share_set *set, uint32_t *custodian,
                                    struct card *card)
{
    enum custody_typed result = TYPED_FINE;

    for (enum share_kind k = 0; result == TYPED_FINE && k < SHARE_KINDS; k++)
        result = custody_type(set, k, custodian, &card->shares[k]);
    return result;
}

/* The first kind that is not what was committed to, or SHARE_KINDS. */
static enum share_kind wrong_kind(const struct share_set *set, uint32_t custodian,
                                  const struct card *card)
{
    enum share_kind k = 0;

    while (k < SHARE_KINDS && share_check(set, k, custodian, &card->shares[k]) == SHARE_FINE)
        k++;
    return k;
}

/* --- giving -------------------------------------------------------------------------------------- */

static struct ky_status new_secret(struct sitting *s, enum share_kind kind)
{
    static const char tag[] = "kyso ceremony secret v1";
    const struct hsm_module *m = &s->token.vault.module;
    uint8_t in[sizeof(tag) + 1 + 2 * SHARE_LEN];
    uint8_t out[SHARE_LEN];
    struct ky_status st = ky_random(in + sizeof(tag) + 1, SHARE_LEN);

    memcpy(in, tag, sizeof(tag));
    in[sizeof(tag)] = (uint8_t)kind;
    if (ky_ok(st)) /* the machine's and the token's: either suffices */
        st = hsm_ckr_status(m->fn->C_GenerateRandom(s->token.worker.session.handle,
                                                    in + sizeof(in) - SHARE_LEN, SHARE_LEN));
    if (ky_ok(st)) {
        ky_sha256(KY_SPAN_OF(in), out);
        st = ky_secret_set(&s->secrets[kind], KY_SPAN_OF(out));
    }
    ky_wipe(in, sizeof(in));
    ky_wipe(out, sizeof(out));
    return st;
}

static struct ky_status split_all(struct sitting *s, struct share_set *set,
                                  struct ky_secret shares[][SHARE_MAX])
{
    struct ky_status st = ky_random(set->nonce, sizeof(set->nonce));

    for (enum share_kind k = 0; ky_ok(st) && k < SHARE_KINDS; k++) {
        st = new_secret(s, k);
        if (ky_ok(st))
            st = share_split(&s->secrets[k], set->m, set->n, shares[k]);
        for (uint32_t i = 0; ky_ok(st) && i < set->n; i++)
            share_commit(set, k, i + 1, &shares[k][i], set->commitments[k][i]);
    }
    if (ky_ok(st))
        share_commit(set, SHARE_ACTIVATION, 0, &s->secrets[SHARE_ACTIVATION], set->joined);
    return st;
}

static int record_commitments(struct sitting *s, const struct share_set *set)
{
    json_t *fields =
        json_pack("{s:s,s:i,s:i,s:o,s:o}", "event", "shares-made", "threshold", (int)set->m,
                  "custodians", (int)set->n, "nonce", output_hex(KY_SPAN_OF(set->nonce)),
                  "activation_secret", output_hex(KY_SPAN_OF(set->joined)));

    for (enum share_kind k = 0; k < SHARE_KINDS; k++) {
        json_t *list = json_array();

        for (uint32_t i = 0; i < set->n; i++)
            (void)json_array_append_new(list, output_hex(KY_SPAN_OF(set->commitments[k][i])));
        (void)json_object_set_new(fields, share_kinds[k], list);
    }
    return sitting_record(s, fields);
}

/* One custodian alone at the screen. */
static int give_one(struct sitting *s, const struct share_set *set, uint32_t custodian,
                    struct ky_secret shares[][SHARE_MAX])
{
    const char *name = s->plan->custodians[custodian - 1].name;
    struct card given;
    struct card typed = {{{.bytes = NULL}}};
    enum custody_typed how = TYPED_AGAIN;
    struct ky_status st = blank_card(&typed);
    int rc = CLI_OK;

    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        given.shares[k] = shares[k][custodian - 1];
    terminal_say("\nCustodian %u of %u: %s. Everybody else turns away.", custodian, set->n, name);
    while (ky_ok(st) && how == TYPED_AGAIN) {
        if (!terminal_pause("Press Enter when you alone see the screen. "))
            how = TYPED_GONE;
        else if (ky_ok(st = show(set, custodian, &given)))
            how = terminal_pause("\nWrite the four lines on your form. Press Enter when they are "
                                 "written: the screen is cleared. ")
                      ? TYPED_FINE
                      : TYPED_GONE;
        terminal_clear();
        if (!ky_ok(st) || how != TYPED_FINE)
            break;
        terminal_say("%s, type them back from the form (\"again\" shows them once more).", name);
        how = type_card(set, &custodian, &typed);
        if (how == TYPED_FINE && wrong_kind(set, custodian, &typed) != SHARE_KINDS)
            how = TYPED_AGAIN; /* cannot be typed by mistake */
        terminal_clear();
    }
    wipe_card(&typed);
    if (!ky_ok(st))
        return sitting_fail(s, "shares", st);
    if (how != TYPED_FINE)
        return gone(s);
    rc = sitting_record(s, json_pack("{s:s,s:i,s:s}", "event", "possession", "custodian",
                                     (int)custodian, "name", name));
    terminal_say("%s has proved possession. Seal the form in its envelope.", name);
    return rc;
}

static int prove_all(struct sitting *s, const struct share_set *set,
                     struct ky_secret shares[][SHARE_MAX])
{
    uint32_t full = 0;
    uint32_t small = 0;
    int rc;

    for (enum share_kind k = 0; k < SHARE_KINDS; k++) {
        struct ky_status st = share_prove(set, &s->secrets[k], shares[k], &full, &small);

        if (!ky_ok(st))
            return sitting_fail(s, "the shares do not give the secret", st);
    }
    rc = sitting_record(s, json_pack("{s:s,s:i,s:i}", "event", "custody-whole", "sets_restored",
                                     (int)full, "smaller_sets_refused", (int)small));
    terminal_say("All %u sets of %u shares give the secrets; none of the %u smaller ones does.",
                 full, set->m, small);
    return rc;
}

int custody_give(struct sitting *s)
{
    struct share_set set = {.m = s->plan->threshold, .n = s->plan->custodian_count};
    struct ky_secret shares[SHARE_KINDS][SHARE_MAX] = {{{.bytes = NULL}}};
    struct ky_status st = split_all(s, &set, shares);
    int rc = ky_ok(st) ? record_commitments(s, &set) : sitting_fail(s, "shares", st);

    for (uint32_t i = 1; rc == CLI_OK && i <= set.n; i++)
        rc = give_one(s, &set, i, shares);
    if (rc == CLI_OK)
        rc = prove_all(s, &set, shares);
    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        for (uint32_t i = 0; i < set.n; i++)
            ky_secret_wipe(&shares[k][i]);
    if (rc != CLI_OK)
        return rc;
    s->progress.custody = set;
    s->progress.custody_whole = true;
    st = token_pins_derive(&set, &s->secrets[SHARE_ACTIVATION], &s->pins);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, "PINs", st);
}

/* --- gathering ------------------------------------------------------------------------------------- */

/* Another card into cards[*count]; one that does not fit is named and asked for again. */
static int gather_one(struct sitting *s, struct card cards[], uint8_t index[], uint32_t *count)
{
    const struct share_set *set = &s->progress.custody;
    struct card *card = &cards[*count];
    uint32_t custodian = 0;
    enum share_kind kind;
    enum custody_typed how;
    const char *name;
    struct ky_status st = blank_card(card);

    if (!ky_ok(st))
        return sitting_fail(s, "shares", st);
    terminal_say("\nCustodian %u of the %u that are needed: type your four lines.", *count + 1,
                 set->m);
    how = type_card(set, &custodian, card);
    terminal_clear();
    if (how == TYPED_GONE)
        return gone(s);
    if (how == TYPED_AGAIN)
        return CLI_OK;
    name = s->plan->custodians[custodian - 1].name;
    kind = wrong_kind(set, custodian, card);
    if (kind != SHARE_KINDS) {
        terminal_say("The %s share of %s is %s.", share_kinds[kind], name,
                     share_faults[SHARE_NOT_COMMITTED]);
        return CLI_OK;
    }
    if (memchr(index, (int)custodian, *count) != NULL) {
        terminal_say("The share of %s is here already: it takes another custodian.", name);
        return CLI_OK;
    }
    (void)snprintf(s->present + strlen(s->present), sizeof(s->present) - strlen(s->present), "%s%u",
                   *count > 0 ? "," : "", custodian);
    index[(*count)++] = (uint8_t)custodian;
    terminal_say("The share of %s is right.", name);
    return sitting_record(s, json_pack("{s:s,s:i,s:s}", "event", "present", "custodian",
                                       (int)custodian, "name", name));
}

int custody_gather(struct sitting *s)
{
    const struct share_set *set = &s->progress.custody;
    struct card cards[SHARE_MAX] = {{{{.bytes = NULL}}}};
    uint8_t index[SHARE_MAX] = {0};
    uint32_t count = 0;
    struct ky_status st = KY_STATUS(KY_OK);
    int rc = CLI_OK;

    while (rc == CLI_OK && count < set->m)
        rc = gather_one(s, cards, index, &count);
    for (enum share_kind k = 0; rc == CLI_OK && ky_ok(st) && k < SHARE_KINDS; k++) {
        const struct ky_secret *shares[SHARE_MAX];

        for (uint32_t i = 0; i < count; i++)
            shares[i] = &cards[i].shares[k];
        st = share_join(index, shares, count, &s->secrets[k]);
    }
    for (uint32_t i = 0; i < SHARE_MAX; i++)
        wipe_card(&cards[i]);
    if (rc == CLI_OK && ky_ok(st))
        st = token_pins_derive(set, &s->secrets[SHARE_ACTIVATION], &s->pins);
    return rc == CLI_OK && !ky_ok(st) ? sitting_fail(s, "shares", st) : rc;
}
