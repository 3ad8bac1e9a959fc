/* SPDX-License-Identifier: Apache-2.0 */
/* Every schema there is, by family. A new one that is not here is not tested. */
#ifndef KYSO_ALL_SCHEMAS_H
#define KYSO_ALL_SCHEMAS_H

#include "kyso/door.h"
#include "kyso/job.h"
#include "kyso/ledger.h"
#include "kyso/rows.h"

static const struct ky_schema *const door_schemas[] = {
    &door_info_schema,         &door_cred_list_schema,       &door_cred_get_schema,
    &door_tx_begin_schema,     &door_tx_authorize_schema,    &door_sign_schema,
    &door_tx_wait_schema,      &door_tx_cancel_schema,       &door_approval_list_schema,
    &door_approval_get_schema, &door_approval_decide_schema, &door_passkey_get_schema,  &door_passkey_enroll_schema,  &door_r_passkey_schema,
    &door_operate_schema,
    &door_cancel_schema,       &door_event_schema,           &door_refused_schema,
    &door_r_info_schema,       &door_r_cred_list_schema,     &door_r_cred_schema,
    &door_r_tx_schema,         &door_r_sign_schema,          &door_r_approval_list_schema,
    &door_r_approval_schema,   &door_r_decision_schema,      &door_r_operate_schema,
    &door_heartbeat_schema,    &door_kek_schema,             &door_r_kek_schema,
};
static const struct ky_schema *const job_schemas[] = {
    &job_sign_schema,   &job_generate_schema,     &job_derive_schema,      &job_destroy_schema,
    &job_forget_schema, &job_anchor_write_schema, &job_anchor_read_schema, &job_info_schema,
    &job_generate_many_schema, &job_sign_each_schema,
    &job_r_sign_schema, &job_r_generate_schema,   &job_r_bytes_schema,     &job_r_done_schema,
    &job_r_info_schema,
    &job_r_list_schema,
};
static const struct ky_schema *const ledger_schemas[] = {
    &ledger_genesis_schema,      &ledger_start_schema,     &ledger_stop_schema,
    &ledger_admin_schema,        &ledger_operation_schema, &ledger_begin_schema,
    &ledger_authorized_schema,   &ledger_ended_schema,     &ledger_intent_schema,
    &ledger_receipt_schema,      &ledger_denied_schema,    &ledger_unlocked_schema,
    &ledger_client_state_schema, &ledger_event_schema,     &ledger_anchored_schema,
    &ledger_ceremony_schema,
    &ledger_destroyed_schema,    &ledger_crl_schema,
    &ledger_passkey_schema,     &ledger_kek_schema, &ledger_activated_schema,
    &ledger_clock_schema,
};
static const struct ky_schema *const row_schemas[] = {
    &row_subject_schema, &row_credential_schema, &row_authenticator_schema,
    &row_client_schema,  &row_operator_schema,
    &row_pool_key_schema,
};

#define FAMILY(list)                                                                               \
    {                                                                                              \
        list, sizeof(list) / sizeof((list)[0])                                                     \
    }
static const struct family {
    const struct ky_schema *const *schemas;
    size_t count;
} families[] = {FAMILY(door_schemas), FAMILY(job_schemas), FAMILY(ledger_schemas),
                FAMILY(row_schemas)};

#endif
