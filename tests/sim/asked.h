/* SPDX-License-Identifier: Apache-2.0 */
/* Who there is and what was asked, by whom and with what proof: kept apart from the authority. */
#ifndef KYSO_SIM_ASKED_H
#define KYSO_SIM_ASKED_H

#include "world.h"

#define PERSONS    3u
#define PARTIES    2u /* relying parties, clients of their own names */
#define SHARED     2u /* the person whose keys both may use */
#define HASHES     16u
#define CODES_KEPT 8u

struct person {
    char id[16];
    uint32_t subject_row, totp_row, device_row;
    char totp[AUTHORITY_ID_MAX], device[AUTHORITY_ID_MAX];
    uint8_t seed[20];
    char last_code[9];
    struct {
        char id[AUTHORITY_ID_MAX];
        uint32_t row;
    } credentials[PARTIES]; /* one for each relying party */
};
struct deal { /* a transaction as its client knows it */
    char id[40];
    uint32_t begun_by; /* order */
    uint8_t digest[32];
    char code[4];
    uint8_t sad[32];
    bool has_sad;
    bool approved; /* a device's signature with the right matching code was sent */
};
struct order { /* a request as it was sent, and sent again */
    char id[24];
    uint32_t family; /* the first order of this id and client */
    uint8_t kind;    /* DOOR_SIGN, DOOR_TX_BEGIN, DOOR_TX_AUTHORIZE */
    uint8_t proof;
    uint8_t client, person, credential;
    uint32_t deal; /* + 1; 0 = none */
    uint32_t count;
    uint8_t hashes[HASHES][32];
    char codes[CODES_KEPT][9]; /* TOTP codes sent for it */
    uint32_t code_count;
    uint8_t sad[32];
    uint64_t deadline_us, at_s;
    uint32_t denied, denied_seen; /* of the family, in the ledger and by the client */
    bool answered;
    uint8_t answer[32]; /* hash of the signatures released */
};
struct question { /* a record sent to a front, until its answer */
    uint64_t tag;
    uint8_t front, kind;
    bool open, may_stay;             /* cancelled: an answer may come or not */
    uint32_t order, deal, operation; /* + 1; 0 = none */
};
enum op {
    OP_SUSPEND,
    OP_RESUME,
    OP_REMOVE_TOTP,
    OP_REMOVE_DEVICE,
    OP_UNLOCK,
    OP_CLIENT_OFF,
    OP_CLIENT_ON,
    OP_COUNT
};
struct operation {
    uint8_t nonce[16];
    uint8_t op, person, party;
    uint32_t row; /* that it changes */
    bool done;    /* in the ledger */
};

#endif
