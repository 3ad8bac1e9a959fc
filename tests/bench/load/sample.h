/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures set aside at random while the clock runs, and verified after it, so that verifying
 * does not compete for the cores.
 */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include "population.h"

struct sample { /* zero-initialise, then set share */
    double share;
    struct sampled *items; /* owned */
    size_t count, cap;
    uint64_t offered, state; /* of the generator that picks */
};

/* Keeps it or not. False: no memory. */
bool sample_offer(struct sample *s, uint32_t citizen, const uint8_t digest[32],
                  struct ky_span signature);
/* Verifies what was kept and empties it. out_bad: how many do not verify. */
size_t sample_verify(struct sample *s, struct population *p, size_t *out_bad);
void sample_free(struct sample *s);

#endif
