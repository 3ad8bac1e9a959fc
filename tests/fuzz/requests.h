/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every method of every door, and the messages that no method names: by their place here an input
 * chooses among them.
 */
#ifndef KYSO_FUZZ_REQUESTS_H
#define KYSO_FUZZ_REQUESTS_H

#include "kyso/v1/approver.pb-c.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/operator.pb-c.h"
#include "kyso/v1/signer.pb-c.h"
#include "method.h"

static const struct {
    enum ky_door door;
    const char *path;
} fuzz_requests[] = {
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/Sign"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/SignStream"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/Info"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/ListCredentials"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/GetCredential"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/BeginTransaction"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/Authorize"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/WaitTransaction"},
    {KY_DOOR_SIGNER, "/kyso.v1.Signer/CancelTransaction"},
    {KY_DOOR_APPROVER, "/kyso.v1.Approver/ListPending"},
    {KY_DOOR_APPROVER, "/kyso.v1.Approver/GetTransaction"},
    {KY_DOOR_APPROVER, "/kyso.v1.Approver/Approve"},
    {KY_DOOR_APPROVER, "/kyso.v1.Approver/Reject"},
    {KY_DOOR_OPERATOR, "/kyso.v1.Operator/Execute"},
    {KY_DOOR_SIGNER, "/grpc.health.v1.Health/Check"},
    {KY_DOOR_SIGNER, "/grpc.health.v1.Health/Watch"},
    {KY_DOOR_SIGNER, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"},
    {KY_DOOR_SIGNER, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"},
};

static const ProtobufCMessageDescriptor *const fuzz_messages[] = {
    &kyso__v1__operation__descriptor,
    &kyso__v1__operation_result__descriptor,
    &kyso__v1__sign_stream_reply__descriptor,
    &kyso__v1__pending_transaction__descriptor,
    &kyso__v1__credential__descriptor,
    &grpc__health__v1__health_check_request__descriptor,
};

#endif
