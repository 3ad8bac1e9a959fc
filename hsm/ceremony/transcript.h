/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was done, in order: JSON lines, each with the SHA-256 of the line before. A sitting ends with a
 * line that the token's ledger key signed; what stands before is fixed by it. The transcript is also the
 * ceremony's only state: an interrupted one is resumed from what it says. Holds nothing secret.
 */
#ifndef CEREMONY_TRANSCRIPT_H
#define CEREMONY_TRANSCRIPT_H

#include <jansson.h>

#include "kyso/span.h"
#include "kyso/status.h"

struct transcript {
    int fd;           /* -1: not open */
    uint64_t lines;   /* how many there are */
    uint8_t head[32]; /* SHA-256 of the last one; zeros before the first */
    bool cut;         /* a last line that was being written when the machine stopped was cut off */
    bool ends_signed; /* the last line is a signature */
};

struct transcript_sums { /* what a reader learns of a line besides its fields */
    uint64_t line;       /* from 1 */
    bool is_signed;
    uint8_t signed_sha256[32]; /* what the signature is over */
    struct ky_span signature;  /* r || s, or Ed25519's; borrowed during the call */
    uint8_t file_sha256[32];   /* of the file up to and with this line; of signed lines only */
};
/* Returns why the line cannot be, or NULL. fields: borrowed during the call. */
typedef const char *(*transcript_visit)(void *context, const json_t *fields,
                                        const struct transcript_sums *sums);

/*
 * Reads it all: form, numbering and chain. *out_error: what is wrong, in which line (static, or of
 * the visitor), *out_line that line. allow_cut: a last line without its end is cut off the file. Errors:
 * KY_IO, KY_CORRUPT.
 */
KY_MUST_CHECK struct ky_status transcript_read(const char *path, bool allow_cut,
                                               transcript_visit visit, void *context,
                                               struct transcript *out, const char **out_error);
/* The same of bytes that were read already; nothing is cut off. Errors: KY_CORRUPT. */
KY_MUST_CHECK struct ky_status transcript_parse(struct ky_span file, bool allow_cut,
                                                transcript_visit visit, void *context,
                                                struct transcript *out, const char **out_error);
/* Opens for appending after transcript_read; creates it when there is none. Errors: KY_IO. */
KY_MUST_CHECK struct ky_status transcript_open(const char *path, struct transcript *t);
/*
 * Adds a line and syncs it: n, time, prev, then the fields, which are freed. sign: NULL, or what makes
 * the signature that ends the line. Errors: KY_IO, those of sign.
 */
typedef struct ky_status (*transcript_signer)(void *context, const uint8_t digest[32],
                                              uint8_t out_sig[64]);
KY_MUST_CHECK struct ky_status transcript_add(struct transcript *t, json_t *fields,
                                              transcript_signer sign, void *context);
void transcript_close(struct transcript *t);

/* What output_hex wrote, back: exactly cap bytes, lower case. */
bool transcript_unhex(const json_t *text, uint8_t *out, size_t cap);

#endif
