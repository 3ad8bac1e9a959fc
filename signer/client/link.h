/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web process' way to a door: one gRPC connection with its own certificate, any number of calls in flight, driven
 * by the event base and opened anew when it is lost. Nothing here waits. The loop's thread.
 */
#ifndef KYSO_CLIENT_LINK_H
#define KYSO_CLIENT_LINK_H

#include <event2/event.h>

#include "client.h"

struct link;

/* reply: NULL unless outcome->code is KY_OK; both until it returns. Called once, never from within link_call. */
typedef void (*link_done)(void *arg, const struct client_outcome *outcome, const ProtobufCMessage *reply);

/*
 * Reads the certificate's files; connects when the loop runs. service: of the calls, "kyso.v1.Signer"; it and the target's texts
 * are borrowed for the link's life. out_why: CLIENT_TEXT_MAX bytes. Errors: KY_INVALID, KY_NOMEM.
 */
KY_MUST_CHECK struct ky_status link_new(struct event_base *base, const struct client_target *target,
                                        const char *service, struct link **out_link, char *out_why);
void link_free(struct link **link); /* ends every call */

/* One unary call; the request is packed before this returns. KY_UNAVAILABLE, KY_NOMEM, KY_INVALID: done is not called. */
KY_MUST_CHECK struct ky_status link_call(struct link *l, const char *method, const ProtobufCMessage *request,
                                         uint64_t timeout_us, const ProtobufCMessageDescriptor *reply_type,
                                         link_done done, void *arg);

#endif
