/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.health.v1, answered from the authority's heartbeat: it works also when nothing else does. */
#include <string.h>

#include "call.h"
#include "kyso/v1/health.pb-c.h"
#include "method.h"

#define SERVING         GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

static bool known(const struct front *f, const char *service)
{
    const char *name;
    if (service[0] == '\0')
        return true;
    for (unsigned i = 0; (name = method_service(f->door, i)); i++)
        if (strcmp(name, service) == 0)
            return true;
    return false;
}

static uint8_t status_now(struct front *f)
{
    return !f->draining && link_serving(f) ? SERVING : NOT_SERVING;
}

static void tell(struct call *call, uint8_t status)
{
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    m.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    call->watch_status = status;
    call_reply(call, &m.base);
}

/* Is the service that the request names one of ours? An answer of KY_INVALID: the request is malformed. */
static struct ky_status asked(struct call *call, struct ky_span message, bool *out_known)
{
    struct front *f = call->conn->front;
    ProtobufCMessage *pb;
    struct ky_status st = ky_pb_unpack(&f->request_arena, call->method->request, message, &pb);

    if (ky_ok(st))
        *out_known = known(f, ((Grpc__Health__V1__HealthCheckRequest *)pb)->service);
    else
        call_finish(call, KY_INVALID, 0, "message: malformed");
    ky_arena_reset(&f->request_arena);
    return st;
}

void health_check(struct call *call, struct ky_span message)
{
    bool ours = false;
    if (!ky_ok(asked(call, message, &ours)))
        return;
    if (ours)
        tell(call, status_now(call->conn->front));
    else
        call_finish(call, KY_NOT_FOUND, 0, NULL);
}

void health_watch(struct call *call, struct ky_span message)
{
    bool ours = false;
    if (!ky_ok(asked(call, message, &ours)))
        return;
    tell(call, ours ? status_now(call->conn->front) : SERVICE_UNKNOWN);
    call_due(call, 0); /* what it was told may be news to health_changed too */
}

bool health_changed(struct front *f)
{
    uint8_t before = f->health;
    f->health = status_now(f);
    return f->health != before;
}

void health_tick(struct call *call)
{
    uint8_t now;
    if (call->watch_status == 0 || call->watch_status == SERVICE_UNKNOWN)
        return;
    now = status_now(call->conn->front);
    if (now != call->watch_status)
        tell(call, now);
}
