/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking, with a deadline for each answer: people sit before it. One thread. */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_S = 60 };

struct ky_status server_connect(const char *path, struct server *out)
{
    const struct timeval tick = {.tv_sec = 1};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(a.sun_path))
        return KY_STATUS(KY_INVALID);
    memcpy(a.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) != 0) {
        struct ky_status st = KY_STATUS_CAUSE(KY_IO, errno);

        (void)close(fd);
        return st;
    }
    *out = (struct server){.fd = fd};
    ky_channel_init(&out->channel, fd, KY_RECORD_MAX);
    return KY_STATUS(KY_OK);
}

void server_close(struct server *s)
{
    if (s->fd < 0)
        return;
    ky_channel_wipe(&s->channel);
    (void)close(s->fd);
    s->fd = -1;
}

static struct ky_status take_answer(const struct ky_record *rec, struct door_r_kek *out)
{
    struct door_refused refused;

    if (rec->type == DOOR_R_KEK)
        return ky_msg_decode(&door_r_kek_schema, rec->payload, out);
    if (rec->type == DOOR_REFUSED && ky_ok(ky_msg_decode(&door_refused_schema, rec->payload, &refused)) &&
        refused.code > KY_OK && refused.code < KY_CODE_COUNT)
        return KY_STATUS((enum ky_code)refused.code);
    return KY_STATUS(KY_INTERNAL);
}

struct ky_status server_ask(struct server *s, const struct door_kek *m, struct door_r_kek *out)
{
    const uint64_t until_us = ky_now_us() + ANSWER_S * UINT64_C(1000000);
    struct ky_record rec;
    struct ky_status st = ky_channel_send(&s->channel, &door_kek_schema, m, ++s->tag, 0);

    while (ky_ok(st) && ky_channel_has_output(&s->channel))
        st = ky_channel_flush(&s->channel);
    while (ky_ok(st)) {
        while (ky_channel_next(&s->channel, &rec, &st))
            if (rec.tag == s->tag)
                return take_answer(&rec, out);
        if (ky_ok(st) && ky_now_us() > until_us)
            st = KY_STATUS(KY_DEADLINE);
        if (ky_ok(st))
            st = ky_channel_read(&s->channel);
    }
    return st;
}
