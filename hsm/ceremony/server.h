/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custodians' door of a running server: records over its Unix socket, one question at a time. One thread.
 */
#ifndef CEREMONY_SERVER_H
#define CEREMONY_SERVER_H

#include "kyso/door.h"
#include "kyso/record.h"

struct server {
    int fd; /* -1: not connected */
    struct ky_channel channel;
    uint64_t tag;
};

/* Errors: KY_IO, KY_INVALID (the path is too long). */
KY_MUST_CHECK struct ky_status server_connect(const char *path, struct server *out);
void server_close(struct server *s); /* no-op on what is not connected */
/*
 * *out lives until the next question. Errors: the server's wire code; KY_UNAVAILABLE (it went away, or does not serve), KY_DEADLINE, KY_IO.
 */
KY_MUST_CHECK struct ky_status server_ask(struct server *s, const struct door_kek *m,
                                          struct door_r_kek *out);

#endif
