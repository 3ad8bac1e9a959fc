/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One leaf as one line of JSON, by its schema: for `kyso ledger show` and `export`. Any thread.
 *
 *   {"index":7,"time":"2026-03-01T08:30:00.000000Z","type":"intent", fields..., "leaf":"base64"}
 *
 * Integers are numbers, BYTES and fixed arrays lower-case hex, TEXT strings. "leaf" is the exact
 * leaf: its RFC 6962 hash is what the tree holds, so a reader can check the ledger without knowing
 * any schema. A record of a type that this build does not know has "type":"unknown-N" and no
 * fields.
 */
#ifndef KYSO_LEDGER_JSON_H
#define KYSO_LEDGER_JSON_H

#include "kyso/ledger.h"

/*
 * Appends the object, without LF. private_data (may be empty) becomes "private", hex: personal
 * data, only on request. Errors: KY_CORRUPT (not a leaf, or its body does not fit its type),
 * KY_NOMEM (out is full). out is then undefined.
 */
KY_MUST_CHECK struct ky_status ledger_leaf_to_json(struct ky_span leaf, struct ky_span private_data,
                                                   struct ky_buf *out);

#endif
