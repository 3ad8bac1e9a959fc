/* SPDX-License-Identifier: Apache-2.0 */
/* The token's PINs: nobody chooses, sees or keeps them; M custodians make them again. */
#ifndef CEREMONY_PINS_H
#define CEREMONY_PINS_H

#include "share.h"

enum { PIN_LEN = 32, TOKEN_SERIAL = 17 };

struct token_pins { /* of the activation secret */
    struct ky_secret so, user;
};

/* secret: SHARE_LEN bytes. Errors: KY_NOMEM. */
KY_MUST_CHECK struct ky_status token_pins_derive(const struct share_set *set,
                                                 const struct ky_secret *secret,
                                                 struct token_pins *out);
void token_pins_wipe(struct token_pins *pins);

#endif
