/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of requests. SignStream keeps many in flight and answers each by its request id, in any
 * order; its window is bounded in requests, in hashes and in reply bytes. When it is full the
 * bytes stay in `in`, the peer's HTTP/2 window is not given back, and the peer stops.
 */
#include "call.h"
#include "kyso/v1/signer.pb-c.h"
#include "method.h"

#define WINDOW_REQUESTS 1024u
#define WINDOW_HASHES   4096u

bool stream_has_room(const struct call *call)
{
    if (call->conn->queued > FRONT_BACKLOG_MAX) {
        call->conn->held = true; /* conn_flush comes back to it */
        return false;
    }
    return call->in_flight < WINDOW_REQUESTS && call->hashes_in_flight < WINDOW_HASHES;
}

void stream_failure(struct call *call, const char *request_id, enum ky_code code,
                    uint32_t retry_after_ms, const char *why)
{
    const struct ky_code_info *info = ky_code_info(ky_code_info(code)->wire);
    Kyso__V1__ErrorDetail detail = KYSO__V1__ERROR_DETAIL__INIT;
    Kyso__V1__StreamError error = KYSO__V1__STREAM_ERROR__INIT;
    Kyso__V1__SignStreamReply m = KYSO__V1__SIGN_STREAM_REPLY__INIT;

    /* protobuf-c has no const; packing only reads. */
    detail.code = (char *)(uintptr_t)info->name;
    detail.retry = (Kyso__V1__Retry)info->retry;
    detail.retry_after_ms = retry_after_ms;
    error.grpc_status = (uint32_t)info->grpc;
    error.message = (char *)(uintptr_t)(why ? why : info->public_text);
    error.detail = &detail;
    m.request_id = (char *)(uintptr_t)request_id;
    m.outcome_case = KYSO__V1__SIGN_STREAM_REPLY__OUTCOME_ERROR;
    m.error = &error;
    call_reply(call, &m.base);
}

void stream_reply(struct slot *s, ProtobufCMessage *reply)
{
    Kyso__V1__SignStreamReply m = KYSO__V1__SIGN_STREAM_REPLY__INIT;
    m.request_id = s->request_id;
    m.outcome_case = KYSO__V1__SIGN_STREAM_REPLY__OUTCOME_REPLY;
    m.reply = (Kyso__V1__SignReply *)reply;
    call_reply(s->call, &m.base);
}

static void take(struct call *call, struct ky_span message)
{
    char request_id[KY_NAME_MAX + 1];
    const char *why = NULL;
    struct ky_status st;

    if (call->method->kind == METHOD_REFLECTION) {
        reflection_answer(call, message);
        return;
    }
    st = call_submit(call, message, &why, request_id);
    if (!ky_ok(st))
        stream_failure(call, request_id, st.code, st.code == KY_INVALID ? 0 : FRONT_RETRY_AFTER_MS,
                       why);
}

/* Returns the bytes taken. */
static size_t take_all(struct call *call)
{
    struct conn *c = call->conn;
    size_t offset = 0, end = 0;
    struct ky_span message;
    struct ky_status st = KY_STATUS(KY_OK);

    while (!call->finished && stream_has_room(call)) {
        st = ky_grpc_next(ky_buf_span(&call->in), &offset, c->front->message_max, &message);
        if (!ky_ok(st))
            break;
        take(call, message);
        end = offset;
    }
    if (!ky_ok(st) && st.code != KY_BUSY) {
        front_count(c->front, DOOR_EVENT_BAD_MESSAGE, c->peer, c->spki);
        call_finish(call, st.code, 0,
                    st.code == KY_INVALID ? "message: longer than this door takes" : NULL);
    }
    return end;
}

static void finish_if_done(struct call *call)
{
    if (call->finished || call->in_flight > 0)
        return;
    if (call->conn->front->goaway_final)
        call_finish(call, KY_UNAVAILABLE, FRONT_RETRY_AFTER_MS, NULL);
    else if (call->remote_done && call->in.len == 0)
        call_finish(call, KY_OK, 0, NULL);
    else if (call->remote_done && stream_has_room(call))
        call_finish(call, KY_INVALID, 0, "message: the last one is not whole");
}

void stream_advance(struct call *call)
{
    size_t taken;

    if (call->advancing || call->finished || !call->method ||
        (call->method->kind != METHOD_SIGN_STREAM && call->method->kind != METHOD_REFLECTION))
        return;
    call->advancing = true;
    taken = take_all(call);
    call->advancing = false;
    if (call->finished)
        taken = call->in.len;
    if (taken > 0) {
        call_drop_input(call, taken);
        (void)nghttp2_session_consume_stream(call->conn->h2, call->stream_id, taken);
    }
    finish_if_done(call);
}
