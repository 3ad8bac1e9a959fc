/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the targets share. A target is one file with LLVMFuzzerTestOneInput; what it demands of the
 * code beyond "no fault" it says with FUZZ_CHECK. State that it keeps between inputs is reachable,
 * so that the leak check is of use, and nothing that one input did may decide what another one
 * finds.
 */
#ifndef KYSO_FUZZ_H
#define KYSO_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "kyso/record.h"
#include "kyso/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Bytes on the heap, where a sanitizer counts them; else always 0. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static inline size_t fuzz_heap(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

/* Everything that the reader has left. */
static inline struct ky_span fuzz_rest(struct ky_reader *r)
{
    return ky_get_raw(r, r->left);
}

/* A piece with its length in two bytes before it; what is there when there is less. */
static inline struct ky_span fuzz_piece(struct ky_reader *r)
{
    size_t len = ky_get_u16(r);
    return ky_get_raw(r, len < r->left ? len : r->left);
}

/* A record as it is on a channel, whether its type and payload fit each other or not. */
static inline void fuzz_put_record(struct ky_buf *out, uint16_t type, uint16_t flags, uint64_t tag,
                                   struct ky_span payload)
{
    ky_put_u32(out, (uint32_t)(KY_RECORD_HEADER + payload.len));
    ky_put_u16(out, type);
    ky_put_u16(out, flags);
    ky_put_u64(out, tag);
    ky_put_u64(out, 0);
    ky_buf_put(out, payload.data, payload.len);
}

#endif
