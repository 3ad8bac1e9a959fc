/* SPDX-License-Identifier: Apache-2.0 */
/* Requests are built in place: nothing is allocated per call but by the client library. */
#include "wire.h"

void wire_fill(struct wire_request *w, const struct citizen *c, const char *relying_party,
               unsigned n)
{
    kyso__v1__signature_request__init(&w->request);
    kyso__v1__algorithm__init(&w->algorithm);
    w->algorithm.scheme = (Kyso__V1__SignatureScheme)c->algorithm.scheme;
    w->algorithm.hash = (Kyso__V1__HashAlgorithm)c->algorithm.hash;
    for (unsigned i = 0; i < n; i++) {
        w->hashes[i].data = w->digests[i];
        w->hashes[i].len = sizeof w->digests[i];
    }
    w->request.relying_party = (char *)(uintptr_t)relying_party;
    w->request.credential_id = (char *)(uintptr_t)c->credential_id;
    w->request.algorithm = &w->algorithm;
    w->request.n_hashes = n;
    /* protobuf-c holds an array of values for repeated bytes */
    w->request.hashes = w->hashes;
}

static char *put_hex(char *to, uint64_t v)
{
    unsigned digits = 1;

    while (digits < 16 && v >> (4 * digits) != 0)
        digits++;
    for (unsigned i = digits; i > 0; i--, v >>= 4)
        to[i - 1] = "0123456789abcdef"[v & 0xf];
    return to + digits;
}

/* By hand: printf was a tenth of what a request cost the generator. */
void wire_id(char out[WIRE_ID_MAX], uint32_t index, uint64_t serial)
{
    char *end = put_hex(out, index);

    *end++ = '-';
    end = put_hex(end, serial);
    *end = '\0';
}
