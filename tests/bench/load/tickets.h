/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proofs made before the clock: SADs over lists of hashes, or approvals that a device has signed. A
 * ticket's hashes are a counter and a random rest, so nobody stores them. One rotation takes a hash
 * of each ticket in turn.
 */
#ifndef BENCH_TICKETS_H
#define BENCH_TICKETS_H

#include "client.h"
#include "options.h"
#include "population.h"

#define TICKET_SIG_MAX 80u
#define HASH_LEN       32u

struct ticket {
    uint32_t citizen;
    uint16_t count, used; /* hashes */
    uint8_t rest[24];
    uint8_t sad[32]; /* of a SAD; of an approval: */
    char transaction_id[ID_MAX];
    char matching_code[CODE_MAX];
    uint8_t signature[TICKET_SIG_MAX];
    uint8_t signature_len;
};

struct tickets {          /* zero-initialise */
    struct ticket *items; /* owned */
    size_t count, cap;
    size_t cursor;
    uint64_t serial; /* of request ids */
    uint64_t refused;
};

void tickets_free(struct tickets *t);
size_t tickets_hashes_left(const struct tickets *t);
/*
 * Makes tickets until there are enough, over the given connections; waits for the next codes when
 * they run out. Says what failed.
 */
bool tickets_fill(struct tickets *t, const struct options *o, struct population *p,
                  struct client *const *clients);
/* n hashes of the next ticket that has them; NULL when there is none. Valid until the next fill. */
struct ticket *tickets_take(struct tickets *t, unsigned n, unsigned *out_first);
void ticket_hash(const struct ticket *t, unsigned i, uint8_t out[HASH_LEN]);

#endif
