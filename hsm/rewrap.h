/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation of the KEK, one key at a time. Only the ceremony calls this. */
#ifndef HSM_REWRAP_H
#define HSM_REWRAP_H

#include "vault.h"

struct hsm_rewrap { /* what a row says; borrowed for the call */
    uint8_t key_type;
    struct ky_span blob;
    struct ky_span public_key;
};

/*
 * The blob under the vault's newest KEK. old: hsm_backup_open_kek's. Errors: KY_INVALID (the blob is not of that KEK), KY_TOKEN_*.
 */
KY_MUST_CHECK struct ky_status hsm_rewrap(struct hsm_worker *w, const struct hsm_kek *old,
                                          const struct hsm_rewrap *in, uint8_t out[KY_BLOB_MAX],
                                          size_t *out_len);

#endif
