/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOTP seeds at rest. A seed leaves this file sealed, or in a struct ky_secret. Any thread; no state.
 */
#ifndef KYSO_SEED_H
#define KYSO_SEED_H

#include "kyso/secret.h"

#define SEED_MIN        16u
#define SEED_MAX        64u
#define SEED_OVERHEAD   28u /* 12-byte IV in front, 16-byte tag behind */
#define SEED_SEALED_MAX (SEED_MAX + SEED_OVERHEAD)

/*
 * AES-256-GCM under the 32-byte key seed-enc; AAD = authenticator id || u32 LE epoch, so that a sealed seed
 * works in its own row and epoch only.
 * Errors: KY_INVALID (lengths), KY_INTERNAL.
 */
KY_MUST_CHECK struct ky_status seed_seal(const struct ky_secret *key,
                                         struct ky_span authenticator_id, uint32_t epoch,
                                         struct ky_span seed, uint8_t out_sealed[SEED_SEALED_MAX],
                                         size_t *out_len);
/* Errors: KY_CORRUPT (tag, id or epoch does not hold), KY_INVALID, KY_NOMEM. */
KY_MUST_CHECK struct ky_status seed_open(const struct ky_secret *key,
                                         struct ky_span authenticator_id, uint32_t epoch,
                                         struct ky_span sealed, struct ky_secret *out_seed);

#endif
