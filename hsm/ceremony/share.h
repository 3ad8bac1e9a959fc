/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets in M of N shares over GF(256), and a share as two lines that people write down and type. A
 * line has a checksum of its own, so a slip is named by its line; a share has a public commitment,
 * so a wrong one is named by its custodian (P22).
 */
#ifndef CEREMONY_SHARE_H
#define CEREMONY_SHARE_H

#include "kyso/secret.h"

enum { SHARE_MAX = 15, SHARE_LEN = 32, SHARE_LINES = 2, SHARE_TEXT = 50, SHARE_NONCE = 16 };
enum share_kind { SHARE_ACTIVATION, SHARE_BACKUP, SHARE_KINDS };

struct share_set {              /* public: what the transcript holds of a custody */
    uint8_t nonce[SHARE_NONCE]; /* of this custody alone: shares of another do not fit */
    uint32_t m, n;
    uint8_t commitments[SHARE_KINDS][SHARE_MAX][32];
    uint8_t joined[32]; /* to the activation secret itself; zeros: an older program's custody */
};

enum share_fault { /* what is wrong with a line, or with a whole share */
                   SHARE_FINE,
                   SHARE_MISTYPED,
                   SHARE_OTHER_CEREMONY,
                   SHARE_OTHER_LINE,
                   SHARE_OTHER_PERSON,
                   SHARE_NOT_COMMITTED,
                   SHARE_FAULTS
};
extern const char *const share_faults[SHARE_FAULTS]; /* what people read */
extern const char *const share_kinds[SHARE_KINDS];   /* "activation" */

/*
 * Splits SHARE_LEN bytes; out[i] is custodian i+1's. Errors: KY_INVALID (2 <= m <= n <= SHARE_MAX),
 * KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status share_split(const struct ky_secret *secret, uint32_t m, uint32_t n,
                                           struct ky_secret out[]);
/* Joins the shares of custodians index[0..count), each 1..15, all different. Errors: KY_INVALID, KY_NOMEM. */
KY_MUST_CHECK struct ky_status share_join(const uint8_t index[],
                                          const struct ky_secret *const shares[], uint32_t count,
                                          struct ky_secret *out);
/* custodian 0: a commitment to the secret that the shares give. */
void share_commit(const struct share_set *set, enum share_kind kind, uint32_t custodian,
                  const struct ky_secret *share, uint8_t out[32]);
enum share_fault share_check(const struct share_set *set, enum share_kind kind, uint32_t custodian,
                             const struct ky_secret *share);
/*
 * Every subset of m shares gives the secret, none of m - 1 does. KY_CORRUPT when not; *out_full and
 * *out_small: how many were tried.
 */
KY_MUST_CHECK struct ky_status share_prove(const struct share_set *set,
                                           const struct ky_secret *secret,
                                           const struct ky_secret shares[], uint32_t *out_full,
                                           uint32_t *out_small);

/* One line, 1 or 2, of a share: ten groups of four, into a locked page. Errors: KY_NOMEM. */
KY_MUST_CHECK struct ky_status share_print(const struct share_set *set, enum share_kind kind,
                                           uint32_t custodian, uint32_t line,
                                           const struct ky_secret *share, struct ky_secret *out);
/*
 * A typed line; blanks and case do not matter, O is 0, I and L are 1. *custodian: 0 takes whose line
 * it is, else it must be that one's. share: SHARE_LEN bytes, of which this line's half is written.
 */
enum share_fault share_read(const struct share_set *set, enum share_kind kind, uint32_t *custodian,
                            uint32_t line, struct ky_span typed, struct ky_secret *share);

#endif
