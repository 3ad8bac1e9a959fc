/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gRPC call: headers, message assembly, the requests it has in flight, reply and trailers.
 * A call lives from HEADERS until its HTTP/2 stream closes.
 */
#ifndef FRONT_CALL_H
#define FRONT_CALL_H

#include "conn.h"

#define CALL_PATH_MAX 96u

LIST_HEAD(call_slots, slot);

struct call {
    TAILQ_ENTRY(call) all; /* front->calls or front->spare_calls */
    LIST_ENTRY(call) of_conn;
    struct conn *conn; /* borrowed for life */
    int32_t stream_id;
    const struct method *method; /* NULL until the headers are whole */
    struct call_slots slots;
    uint32_t in_flight;
    uint32_t hashes_in_flight;
    uint64_t deadline_us; /* 0 = none (streams) */
    uint64_t finished_us; /* when the status was decided; 0 = not yet */
    struct ky_buf in;     /* request bytes not yet taken */
    struct ky_buf out;    /* reply bytes not yet framed */
    size_t out_taken;
    size_t header_bytes;
    bool is_post, is_grpc, bad_timeout, path_too_long;
    bool remote_done;     /* END_STREAM seen */
    bool started;         /* response headers submitted */
    bool finished;        /* trailers, or a trailers-only answer, decided */
    bool deferred;        /* nghttp2 waits for nghttp2_session_resume_data */
    bool advancing;       /* stream_advance is at work */
    uint8_t watch_status; /* health: what was told last */
    uint64_t timeout_us;  /* grpc-timeout, 0 = not given */
    enum ky_code code;    /* the final status */
    uint32_t retry_after_ms;
    const char *why; /* static text, or NULL for the code's public text */
    char path[CALL_PATH_MAX];
};

struct call *call_new(struct conn *c, int32_t stream_id); /* NULL: too many */
void call_free(struct call *call);
bool call_header(struct call *call, struct ky_span name,
                 struct ky_span value); /* false: list too long */
void call_headers_done(struct call *call);
void call_data(struct call *call, const uint8_t *p, size_t n);
void call_end(struct call *call); /* END_STREAM */
void call_tick(struct call *call, uint64_t now_us);
void call_due(struct call *call, uint64_t due_us); /* call_tick must see it then, or sooner */
/* The status is decided; a peer that will not fetch it is looked for when its patience is over. */
void call_set_finished(struct call *call);

/* Sends the message; a unary call is finished by it. */
void call_reply(struct call *call, const ProtobufCMessage *message);
void call_reply_raw(struct call *call, struct ky_span message); /* the same, already encoded */
void call_finish(struct call *call, enum ky_code code, uint32_t retry_after_ms, const char *why);
/* Drops and wipes the first n request bytes. */
void call_drop_input(struct call *call, size_t n);

/* For link.c: exactly one of them per slot, with a copy of the slot, which is free again already. */
void call_on_reply(struct slot *s, const struct ky_record *r);
void call_on_failure(struct slot *s, enum ky_code code, uint32_t retry_after_ms, const char *why);

/* Unpacks one message, validates it and sends it to the authority. KY_INVALID sets *out_why. */
KY_MUST_CHECK struct ky_status call_submit(struct call *call, struct ky_span message,
                                           const char **out_why,
                                           char out_request_id[KY_NAME_MAX + 1]);

/* stream.c */
void stream_advance(
    struct call *call); /* takes as many messages as the window allows; nothing on a unary call */
void stream_reply(struct slot *s, ProtobufCMessage *reply);
void stream_failure(struct call *call, const char *request_id, enum ky_code code,
                    uint32_t retry_after_ms, const char *why);
bool stream_has_room(const struct call *call);

/* health.c, reflection.c: whole calls answered by the front itself */
void health_check(struct call *call, struct ky_span message);
void health_watch(struct call *call, struct ky_span message);
void health_tick(struct call *call);
bool health_changed(struct front *f); /* since it was asked last */
void reflection_answer(struct call *call, struct ky_span message);
KY_MUST_CHECK struct ky_status reflection_open(struct front *f);
void reflection_close(struct front *f);

/* status.c: response headers, and the body's bytes */
int status_submit_headers(struct call *call);       /* 200, application/grpc */
int status_submit_trailers(struct call *call);      /* after messages */
int status_submit_trailers_only(struct call *call); /* instead of messages */
int status_submit_http(struct call *call, const char *http_status);
/* nghttp2_send_data_callback: a DATA frame straight into the connection's buffer */
int status_send_body(nghttp2_session *s, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user);

#endif
