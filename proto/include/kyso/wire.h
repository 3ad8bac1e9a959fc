/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sticky-error cursor over little-endian bytes: parse everything, check once.
 * Readers never move past the end; after a failure every get returns zero.
 */
#ifndef KYSO_WIRE_H
#define KYSO_WIRE_H

#include "kyso/span.h"

struct ky_reader {
    const uint8_t *p; /* borrowed */
    size_t left;
    bool failed;
};

struct ky_reader ky_reader(struct ky_span s);
uint8_t ky_get_u8(struct ky_reader *r);
uint16_t ky_get_u16(struct ky_reader *r);
uint32_t ky_get_u32(struct ky_reader *r);
uint64_t ky_get_u64(struct ky_reader *r);
struct ky_span ky_get_raw(struct ky_reader *r, size_t n);     /* borrowed from the input */
struct ky_span ky_get_bytes(struct ky_reader *r, size_t max); /* u32 length prefix */
bool ky_reader_done(const struct ky_reader *r);               /* nothing left and nothing failed */

void ky_put_u8(struct ky_buf *b, uint8_t v);
void ky_put_u16(struct ky_buf *b, uint16_t v);
void ky_put_u32(struct ky_buf *b, uint32_t v);
void ky_put_u64(struct ky_buf *b, uint64_t v);
void ky_put_bytes(struct ky_buf *b, struct ky_span s); /* u32 length prefix */

#endif
