/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transcript folded into what is left to do. Events and their fields stand here, for reading; each is
 * written where it happens. An event that is not known changes nothing: later programs may add some.
 */
#include <string.h>

#include "kyso/alg.h"
#include "progress.h"

static bool take_commitments(const json_t *list, uint32_t n, uint8_t out[][32])
{
    if (json_array_size(list) != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!transcript_unhex(json_array_get(list, i), out[i], 32))
            return false;
    return true;
}

static const char *take_begin(struct progress *p, const json_t *f)
{
    const char *id = json_string_value(json_object_get(f, "ceremony"));

    if (p->id[0] != '\0')
        return "begins a ceremony that has begun already";
    if (id == NULL || !ky_span_to_cstr(ky_span_text(id), p->id, sizeof(p->id)) ||
        !transcript_unhex(json_object_get(f, "plan_sha256"), p->plan_sha256, 32))
        return "lacks the ceremony's name or its plan's hash";
    return NULL;
}

static const char *take_token(struct progress *p, const json_t *f)
{
    const char *serial = json_string_value(json_object_get(f, "serial"));

    return serial == NULL || ky_span_to_cstr(ky_span_text(serial), p->serial, sizeof(p->serial))
               ? NULL
               : "has a serial number that is none";
}

static const char *take_shares(struct progress *p, const json_t *f)
{
    json_int_t m = json_integer_value(json_object_get(f, "threshold"));
    json_int_t n = json_integer_value(json_object_get(f, "custodians"));

    if (p->keys_made)
        return "gives out new shares although there are keys";
    if (m < 2 || m > n || n > SHARE_MAX)
        return "has another M of N than can be";
    p->custody = (struct share_set){.m = (uint32_t)m, .n = (uint32_t)n};
    p->custody_whole = false;
    if (!transcript_unhex(json_object_get(f, "nonce"), p->custody.nonce, SHARE_NONCE))
        return "lacks the custody's nonce";
    for (enum share_kind k = 0; k < SHARE_KINDS; k++)
        if (!take_commitments(json_object_get(f, share_kinds[k]), p->custody.n,
                              p->custody.commitments[k]))
            return "lacks commitments";
    if (!transcript_unhex(json_object_get(f, "activation_secret"), p->custody.joined, 32))
        memset(p->custody.joined, 0, sizeof(p->custody.joined));
    return NULL;
}

static const char *take_custody(struct progress *p, const json_t *f)
{
    (void)f;
    if (p->custody.n == 0)
        return "ends a custody that was never begun";
    p->custody_whole = true;
    return NULL;
}

static const char *take_keys(struct progress *p, const json_t *f)
{
    const char *type = json_string_value(json_object_get(f, "ledger_key_type"));
    const json_t *spki = json_object_get(f, "ledger_key");
    size_t len = json_string_length(spki) / 2;

    if (!p->custody_whole || p->closed)
        return "makes keys at a time when there can be none";
    p->ledger_type = type != NULL ? ky_key_type_by_name(type) : 0;
    if (p->ledger_type == 0 || len > sizeof(p->ledger_spki) ||
        !transcript_unhex(spki, p->ledger_spki, len) ||
        !transcript_unhex(json_object_get(f, "backup_sha256"), p->backup_sha256, 32) ||
        !ky_ok(hsm_verifier_set_key(&p->verifier, p->ledger_type, KY_SPAN(p->ledger_spki, len))))
        return "lacks a usable ledger key or the backup's hash";
    p->ledger_spki_len = len;
    p->keys_made = true;
    p->kek = 1;
    return NULL;
}

static const char *take_closed(struct progress *p, const json_t *f)
{
    (void)f;
    p->closed = true;
    return p->keys_made ? NULL : "closes a ceremony without keys";
}

static const char *take_restoring(struct progress *p, const json_t *f)
{
    (void)f;
    if (!p->restoring)
        p->serial[0] = '\0'; /* that of the token that is in use */
    p->restoring = true;
    return p->closed ? NULL : "restores what was never closed";
}

static const char *take_restored(struct progress *p, const json_t *f)
{
    (void)f;
    p->restoring = false;
    return NULL;
}

static const char *take_rotation(struct progress *p, const json_t *f)
{
    if (!p->closed || p->rotating ||
        json_integer_value(json_object_get(f, "kek")) != (json_int_t)p->kek + 1)
        return "begins a rotation at a time when there can be none";
    memcpy(p->former_sha256, p->backup_sha256, sizeof(p->former_sha256));
    p->rotating = true;
    p->kek++;
    return transcript_unhex(json_object_get(f, "backup_sha256"), p->backup_sha256, 32)
               ? NULL
               : "lacks the backup's hash";
}

static const char *take_rotated(struct progress *p, const json_t *f)
{
    (void)f;
    if (!p->rotating)
        return "ends a rotation that was never begun";
    p->rotating = false;
    return NULL;
}

static const struct {
    const char *event;
    const char *(*take)(struct progress *p, const json_t *fields);
    bool is_signed;
} events[] = {
    {"begin", take_begin, false},           {"token-fit", take_token, false},
    {"shares-made", take_shares, false},
    {"custody-whole", take_custody, false}, {"keys-made", take_keys, false},
    {"closed", take_closed, true},          {"restore-begun", take_restoring, false},
    {"restored", take_restored, true},      {"rotation-begun", take_rotation, false},
    {"rotated", take_rotated, true},
};

static const char *take_signature(struct progress *p, const struct transcript_sums *sums)
{
    const struct ky_algorithm a = {.scheme = p->ledger_type == KY_KEY_ED25519 ? KY_EDDSA : KY_ECDSA,
                                   .hash = KY_SHA256};

    if (p->ledger_type == 0)
        return "is signed before there is a key";
    p->signatures++;
    return ky_ok(hsm_verify(&p->verifier, &a, KY_SPAN_OF(sums->signed_sha256), sums->signature))
               ? NULL
               : "has a signature that is not the ledger key's";
}

const char *progress_take(void *progress, const json_t *fields, const struct transcript_sums *sums)
{
    struct progress *p = progress;
    const char *event = json_string_value(json_object_get(fields, "event"));
    const char *no = NULL;

    if (event == NULL)
        return "tells no event";
    if (p->id[0] == '\0' && strcmp(event, "begin") != 0)
        return "is not the beginning of a ceremony";
    if (sums->is_signed)
        no = take_signature(p, sums);
    for (size_t i = 0; no == NULL && i < sizeof(events) / sizeof(events[0]); i++) {
        if (strcmp(event, events[i].event) != 0)
            continue;
        no = events[i].is_signed && !sums->is_signed ? "is not signed" : events[i].take(p, fields);
    }
    return no;
}
