/* SPDX-License-Identifier: Apache-2.0 */
/* Words for the numbers of ledger records; the numbers stay in --json and in the leaves. */
#include "ledger_words.h"

#include <stddef.h>
#include <string.h>

#include "kyso/alg.h"
#include "kyso/door.h"
#include "kyso/ledger.h"
#include "kyso/rows.h"

static const char *const outcomes[] = {
    [LEDGER_SIGNED] = "signed", [LEDGER_FAILED] = "failed", [LEDGER_ABANDONED] = "abandoned"};
static const char *const proofs[] = {
    [KY_PROOF_TOTP] = "totp", [KY_PROOF_APPROVAL] = "approval", [KY_PROOF_SAD] = "sad"};
static const char *const intents[] = {[LEDGER_INTENT_SIGN] = "sign", [LEDGER_INTENT_CSR] = "csr"};
static const char *const states[] = {[1] = "pending",  [2] = "authorized", [3] = "spent",
                                     [4] = "rejected", [5] = "expired",    [6] = "cancelled"};
static const char *const doors[] = {
    [KY_DOOR_SIGNER] = "signer", [KY_DOOR_APPROVER] = "approver", [KY_DOOR_OPERATOR] = "operator",
    [KY_DOOR_CUSTODIAN] = "custodian"};
static const char *const keks[] = {[LEDGER_KEK_BEGUN] = "begun", [LEDGER_KEK_ENDED] = "ended"};
static const char *const events[] = {[DOOR_EVENT_NO_CERTIFICATE] = "no-certificate",
                                     [DOOR_EVENT_BAD_CERTIFICATE] = "bad-certificate",
                                     [DOOR_EVENT_BAD_TLS] = "bad-tls",
                                     [DOOR_EVENT_BAD_FRAME] = "bad-frame",
                                     [DOOR_EVENT_BAD_MESSAGE] = "bad-message",
                                     [DOOR_EVENT_FLOOD] = "flood"};
static const char *const requests[] = {[DOOR_INFO] = "info",
                                       [DOOR_CRED_LIST] = "list-credentials",
                                       [DOOR_CRED_GET] = "get-credential",
                                       [DOOR_TX_BEGIN] = "begin",
                                       [DOOR_TX_AUTHORIZE] = "authorize",
                                       [DOOR_SIGN] = "sign",
                                       [DOOR_TX_WAIT] = "wait",
                                       [DOOR_TX_CANCEL] = "cancel",
                                       [DOOR_APPROVAL_LIST] = "list-pending",
                                       [DOOR_APPROVAL_GET] = "get-transaction",
                                       [DOOR_APPROVAL_DECIDE] = "decide",
                                       [DOOR_PASSKEY_GET] = "get-passkey",
                                       [DOOR_PASSKEY_ENROLL] = "enroll-passkey",
                                       [DOOR_OPERATE] = "operate",
                                       [DOOR_KEK] = "kek"};

static const char *const row_tables[] = {[ROW_SUBJECT] = "subject",
                                         [ROW_CREDENTIAL] = "credential",
                                         [ROW_AUTHENTICATOR] = "authenticator",
                                         [ROW_CLIENT] = "client",
                                         [ROW_OPERATOR] = "operator",
                                         [ROW_POOL_KEY] = "pool-key"};

#define WORDS(list) (list), sizeof(list) / sizeof(list)[0]

static const struct {
    const char *type; /* NULL = in every record */
    const char *field;
    const char *const *words;
    size_t count;
} tables[] = {
    {NULL, "outcome", WORDS(outcomes)},      {NULL, "proof", WORDS(proofs)},
    {"intent", "kind", WORDS(intents)},      {"event", "kind", WORDS(events)},
    {"ended", "state", WORDS(states)},       {NULL, "door", WORDS(doors)},
    {"kek", "event", WORDS(keks)},
    {NULL, "request_type", WORDS(requests)}, {"admin", "table", WORDS(row_tables)},
};

static const char *code_name(long long value)
{
    return value > 0 && value < KY_CODE_COUNT ? ky_code_info((enum ky_code)value)->name : NULL;
}

const char *ledger_word(const char *type, const char *field, long long value)
{
    if (strcmp(field, "reason") == 0 || strcmp(field, "code") == 0)
        return code_name(value);
    if (strcmp(field, "scheme") == 0 && value > 0 && value < KY_SCHEME_COUNT)
        return ky_scheme_name((uint8_t)value);
    if (strcmp(field, "hash") == 0 && value > 0 && value < KY_HASH_COUNT)
        return ky_hash_name((uint8_t)value);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (strcmp(tables[i].field, field) == 0 &&
            (tables[i].type == NULL || strcmp(tables[i].type, type) == 0))
            return value >= 0 && (size_t)value < tables[i].count ? tables[i].words[value] : NULL;
    return NULL;
}
