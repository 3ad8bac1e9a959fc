/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a request with their memory: what every call of the generator fills in. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "kyso/v1/signer.pb-c.h"
#include "population.h"

#define WIRE_HASHES 256u
#define WIRE_ID_MAX 40u

struct wire_request { /* points into itself: do not copy */
    Kyso__V1__SignatureRequest request;
    Kyso__V1__Algorithm algorithm;
    ProtobufCBinaryData hashes[WIRE_HASHES];
    uint8_t digests[WIRE_HASHES][32];
};

/*
 * All but the hashes; the caller has written n digests. Borrows from the citizen and relying_party.
 */
void wire_fill(struct wire_request *w, const struct citizen *c, const char *relying_party,
               unsigned n);

/* A request id: the slot's number, a dash and a serial number, in hexadecimal. */
void wire_id(char out[WIRE_ID_MAX], uint32_t index, uint64_t serial);

#endif
