/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a call and the authority: a message becomes a record in a slot, a record becomes a reply.
 * Both conversions use the front's arenas, which are wiped before this returns.
 */
#include <string.h>

#include "call.h"
#include "kyso/secret.h"
#include "log.h"
#include "method.h"

#define WAIT_MARGIN_US 5000000u

static uint64_t slot_deadline(const struct call *call, const struct convert *conv)
{
    uint64_t now_us = call->conn->front->now_us;
    uint64_t limit_us = call->conn->front->patience.call_us;

    if (call->method->kind == METHOD_SIGN_STREAM)
        return call->deadline_us && call->deadline_us < now_us + limit_us ? call->deadline_us
                                                                          : now_us + limit_us;
    if (call->timeout_us == 0 && conv->wait_us > 0)
        return now_us + conv->wait_us + WAIT_MARGIN_US;
    return call->deadline_us;
}

static struct ky_status send_record(struct call *call, const struct convert *conv,
                                    const union method_request *record)
{
    struct front *f = call->conn->front;
    struct slot *s = link_acquire(f, call, call->method);
    struct ky_status st;

    if (!s)
        return KY_STATUS(KY_BUSY);
    s->encoding = conv->encoding;
    s->hashes = conv->hashes;
    call->hashes_in_flight += conv->hashes;
    s->deadline_us = slot_deadline(call, conv);
    if (call->method->kind == METHOD_UNARY) {
        call->deadline_us = s->deadline_us;
        call_due(call, call->deadline_us);
    }
    (void)ky_span_to_cstr(conv->request_id, s->request_id, sizeof(s->request_id));
    st = link_send(f, s, call->method->record, record);
    if (!ky_ok(st))
        link_release(f, s, false);
    return st;
}

struct ky_status call_submit(struct call *call, struct ky_span message, const char **out_why,
                             char out_request_id[KY_NAME_MAX + 1])
{
    struct conn *c = call->conn;
    struct front *f = c->front;
    struct convert conv = {
        .arena = &f->request_arena, .scratch = &f->request_scratch, .spki = c->spki, .uid = c->uid};
    union method_request record;
    ProtobufCMessage *pb;
    struct ky_status st;

    out_request_id[0] = '\0';
    if (f->goaway_final || !link_serving(f))
        return KY_STATUS(KY_UNAVAILABLE);
    memset(&record, 0, sizeof(record));
    st = ky_pb_unpack(&f->request_arena, call->method->request, message, &pb);
    if (!ky_ok(st)) {
        conv.why = "message: unknown, repeated or malformed fields";
        st = KY_STATUS(KY_INVALID);
        goto done;
    }
    st = call->method->to_record(&conv, pb, &record);
    (void)ky_span_to_cstr(conv.request_id, out_request_id, KY_NAME_MAX + 1);
    if (ky_ok(st))
        st = send_record(call, &conv, &record);
done:
    if (st.code == KY_INVALID) {
        front_count(f, DOOR_EVENT_BAD_MESSAGE, c->peer, c->spki);
        *out_why = conv.why ? conv.why : "message: a field is too long";
    } else if (st.code == KY_NOMEM) {
        st = KY_STATUS(KY_INVALID);
        *out_why = "message: too many elements";
    }
    ky_wipe(&record, sizeof(record));
    ky_arena_reset(&f->request_arena);
    ky_buf_reset(&f->request_scratch);
    return st;
}

void call_on_failure(struct slot *s, enum ky_code code, uint32_t retry_after_ms, const char *why)
{
    struct call *call = s->call;
    enum ky_code wire = ky_code_info(code)->wire;

    if (wire == KY_OK)
        wire = KY_INTERNAL;
    if (call->method->kind == METHOD_SIGN_STREAM)
        stream_failure(call, s->request_id, wire, retry_after_ms, why);
    else
        call_finish(call, wire, retry_after_ms, why);
}

static void on_refused(struct slot *s, const struct ky_record *r)
{
    struct door_refused refused;
    if (!ky_ok(ky_msg_decode(&door_refused_schema, r->payload, &refused)) ||
        refused.code == KY_OK || refused.code >= KY_CODE_COUNT)
        call_on_failure(s, KY_INTERNAL, 0, NULL);
    else
        call_on_failure(s, (enum ky_code)refused.code, refused.retry_after_ms, NULL);
}

void call_on_reply(struct slot *s, const struct ky_record *r)
{
    struct call *call = s->call;
    struct front *f = call->conn->front;
    struct convert conv = {
        .arena = &f->reply_arena, .scratch = &f->reply_scratch, .encoding = s->encoding};
    union method_reply record;
    ProtobufCMessage *pb;
    struct ky_status st;

    if (r->type == DOOR_REFUSED) {
        on_refused(s, r);
        return;
    }
    st = KY_STATUS(KY_CORRUPT);
    if (r->type == s->method->reply->type)
        st = ky_msg_decode(s->method->reply, r->payload, &record);
    if (ky_ok(st))
        st = s->method->from_record(&conv, &record, &pb);
    if (!ky_ok(st)) {
        log_event(LOG_ERROR, "front", LOG_STR("reply", s->method->reply->name), LOG_CODE(st));
        call_on_failure(s, KY_INTERNAL, 0, NULL);
    } else if (call->method->kind == METHOD_SIGN_STREAM) {
        stream_reply(s, pb);
    } else {
        call_reply(call, pb);
    }
    ky_wipe(&record, sizeof(record));
    ky_arena_reset(&f->reply_arena);
    ky_buf_reset(&f->reply_scratch);
}
