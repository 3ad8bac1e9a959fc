/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kyso command: what its files share. One const table (table.c) names every command, its
 * arguments, summary, example and function; help, man page, completion and the option parser
 * all read that table. One thread; a command runs once and the process ends.
 */
#ifndef KYSO_CLI_H
#define KYSO_CLI_H

#include "client.h"
#include "command.h"
#include "config.h"
#include "kyso/v1/operator.pb-c.h"

enum { CLI_USES_OPERATOR = 1, CLI_USES_CLIENT = 2, CLI_USES_CONFIG = 4, CLI_USES_PROPOSAL = 8 };

extern const struct cli_program cli_program;

#define CLI_OPERATION_MAX (200u * 1024u) /* bytes of an operation */
enum { CLI_PROPOSED = -1 }; /* beside enum cli_exit, between functions: --propose has written the operation, nothing was run */

/* --- server.c -------------------------------------------------------------------------------- */

enum cli_door { CLI_DOOR_SIGNER, CLI_DOOR_APPROVER };
/* Each says what went wrong and returns an enum cli_exit. */
int server_config(struct cli *cli); /* loads cli->config */
int server_open(struct cli *cli, enum cli_door door, struct client **out_client);
int server_open_operator(struct cli *cli, struct client **out_client);
int server_profile(struct cli *cli); /* loads cli->profile where --profile is given */
const char *server_option(struct cli *cli, const char *option,
                          const char *profile_key); /* option, else the profile's */
/* A refusal is said, with what to do next. */
int server_call(struct cli *cli, struct client *c, const char *path,
                const ProtobufCMessage *request, uint64_t timeout_us,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_reply);

/* --- operator_call.c ------------------------------------------------------------------------- */

/*
 * Stamps, signs and runs the operation. The result is freed with
 * kyso__v1__operation_result__free_unpacked.
 */
int operator_call(struct cli *cli, Kyso__V1__Operation *op, Kyso__V1__OperationResult **out_result);
/* Stamps, signs and starts it on cli->operator_client, which it opens: the handler is told, by whoever drives that connection. */
int operator_start(struct cli *cli, Kyso__V1__Operation *op, const struct client_handler *handler);
/* NULL: it cannot be read. */
Kyso__V1__OperationResult *operator_result(const Kyso__V1__ExecuteReply *reply);
/* The same, then prints the result's message and the one object it is about. */
int operator_run(struct cli *cli, Kyso__V1__Operation *op);
/* The message and the one object it is about. */
void operator_print(struct cli *cli, const Kyso__V1__OperationResult *r);
/* Adds this operator's signature to a proposal's and runs it, then prints as operator_run() does. */
int operator_approve(struct cli *cli, Kyso__V1__ExecuteRequest *proposal);
/* A signature by the private key in a file. Returns an enum cli_exit, having said what is wrong. */
int operator_sign(struct cli *cli, const char *path, struct ky_span message, struct ky_buf *out);

/* --- show.c ---------------------------------------------------------------------------------- */

json_t *show_credential(const Kyso__V1__Credential *c, bool bytes); /* with its DER parts */
json_t *show_client(const Kyso__V1__Client *c);
json_t *show_authenticator(const Kyso__V1__Authenticator *a);
json_t *show_user(const Kyso__V1__User *u);
/* Adds what people want of a certificate: whose, from whom, until when. */
void show_certificate(json_t *o, struct ky_span der);
int status_get(struct cli *cli, bool watching, Kyso__V1__OperationResult **out); /* cmd_status.c */
json_t *show_status(const Kyso__V1__Status *s);
void show_credentials(struct cli *cli, bool expiring, json_t *rows); /* frees them */
const char *show_key_type(Kyso__V1__KeyType type);
const char *show_transaction_state(Kyso__V1__TransactionState s);

/* --- one per row of the table ---------------------------------------------------------------- */

int cmd_init(struct cli *cli);
int cmd_operator_keygen(struct cli *cli);
int cmd_operation_show(struct cli *cli);
int cmd_operation_approve(struct cli *cli);
int cmd_user_add(struct cli *cli);
int cmd_user_list(struct cli *cli);
int cmd_user_remove(struct cli *cli);
int cmd_role_set(struct cli *cli);
int cmd_subject_add(struct cli *cli);
int cmd_subject_show(struct cli *cli);
int cmd_subject_unlock(struct cli *cli);
int cmd_client_add(struct cli *cli);
int cmd_client_list(struct cli *cli);
int cmd_client_suspend(struct cli *cli);
int cmd_client_resume(struct cli *cli);
int cmd_client_remove(struct cli *cli);
int cmd_client_request_key(struct cli *cli);
int cmd_credential_create(struct cli *cli);
int cmd_credential_list(struct cli *cli);
int cmd_credential_show(struct cli *cli);
int cmd_credential_csr(struct cli *cli);
int cmd_credential_enroll(struct cli *cli);
int cmd_credential_import(struct cli *cli);
int cmd_credential_suspend(struct cli *cli);
int cmd_credential_resume(struct cli *cli);
int cmd_credential_revoke(struct cli *cli);
int cmd_credential_destroy(struct cli *cli);
int cmd_credential_destroyed(struct cli *cli);
int cmd_authenticator_totp(struct cli *cli);
int cmd_authenticator_device(struct cli *cli);
int cmd_authenticator_passkey(struct cli *cli);
int cmd_authenticator_confirm(struct cli *cli);
int cmd_authenticator_list(struct cli *cli);
int cmd_authenticator_remove(struct cli *cli);
int cmd_sign(struct cli *cli);
int cmd_approve(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_backup(struct cli *cli);
int cmd_ledger_show(struct cli *cli);
int cmd_ledger_verify(struct cli *cli);
int cmd_ledger_export(struct cli *cli);
int cmd_health(struct cli *cli);
int cmd_info(struct cli *cli);

#endif
