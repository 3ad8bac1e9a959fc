/* SPDX-License-Identifier: Apache-2.0 */
/* A plain array of what was picked. */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include "sign_job.h"
#include "splitmix.h"

struct sampled {
    uint32_t citizen;
    uint16_t len;
    uint8_t digest[32];
    uint8_t signature[256];
};

static double next_random(struct sample *s) /* uniform in [0, 1) */
{
    return (double)(splitmix(&s->state) >> 11) / 9007199254740992.0;
}

bool sample_offer(struct sample *s, uint32_t citizen, const uint8_t digest[32],
                  struct ky_span signature)
{
    struct sampled *item;

    s->offered++;
    if (next_random(s) >= s->share && s->offered != 1) /* never an empty sample */
        return true;
    if (signature.len > sizeof item->signature)
        return false;
    if (s->count == s->cap) {
        size_t wider = s->cap == 0 ? 1024 : 2 * s->cap;
        struct sampled *grown = realloc(s->items, wider * sizeof *grown);

        if (grown == NULL)
            return false;
        s->items = grown;
        s->cap = wider;
    }
    item = &s->items[s->count++];
    item->citizen = citizen;
    item->len = (uint16_t)signature.len;
    memcpy(item->digest, digest, sizeof item->digest);
    memcpy(item->signature, signature.data, signature.len);
    return true;
}

size_t sample_verify(struct sample *s, struct population *p, size_t *out_bad)
{
    size_t verified = 0;

    *out_bad = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct sampled *item = &s->items[i];
        struct citizen *c = &p->citizens[item->citizen];
        EVP_PKEY *key = population_public_key(c);

        if (key != NULL && sign_check(key, &c->algorithm, false, KY_SPAN_OF(item->digest),
                                      KY_SPAN(item->signature, item->len)))
            verified++;
        else
            ++*out_bad;
    }
    s->count = 0;
    s->offered = 0;
    return verified;
}

void sample_free(struct sample *s)
{
    free(s->items);
    *s = (struct sample){.count = 0};
}
