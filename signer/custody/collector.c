/* SPDX-License-Identifier: Apache-2.0 */
/* The collector: no descriptor, no clock, no log. */
#include "collector.h"

#include <string.h>

struct ky_status collector_open(const struct share_set *set, struct collector *out)
{
    static const uint8_t none[sizeof(set->joined)];

    *out = (struct collector){.set = *set};
    if (set->m < 2 || ky_span_eq(KY_SPAN_OF(set->joined), KY_SPAN_OF(none)))
        return KY_STATUS(KY_INVALID);
    return activation_begin(&out->set, &out->key);
}

void collector_close(struct collector *c)
{
    for (uint32_t i = 0; i < SHARE_MAX; i++)
        ky_secret_wipe(&c->shares[i]);
    activation_end(&c->key);
    *c = (struct collector){.count = 0};
}

enum activation_answer collector_take(struct collector *c, const struct activation_share *from)
{
    struct ky_secret share = {.bytes = NULL};
    enum activation_answer answer = ACTIVATION_FAILED;

    if (c->count == c->set.m)
        return ACTIVATION_FAILED;
    if (!ky_ok(activation_open(&c->key, from, &share)))
        return ACTIVATION_NOT_OPENED;
    if (share_check(&c->set, SHARE_ACTIVATION, from->custodian, &share) != SHARE_FINE)
        answer = ACTIVATION_NOT_COMMITTED;
    else if (memchr(c->index, from->custodian, c->count) != NULL)
        answer = ACTIVATION_TWICE;
    else if (ky_ok(ky_secret_set(&c->shares[c->count], ky_secret_span(&share)))) {
        c->index[c->count++] = from->custodian;
        c->key.hello.have = (uint8_t)c->count;
        answer = c->count < c->set.m ? ACTIVATION_TAKEN : ACTIVATION_WHOLE;
    }
    ky_secret_wipe(&share);
    return answer;
}

struct ky_status collector_pin(const struct collector *c, struct ky_secret *out_pin)
{
    const struct ky_secret *shares[SHARE_MAX];
    struct ky_secret secret = {.bytes = NULL};
    struct token_pins pins = {.so = {.bytes = NULL}};
    uint8_t commitment[32];
    struct ky_status st;

    for (uint32_t i = 0; i < c->count; i++)
        shares[i] = &c->shares[i];
    st = share_join(c->index, shares, c->count, &secret);
    if (ky_ok(st)) {
        share_commit(&c->set, SHARE_ACTIVATION, 0, &secret, commitment);
        if (!ky_span_eq(KY_SPAN_OF(commitment), KY_SPAN_OF(c->set.joined)))
            st = KY_STATUS(KY_CORRUPT);
    }
    if (ky_ok(st))
        st = token_pins_derive(&c->set, &secret, &pins);
    if (ky_ok(st))
        st = ky_secret_set(out_pin, ky_secret_span(&pins.user));
    token_pins_wipe(&pins);
    ky_secret_wipe(&secret);
    return st;
}

uint32_t collector_custodians(const struct collector *c)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < c->count; i++)
        bits |= 1u << (c->index[i] - 1);
    return bits;
}
