/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maxima of the fields in the schema tables, where no public header gives one. Bytes.
 * Private to proto/.
 */
#ifndef KYSO_PROTO_LIMITS_MSG_H
#define KYSO_PROTO_LIMITS_MSG_H

#include "kyso/alg.h"
#include "kyso/record.h"
#include "kyso/tx.h"

#define MAX_HASH_BYTES          (KY_HASHES_MAX * KY_DIGEST_MAX)
#define MAX_SIGNATURE_BYTES     (KY_HASHES_MAX * KY_SIG_MAX)
#define MAX_PAGE_TOKEN          128u
#define MAX_PROOF_SECRET        64u /* a SAD is 32 bytes, a code at most 8 */
#define MAX_MATCHING_CODE       16u
#define MAX_CHOICES             64u
#define MAX_DEVICE_SIGNATURE    1024u /* a passkey's assertion */
#define MAX_OPERATOR_SIGNATURES (4u * 1024u)
#define MAX_PEER                64u
#define MAX_VERSION             64u
#define MAX_NAME_LIST           (16u * 1024u) /* relying parties, subjects */
#define MAX_PERSON              256u
#define MAX_LABEL               128u
#define MAX_SEALED_SEED         (12u + 64u + 16u)
#define MAX_ANCHOR              512u
#define MAX_JOB_BYTES           1024u
#define MAX_JOB_LIST            (192u * 1024u)
#define MAX_TOKEN_NAME          256u
#define MAX_KEY_ID              64u
#define MAX_REASON              200u
#define MAX_OPERATORS           512u
#define MAX_TARGET              128u

#endif
