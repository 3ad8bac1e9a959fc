/* SPDX-License-Identifier: Apache-2.0 */
/* The table of methods. A door answers its own rows and the shared ones; any other is unknown. */
#include <string.h>

#include "kyso/v1/approver.pb-c.h"
#include "kyso/v1/health.pb-c.h"
#include "kyso/v1/operator.pb-c.h"
#include "kyso/v1/signer.pb-c.h"
#include "method.h"

#define SIGNER(name, kind_, request_, record_, reply_, in, from)                                   \
    {                                                                                              \
        .path = "/kyso.v1.Signer/" name, .door = KY_DOOR_SIGNER, .kind = (kind_),                  \
        .request = &(request_), .record = &(record_), .reply = &(reply_), .to_record = (in),       \
        .from_record = (from)                                                                      \
    }
#define APPROVER(name, request_, record_, reply_, in, from)                                        \
    {                                                                                              \
        .path = "/kyso.v1.Approver/" name, .door = KY_DOOR_APPROVER, .kind = METHOD_UNARY,         \
        .request = &(request_), .record = &(record_), .reply = &(reply_), .to_record = (in),       \
        .from_record = (from)                                                                      \
    }

static const struct method methods[] = {
    SIGNER("Sign", METHOD_UNARY, kyso__v1__sign_request__descriptor, door_sign_schema,
           door_r_sign_schema, signer_sign_in, signer_sign_out),
    SIGNER("SignStream", METHOD_SIGN_STREAM, kyso__v1__sign_request__descriptor, door_sign_schema,
           door_r_sign_schema, signer_sign_in, signer_sign_out),
    SIGNER("Info", METHOD_UNARY, kyso__v1__info_request__descriptor, door_info_schema,
           door_r_info_schema, signer_info_in, signer_info_out),
    SIGNER("ListCredentials", METHOD_UNARY, kyso__v1__list_credentials_request__descriptor,
           door_cred_list_schema, door_r_cred_list_schema, signer_list_in, signer_list_out),
    SIGNER("GetCredential", METHOD_UNARY, kyso__v1__get_credential_request__descriptor,
           door_cred_get_schema, door_r_cred_schema, signer_get_in, signer_cred_out),
    SIGNER("BeginTransaction", METHOD_UNARY, kyso__v1__begin_transaction_request__descriptor,
           door_tx_begin_schema, door_r_tx_schema, signer_begin_in, signer_tx_out),
    SIGNER("Authorize", METHOD_UNARY, kyso__v1__authorize_request__descriptor,
           door_tx_authorize_schema, door_r_tx_schema, signer_authorize_in, signer_tx_out),
    SIGNER("WaitTransaction", METHOD_UNARY, kyso__v1__wait_transaction_request__descriptor,
           door_tx_wait_schema, door_r_tx_schema, signer_wait_in, signer_tx_out),
    SIGNER("CancelTransaction", METHOD_UNARY, kyso__v1__cancel_transaction_request__descriptor,
           door_tx_cancel_schema, door_r_tx_schema, signer_cancel_in, signer_tx_out),
    APPROVER("ListPending", kyso__v1__list_pending_request__descriptor, door_approval_list_schema,
             door_r_approval_list_schema, approver_list_in, approver_list_out),
    APPROVER("GetTransaction", kyso__v1__get_pending_request__descriptor, door_approval_get_schema,
             door_r_approval_schema, approver_get_in, approver_approval_out),
    APPROVER("Approve", kyso__v1__decision_request__descriptor, door_approval_decide_schema,
             door_r_decision_schema, approver_approve_in, approver_decision_out),
    APPROVER("Reject", kyso__v1__reject_request__descriptor, door_approval_decide_schema,
             door_r_decision_schema, approver_reject_in, approver_decision_out),
    APPROVER("GetPasskey", kyso__v1__get_passkey_request__descriptor, door_passkey_get_schema,
             door_r_passkey_schema, approver_get_passkey_in, approver_passkey_out),
    APPROVER("EnrollPasskey", kyso__v1__enroll_passkey_request__descriptor,
             door_passkey_enroll_schema, door_r_passkey_schema, approver_enroll_passkey_in,
             approver_passkey_out),
    {.path = "/kyso.v1.Operator/Execute",
     .door = KY_DOOR_OPERATOR,
     .kind = METHOD_UNARY,
     .request = &kyso__v1__execute_request__descriptor,
     .record = &door_operate_schema,
     .reply = &door_r_operate_schema,
     .to_record = operator_execute_in,
     .from_record = operator_execute_out},
    {.path = "/grpc.health.v1.Health/Check",
     .kind = METHOD_HEALTH_CHECK,
     .request = &grpc__health__v1__health_check_request__descriptor},
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = METHOD_HEALTH_WATCH,
     .request = &grpc__health__v1__health_check_request__descriptor},
    {.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
     .kind = METHOD_REFLECTION},
    {.path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     .kind = METHOD_REFLECTION},
};

static const struct {
    uint8_t door;
    const char *name;
} services[] = {
    {KY_DOOR_SIGNER, "kyso.v1.Signer"},         {KY_DOOR_APPROVER, "kyso.v1.Approver"},
    {KY_DOOR_OPERATOR, "kyso.v1.Operator"},     {0, "grpc.health.v1.Health"},
    {0, "grpc.reflection.v1.ServerReflection"}, {0, "grpc.reflection.v1alpha.ServerReflection"},
};

const struct method *method_find(enum ky_door door, const char *path)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if ((methods[i].door == 0 || methods[i].door == door) && strcmp(methods[i].path, path) == 0)
            return &methods[i];
    return NULL;
}

const char *method_service(enum ky_door door, unsigned i)
{
    for (size_t k = 0; k < sizeof(services) / sizeof(services[0]); k++)
        if (services[k].door == 0 || services[k].door == door)
            if (i-- == 0)
                return services[k].name;
    return NULL;
}
