/* SPDX-License-Identifier: Apache-2.0 */
/* Both PINs of the activation secret, by RFC 5869. They stay in locked pages. Any thread. */
#include "pins.h"

#include <stdio.h>
#include <string.h>

#include "kyso/alg.h"

/* RFC 5869 with SHA-256, one block, in hex. */
static struct ky_status derive(const struct share_set *set, const struct ky_secret *secret,
                               const char *info, struct ky_secret *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t key[32];
    uint8_t block[32];
    uint8_t text[PIN_LEN];
    uint8_t in[40];
    struct ky_status st;

    ky_hmac_sha256(KY_SPAN_OF(set->nonce), ky_secret_span(secret), key);
    (void)snprintf((char *)in, sizeof(in), "kyso %s\x01", info);
    ky_hmac_sha256(KY_SPAN_OF(key), KY_SPAN(in, strlen((char *)in)), block);
    for (size_t i = 0; i < PIN_LEN; i++)
        text[i] = (uint8_t)digits[block[i / 2] >> (i % 2 ? 0 : 4) & 15];
    st = ky_secret_set(out, KY_SPAN_OF(text));
    ky_wipe(key, sizeof(key));
    ky_wipe(block, sizeof(block));
    ky_wipe(text, sizeof(text));
    return st;
}

struct ky_status token_pins_derive(const struct share_set *set, const struct ky_secret *secret,
                                   struct token_pins *out)
{
    struct ky_status st = derive(set, secret, "so pin", &out->so);

    return ky_ok(st) ? derive(set, secret, "user pin", &out->user) : st;
}

void token_pins_wipe(struct token_pins *pins)
{
    ky_secret_wipe(&pins->so);
    ky_secret_wipe(&pins->user);
}
