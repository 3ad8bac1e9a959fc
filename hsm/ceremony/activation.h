/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a custodian's terminal and a running server: a key that the server has made for this start alone, and
 * an activation share sealed to it. Every message has one size and no field that could be wrong in itself. The hello is as
 * public as the transcript; a sealed share opens for nobody but the process that said that hello.
 */
#ifndef CEREMONY_ACTIVATION_H
#define CEREMONY_ACTIVATION_H

#include <openssl/evp.h>

#include "share.h"

enum { ACTIVATION_POINT = 65, ACTIVATION_SEALED = SHARE_LEN + 16, ACTIVATION_PRINT = 40 };

struct activation_hello { /* from the server, when a connection is there */
    uint8_t form[8];
    uint8_t custody[32]; /* hash of the public share_set that it asks for */
    uint8_t nonce[16];
    uint8_t key[ACTIVATION_POINT]; /* P-256, uncompressed */
    uint8_t have, needed;          /* shares */
};
struct activation_share { /* from the custodian */
    uint8_t custodian;
    uint8_t key[ACTIVATION_POINT]; /* of this message alone */
    uint8_t sealed[ACTIVATION_SEALED];
};
enum activation_answer {
    ACTIVATION_TAKEN = 1,
    ACTIVATION_WHOLE, /* it was the last that was needed; those that follow refuse */
    ACTIVATION_NOT_OPENED,
    ACTIVATION_NOT_COMMITTED,
    ACTIVATION_TWICE,
    ACTIVATION_FAILED,
    ACTIVATION_ANSWERS
};
extern const char *const activation_answers[ACTIVATION_ANSWERS]; /* what people read */
struct activation_reply {
    uint8_t answer; /* enum activation_answer */
    uint8_t have, needed;
};

struct activation_key { /* the server's half */
    EVP_PKEY *pair;     /* owned */
    struct activation_hello hello;
};

/* A new key for the shares of this set. Errors: KY_NOMEM, KY_IO. */
KY_MUST_CHECK struct ky_status activation_begin(const struct share_set *set,
                                                struct activation_key *out);
void activation_end(struct activation_key *key);
/* Whether the hello is of a server that asks for the shares of this set. */
bool activation_asks_for(const struct activation_hello *hello, const struct share_set *set);
/* What names a start: SHA-256 over custody, nonce and key; people compare the first half, in groups of four. */
void activation_name(const struct activation_hello *hello, uint8_t out[32]);
void activation_print(const struct activation_hello *hello, char out[ACTIVATION_PRINT]);
/* Errors: KY_INVALID: the hello's key is no point of the curve; KY_NOMEM, KY_IO. */
KY_MUST_CHECK struct ky_status activation_seal(const struct activation_hello *hello,
                                               uint8_t custodian, const struct ky_secret *share,
                                               struct activation_share *out);
/* Errors: KY_CORRUPT: not sealed to this key by somebody who names that custodian. */
KY_MUST_CHECK struct ky_status activation_open(const struct activation_key *key,
                                               const struct activation_share *from,
                                               struct ky_secret *out_share);

#endif
