/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches certificates.crl: each second whether the file is another one, and then a slice of it in each turn. What it revokes
 * or suspends is written as rows that name the list's LEDGER_CRL record. The authority's thread, inside a turn.
 */
#ifndef KYSO_CRL_H
#define KYSO_CRL_H

#include <sys/stat.h>

#include "crl_list.h"

struct authority;

struct crl_hash { /* of something long, a slice at a time */
    EVP_MD_CTX *md;
    struct ky_span left;
};
struct crl_watch {
    uint8_t stage; /* enum crl_stage */
    uint64_t looked_us;
    uint32_t indexed; /* credential rows whose serial numbers are in the lookup */
    struct stat seen; /* the file that was last opened */
    int fd;
    uint8_t *bytes;         /* owned; of the file, and then of its DER, while it is read and applied */
    size_t room, size;      /* of bytes; of what is in it */
    EVP_ENCODE_CTX *base64; /* owned; while DER takes the place of PEM */
    size_t pem_size, decoded;
    struct crl_list list;   /* into bytes */
    const EVP_MD *signed_md;
    struct crl_hash whole, signed_part;
    struct ky_span entries; /* still to be applied */
    uint64_t record;        /* index of its LEDGER_CRL */
    uint32_t entry_count, changed;
    /* of the last list that was applied to its end */
    uint64_t this_update_s, next_update_s;
    uint32_t in_force;   /* its entries */
    const char *problem; /* with the file that is there now; NULL = none */
    bool told_stale;
};

void crl_open(struct crl_watch *w);
void crl_close(struct crl_watch *w);
void crl_tick(struct authority *a);
/* No list is in force that is still good, and certificates.crl_when_stale says that nothing is signed then. */
bool crl_refuses(const struct authority *a);
/* One line for the status screen; empty when no list is configured. */
void crl_describe(const struct authority *a, char *out, size_t cap);

#endif
