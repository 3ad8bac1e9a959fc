/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Citizens as kyso-seed wrote them, and the codes that their authenticators can still give. Each
 * authenticator gives one code a time step, in rising order: a code is never offered twice.
 */
#ifndef BENCH_POPULATION_H
#define BENCH_POPULATION_H

#include <openssl/evp.h>

#include "kyso/alg.h"

#define ID_MAX         65u
#define SEED_LEN_MAX   64u
#define CODE_MAX       9u
#define AUTHENTICATORS 16u

struct totp_source {
    char authenticator_id[ID_MAX];
    uint8_t seed[SEED_LEN_MAX];
    uint8_t seed_len;
    uint64_t last_step; /* offered */
};

struct citizen {
    char credential_id[ID_MAX];
    char device_id[ID_MAX]; /* empty = no device */
    uint8_t key_type;
    struct ky_algorithm algorithm;
    uint8_t *spki; /* owned, DER */
    size_t spki_len;
    EVP_PKEY *public_key;      /* owned; NULL until somebody asks for it */
    EVP_PKEY *device;          /* owned; its private key */
    struct totp_source *totps; /* owned */
    unsigned totp_count;
};

struct population {
    struct citizen *citizens; /* owned */
    size_t count;
    unsigned totps_max; /* of one citizen */
    size_t cursor;      /* over (authenticator, citizen), citizens first */
};

struct totp_code {
    uint32_t citizen;
    struct totp_source *source; /* borrowed from the population */
    uint64_t step;
    const char *authenticator_id; /* borrowed from the population */
    char code[CODE_MAX];
};

/*
 * Leaves out the first skip citizens and reads at most limit (0 = all). Says what is wrong and
 * returns false.
 */
bool population_load(struct population *p, const char *path, size_t skip, size_t limit);
void population_free(struct population *p);
/* Decoded when it is first wanted: that takes 0.2 ms, and few are. NULL: it is none. */
EVP_PKEY *population_public_key(struct citizen *c);
/*
 * The next citizen's next code; false when every authenticator has given all that the window (one
 * step either side) takes now.
 */
bool population_code(struct population *p, uint64_t now_s, struct totp_code *out);
/*
 * A code that was refused before anything was spent may be offered again, unless a later one of the
 * same authenticator has been offered meanwhile.
 */
void population_take_back(const struct totp_code *code);

/*
 * The steps offered so far, so that another process offers none of them again. A file that is
 * absent means none.
 */
bool population_steps_load(struct population *p, const char *path);
bool population_steps_save(const struct population *p, const char *path);

#endif
