/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's half of "what you see is what you sign": the transaction digest, recomputed from
 * the fields that are shown.
 */
#ifndef KYSO_CLI_APPROVE_CHECK_H
#define KYSO_CLI_APPROVE_CHECK_H

#include "kyso/tx.h"
#include "kyso/v1/approver.pb-c.h"

/*
 * out_digest  what a device signs about, ky_tx_digest over the fields
 * Errors: KY_INVALID with *out_field naming the first field that no honest server sends.
 */
KY_MUST_CHECK struct ky_status approve_digest(const Kyso__V1__PendingTransaction *tx,
                                              uint8_t out_digest[32], const char **out_field);

#endif
