/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of records between roles: however a stream is cut into reads, and whenever the reader
 * takes what is there, the same records come out, up to the first bad header. Each that has a
 * schema is sent on and comes out the same. Input: pieces, each with a byte before it whose lowest
 * bit says whether records are taken after it.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "all_schemas.h"
#include "fuzz.h"
#include "kyso/record.h"

#define OUT_MAX (1024u * 1024u)

struct wire {
    int ends[2];
    struct ky_channel in, out;
    struct ky_buf stream; /* all that was written */
    size_t taken;         /* of it, in records that came out */
};

static struct wire *wire_new(void)
{
    struct wire *w = calloc(1, sizeof(*w));

    FUZZ_CHECK(w != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->ends) == 0);
    w->stream = KY_BUF_INIT(OUT_MAX);
    ky_channel_init(&w->in, w->ends[0], 0);
    ky_channel_init(&w->out, w->ends[0], OUT_MAX);
    return w;
}

static const struct ky_schema *schema_of(uint16_t type, bool job)
{
    const struct family *f = &families[job];

    for (size_t i = 0; i < f->count; i++)
        if (f->schemas[i]->type == type)
            return f->schemas[i];
    return NULL;
}

/* To the byte: header and payload. */
static void send_on(struct wire *w, const struct ky_record *rec, bool job)
{
    static _Alignas(max_align_t) uint8_t msg[1024];
    const struct ky_schema *s = schema_of(rec->type, job);
    struct ky_channel *c = &w->out;
    size_t before = c->out.len;

    if (s == NULL || !ky_ok(ky_msg_decode(s, rec->payload, msg)))
        return;
    FUZZ_CHECK(ky_ok(ky_channel_send(c, s, msg, rec->tag, rec->deadline_us)));
    FUZZ_CHECK(ky_span_eq(
        KY_SPAN(c->out.data + before, c->out.len - before),
        KY_SPAN(rec->payload.data - KY_RECORD_HEADER, KY_RECORD_HEADER + rec->payload.len)));
}

/* False: the channel is at its end. */
static bool take(struct wire *w, bool job)
{
    struct ky_record rec;
    struct ky_status st = KY_STATUS(KY_OK);

    while (ky_channel_next(&w->in, &rec, &st)) {
        size_t len = KY_RECORD_HEADER + rec.payload.len;

        FUZZ_CHECK(w->taken + len <= w->stream.len && len <= KY_RECORD_MAX);
        FUZZ_CHECK(ky_span_eq(KY_SPAN(rec.payload.data - KY_RECORD_HEADER, len),
                              KY_SPAN(w->stream.data + w->taken, len)));
        w->taken += len;
        send_on(w, &rec, job);
    }
    return ky_ok(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire *w;
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    bool job = ky_get_u8(&r) & 1, alive = true;

    if (w == NULL)
        w = wire_new();
    while (alive && !r.failed && r.left > 0) {
        uint8_t how = ky_get_u8(&r);
        struct ky_span piece = fuzz_piece(&r);

        if (piece.len > 0) {
            FUZZ_CHECK(write(w->ends[1], piece.data, piece.len) == (ssize_t)piece.len);
            ky_buf_put(&w->stream, piece.data, piece.len);
            FUZZ_CHECK(ky_ok(ky_channel_read(&w->in)));
        }
        alive = (how & 1) == 0 || take(w, job);
    }
    if (alive && take(w, job)) /* then what is left is the beginning of one */
        FUZZ_CHECK(w->stream.len - w->taken < KY_RECORD_MAX);
    ky_buf_reset(&w->in.in); /* as new, but for its memory: half a megabyte */
    ky_buf_reset(&w->out.out);
    ky_buf_reset(&w->stream);
    w->in.taken = w->taken = 0;
    return 0;
}
