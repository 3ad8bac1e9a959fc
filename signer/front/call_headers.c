/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's header list: the few fields that matter, then the method, the deadline and the limits
 * that follow from it. What is not gRPC is answered in HTTP's words.
 */
#include "call.h"
#include "method.h"

#define TIMEOUT_MAX_US (3600ull * 1000000u)
#define STREAM_INPUT_MAX                                                                           \
    (512u * 1024u) /* above the HTTP/2 window, which is what really bounds it */
#define STREAM_OUTPUT_MAX (8u * 1024u * 1024u)

static bool is_grpc_type(struct ky_span v)
{
    static const char base[] = "application/grpc";
    size_t n = sizeof(base) - 1;
    if (v.len < n || !ky_span_eq(KY_SPAN(v.data, n), ky_span_text(base)))
        return false;
    return v.len == n || v.data[n] == ';' ||
           ky_span_eq(KY_SPAN(v.data + n, v.len - n), ky_span_text("+proto"));
}

static void take_timeout(struct call *call, struct ky_span value)
{
    call->bad_timeout = call->timeout_us != 0 || !ky_ok(ky_grpc_timeout(value, &call->timeout_us));
    if (call->timeout_us == 0)
        call->timeout_us = 1; /* no time at all is not no limit */
}

static void take_path(struct call *call, struct ky_span value)
{
    call->path_too_long = !ky_span_to_cstr(value, call->path, sizeof(call->path));
}

static void take_method(struct call *call, struct ky_span value)
{
    call->is_post = ky_span_eq(value, ky_span_text("POST"));
}

static void take_type(struct call *call, struct ky_span value)
{
    call->is_grpc = is_grpc_type(value);
}

#define FIELD(name_, take_)                                                                        \
    {                                                                                              \
        .name = (name_), .len = sizeof(name_) - 1, .take = (take_)                                 \
    }
static const struct {
    const char *name;
    size_t len;
    void (*take)(struct call *call, struct ky_span value);
} fields[] = {
    FIELD(":path", take_path),
    FIELD(":method", take_method),
    FIELD("content-type", take_type),
    FIELD("grpc-timeout", take_timeout),
};

bool call_header(struct call *call, struct ky_span name, struct ky_span value)
{
    call->header_bytes += name.len + value.len + 32u; /* RFC 9113 s.6.5.2 counts so */
    if (call->header_bytes > FRONT_HEADER_LIST_MAX)
        return false;
    if (call->method)
        return true; /* trailers of the request: nothing in them concerns us */
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (name.len == fields[i].len &&
            ky_span_eq(name, KY_SPAN((const uint8_t *)fields[i].name, fields[i].len))) {
            fields[i].take(call, value);
            break;
        }
    }
    return true;
}

static void refuse_http(struct call *call, const char *http_status)
{
    call_set_finished(call);
    if (status_submit_http(call, http_status) != 0)
        conn_kill(call->conn);
    conn_touch(call->conn);
}

static void set_deadline(struct call *call)
{
    uint64_t timeout_us = call->timeout_us;
    call->deadline_us = 0;
    if (timeout_us == 0 &&
        (method_is_stream(call->method) || call->method->kind == METHOD_HEALTH_WATCH))
        return;
    if (timeout_us == 0)
        timeout_us = call->conn->front->patience.call_us;
    if (timeout_us > TIMEOUT_MAX_US)
        timeout_us = TIMEOUT_MAX_US;
    call->deadline_us = call->conn->front->now_us + timeout_us;
    call_due(call, call->deadline_us);
}

void call_headers_done(struct call *call)
{
    struct front *f = call->conn->front;

    if (!call->is_post) {
        refuse_http(call, "405");
        return;
    }
    if (!call->is_grpc) {
        refuse_http(call, "415");
        return;
    }
    call->method = call->path_too_long ? NULL : method_find(f->door, call->path);
    if (!call->method) {
        call_finish(call, KY_UNIMPLEMENTED, 0, NULL);
        return;
    }
    if (call->bad_timeout) {
        call_finish(call, KY_INVALID, 0, "grpc-timeout: 1 to 8 digits and one of H M S m u n");
        return;
    }
    set_deadline(call);
    if (method_is_stream(call->method)) {
        call->in.max = STREAM_INPUT_MAX;
        call->out.max = STREAM_OUTPUT_MAX;
    }
    if (call->method->kind == METHOD_SIGN_STREAM && (f->draining || !link_serving(f)))
        call_finish(call, KY_UNAVAILABLE, FRONT_RETRY_AFTER_MS, NULL);
}
