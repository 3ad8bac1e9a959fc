/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-approve from the inside: the page's files, the JSON that the page speaks, and the calls that it becomes. One thread, the
 * event base's. It can show and carry; what it carries is signed by the citizen's passkey and judged by the server.
 */
#ifndef KYSO_APPROVE_H
#define KYSO_APPROVE_H

#include "config.h"
#include "http.h"
#include "kyso/v1/approver.pb-c.h"
#include "link.h"
#include "session.h"

#define PAGE_FILES 3u

struct approve {
    struct approve_config *config; /* owned */
    struct event_base *base;       /* owned */
    struct link *link;             /* owned */
    struct http_server *http;      /* owned */
    struct session session;
    struct ky_buf pages[PAGE_FILES];
};

/* page.c: reads the files; why: CLIENT_TEXT_MAX bytes. Errors: KY_IO. */
KY_MUST_CHECK struct ky_status page_load(struct approve *a, char *why);
void page_free(struct approve *a);
void page_serve(void *arg, struct http_call *call);

/* api.c */
void api_login_begin(void *arg, struct http_call *call);
void api_login(void *arg, struct http_call *call);
void api_logout(void *arg, struct http_call *call);
void api_enroll(void *arg, struct http_call *call);
void api_pending(void *arg, struct http_call *call);
void api_transaction(void *arg, struct http_call *call);
void api_decide(void *arg, struct http_call *call);

/* tell.c: every field of the transaction digest, bytes in Base64 */
json_t *tell_transaction(const Kyso__V1__PendingTransaction *m);
json_t *tell_bytes(struct ky_span bytes);
/* A member that is Base64; false when it is absent, something else or longer than the buffer takes. */
bool hear_bytes(const json_t *in, const char *name, struct ky_buf *out);

#endif
