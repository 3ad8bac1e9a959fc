/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods that a front answers, one const row each, and the conversions between protobuf
 * messages and records. Conversions check form only; meaning is the authority's.
 */
#ifndef FRONT_METHOD_H
#define FRONT_METHOD_H

#include "kyso/door.h"
#include "kyso/grpc.h"

/* One conversion. Everything it makes lives in the arena or the scratch buffer until both are reset. */
struct convert {
    struct ky_arena *arena; /* borrowed */
    struct ky_buf *scratch; /* borrowed */
    const uint8_t *spki;    /* borrowed: KY_SPKI_HASH_LEN bytes */
    uint32_t uid;
    uint8_t encoding;          /* SignatureEncoding: from the request, for the reply */
    uint16_t hashes;           /* from the request */
    uint64_t wait_us;          /* from the request: WaitTransaction */
    struct ky_span request_id; /* from the request */
    const char *why;           /* static text naming the field, set with KY_INVALID */
};

union method_request {
    struct door_info info;
    struct door_cred_list cred_list;
    struct door_cred_get cred_get;
    struct door_tx tx;
    struct door_tx_ref tx_ref;
    struct door_approval_ref approval_ref;
    struct door_decide decide;
    struct door_passkey passkey;
    struct door_operate operate;
};
union method_reply {
    struct door_r_info info;
    struct door_r_cred cred;
    struct door_r_list list;
    struct door_r_tx tx;
    struct door_r_sign sign;
    struct door_r_approval approval;
    struct door_r_decision decision;
    struct door_r_passkey passkey;
    struct door_r_operate operate;
};

typedef struct ky_status (*method_to_record)(struct convert *c, const ProtobufCMessage *in,
                                             union method_request *out_record);
typedef struct ky_status (*method_from_record)(struct convert *c, const union method_reply *in,
                                               ProtobufCMessage **out_message);

enum method_kind {
    METHOD_UNARY,
    METHOD_SIGN_STREAM,
    METHOD_HEALTH_CHECK,
    METHOD_HEALTH_WATCH,
    METHOD_REFLECTION,
};

struct method {
    const char *path;
    uint8_t door; /* enum ky_door; 0 = every door */
    enum method_kind kind;
    const ProtobufCMessageDescriptor *request;
    const struct ky_schema *record;
    const struct ky_schema *reply;
    method_to_record to_record;
    method_from_record from_record;
};

/* Do its calls take any number of messages? */
static inline bool method_is_stream(const struct method *m)
{
    return m->kind == METHOD_SIGN_STREAM || m->kind == METHOD_REFLECTION;
}

/* NULL: unknown here, which includes every other door's methods. */
const struct method *method_find(enum ky_door door, const char *path);
/* The services of a door, in order; NULL past the end. */
const char *method_service(enum ky_door door, unsigned i);

/* convert.c: what the doors share */
struct ky_status convert_refuse(struct convert *c, const char *why); /* KY_INVALID */
/* A mandatory (or, if empty is fine, optional) identifier. */
KY_MUST_CHECK struct ky_status convert_name(struct convert *c, const char *in, const char *why,
                                            struct ky_span *out);
KY_MUST_CHECK struct ky_status convert_optional_name(struct convert *c, const char *in,
                                                     const char *why, struct ky_span *out);
struct ky_span convert_bytes(const ProtobufCBinaryData *b);
/* Arena allocations: NULL when it is full. */
void *convert_alloc(struct convert *c, size_t n);
char *convert_text(struct convert *c, struct ky_span s);
ProtobufCBinaryData convert_binary(struct ky_span s); /* borrows */
/* A list of ky_put_bytes items. KY_CORRUPT when it is not one, or longer than max. */
KY_MUST_CHECK struct ky_status convert_items(struct convert *c, struct ky_span list, size_t max,
                                             struct ky_span **out_items, size_t *out_count);
void *convert_message(struct convert *c, const ProtobufCMessageDescriptor *d); /* initialised */

#define CONVERT_IN(fn)                                                                             \
    struct ky_status fn(struct convert *c, const ProtobufCMessage *in, union method_request *out)
#define CONVERT_OUT(fn)                                                                            \
    struct ky_status fn(struct convert *c, const union method_reply *in, ProtobufCMessage **out)

CONVERT_IN(signer_info_in);
CONVERT_IN(signer_list_in);
CONVERT_IN(signer_get_in);
CONVERT_IN(signer_begin_in);
CONVERT_IN(signer_authorize_in);
CONVERT_IN(signer_sign_in);
CONVERT_IN(signer_wait_in);
CONVERT_IN(signer_cancel_in);
CONVERT_OUT(signer_info_out);
CONVERT_OUT(signer_list_out);
CONVERT_OUT(signer_cred_out);
CONVERT_OUT(signer_tx_out);
CONVERT_OUT(signer_sign_out);
CONVERT_IN(approver_list_in);
CONVERT_IN(approver_get_in);
CONVERT_IN(approver_approve_in);
CONVERT_IN(approver_reject_in);
CONVERT_IN(approver_get_passkey_in);
CONVERT_IN(approver_enroll_passkey_in);
CONVERT_OUT(approver_list_out);
CONVERT_OUT(approver_approval_out);
CONVERT_OUT(approver_decision_out);
CONVERT_OUT(approver_passkey_out);
CONVERT_IN(operator_execute_in);
CONVERT_OUT(operator_execute_out);

#endif
