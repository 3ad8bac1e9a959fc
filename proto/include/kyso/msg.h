/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages described by a table. Records between roles, ledger records and
 * database rows are all plain structs with a schema, so there is one encoder,
 * one decoder, one JSON view and one fuzz target for all of them.
 *
 * Encoding: the fields in table order, nothing between them. Integers are
 * little-endian of their own width; FIX is the raw array; BYTES and TEXT carry a
 * u32 length. Every field is always present; zero or empty means absent.
 * Decoding borrows: spans point into the input and live as long as it does.
 */
#ifndef KYSO_MSG_H
#define KYSO_MSG_H

#include "kyso/span.h"
#include "kyso/status.h"

enum ky_field_type {
    KY_F_U8,    /* uint8_t  */
    KY_F_U16,   /* uint16_t */
    KY_F_CODE,  /* uint16_t that is an enum ky_code: JSON shows its name */
    KY_F_U32,   /* uint32_t */
    KY_F_U64,   /* uint64_t */
    KY_F_FIX,   /* uint8_t[max] */
    KY_F_BYTES, /* struct ky_span, at most max bytes */
    KY_F_TEXT,  /* struct ky_span, at most max bytes, display text */
};

struct ky_field {
    const char *name;
    uint32_t offset;
    uint32_t max;
    enum ky_field_type type;
};

struct ky_schema {
    const char *name; /* "tx-begin" */
    uint16_t type;    /* unique within its family (door, job, ledger, row) */
    uint16_t field_count;
    uint32_t size; /* sizeof the struct */
    const struct ky_field *fields;
};

/* clang-format off */
#define KY_FU8(S, f)       { #f, offsetof(S, f), 0, KY_F_U8 }
#define KY_FU16(S, f)      { #f, offsetof(S, f), 0, KY_F_U16 }
#define KY_FCODE(S, f)     { #f, offsetof(S, f), 0, KY_F_CODE }
#define KY_FU32(S, f)      { #f, offsetof(S, f), 0, KY_F_U32 }
#define KY_FU64(S, f)      { #f, offsetof(S, f), 0, KY_F_U64 }
#define KY_FFIX(S, f)      { #f, offsetof(S, f), sizeof(((S *)0)->f), KY_F_FIX }
#define KY_FBYTES(S, f, m) { #f, offsetof(S, f), (m), KY_F_BYTES }
#define KY_FTEXT(S, f, m)  { #f, offsetof(S, f), (m), KY_F_TEXT }
#define KY_SCHEMA(n, t, S, F) \
    { .name = (n), .type = (t), .field_count = sizeof(F) / sizeof((F)[0]), .size = sizeof(S), \
      .fields = (F) }
/* clang-format on */

/*
 * Appends the encoding to out (out->failed when it does not fit). Fails with KY_INVALID on an
 * over-long field.
 */
KY_MUST_CHECK struct ky_status ky_msg_encode(const struct ky_schema *s, const void *msg,
                                             struct ky_buf *out);
/*
 * Fills *out_msg (s->size bytes). KY_INVALID when short, long, over a field's maximum or not
 * display text.
 */
KY_MUST_CHECK struct ky_status ky_msg_decode(const struct ky_schema *s, struct ky_span in,
                                             void *out_msg);

#endif
