/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC without sockets: message framing, the timeout header, and protobuf
 * unpacking through a capped arena with the checks that protobuf-c leaves out.
 */
#ifndef KYSO_GRPC_H
#define KYSO_GRPC_H

#include <protobuf-c/protobuf-c.h>

#include "kyso/span.h"
#include "kyso/status.h"

#define KY_ARENA_MAX (256u * 1024u)

/* A bump allocator over one block; wiped on reset, since codes pass through it. */
struct ky_arena {
    uint8_t *block; /* owned */
    size_t cap;
    size_t used;
    bool exhausted;
};
KY_MUST_CHECK struct ky_status ky_arena_init(struct ky_arena *a, size_t cap);
void ky_arena_reset(struct ky_arena *a);
void ky_arena_wipe(struct ky_arena *a);
void *ky_arena_alloc(struct ky_arena *a, size_t n);

/*
 * Checks the bytes against the descriptor while it unpacks them into the arena, as protobuf-c would
 * (proto3; of numbers bool, enum, uint32, uint64 and int64, never repeated: kyso.v1 has no others).
 * Refused with KY_INVALID, the arena to be reset then: fields of other types, unknown fields, a
 * singular field (or oneof) given twice, wire types that do not fit, groups, field number 0,
 * varints over ten bytes, enum values outside their type, strings that are not UTF-8, nesting
 * over 8. The message lives until the arena is reset.
 */
KY_MUST_CHECK struct ky_status ky_pb_unpack(struct ky_arena *a, const ProtobufCMessageDescriptor *d,
                                            struct ky_span in, ProtobufCMessage **out);
/* Appends 5-byte gRPC header and the packed message. */
KY_MUST_CHECK struct ky_status ky_grpc_frame(const ProtobufCMessage *m, struct ky_buf *out);
/*
 * The next whole gRPC message in b, from *offset. KY_BUSY: not all there yet. KY_UNIMPLEMENTED:
 * compressed. KY_INVALID: longer than max.
 */
KY_MUST_CHECK struct ky_status ky_grpc_next(struct ky_span b, size_t *offset, size_t max,
                                            struct ky_span *out_message);
/* "100m" -> microseconds; KY_INVALID outside 1..8 digits and a unit of H M S m u n. */
KY_MUST_CHECK struct ky_status ky_grpc_timeout(struct ky_span header, uint64_t *out_us);
/*
 * Serialized google.rpc.Status with one kyso.v1.ErrorDetail, for grpc-status-details-bin (not yet
 * base64). A precise code is told as its wire code; without a text, in that code's public text.
 */
KY_MUST_CHECK struct ky_status ky_grpc_details(enum ky_code code, const char *text,
                                               uint32_t retry_after_ms, struct ky_buf *out);

#endif
