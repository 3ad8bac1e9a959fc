/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' door: signatures first, then the bytes. An operation runs when every named operator's
 * signature over its exact bytes holds, each one's certificate is valid now, it is meant for this server, unexpired, not seen
 * before, and enough distinct people of the right roles signed it (policy/rules). It is on the ledger before it changes anything. The authority's thread, inside a turn.
 * Every refusal is a LEDGER_DENIED record; up to acceptance all of them read KY_OPERATOR_REFUSED.
 */
#include "operate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "kyso/wire.h"

#define OPERATION_TAG "kyso.v1.operation" /* with its NUL: the separator */

enum target { TARGET_NONE, TARGET_SUBJECT, TARGET_ID };

#define ENTRY(CASE, name, Message, field, kind, fn)                                                \
    {                                                                                              \
        KYSO__V1__OPERATION__OP_##CASE, name, kind, offsetof(Kyso__V1__##Message, field), fn       \
    }
#define ENTRY_BARE(CASE, name, fn)                                                                 \
    {                                                                                              \
        KYSO__V1__OPERATION__OP_##CASE, name, TARGET_NONE, 0, fn                                   \
    }

static const struct entry {
    Kyso__V1__Operation__OpCase op_case;
    const char *name; /* key of policy's rule table */
    enum target target;
    size_t target_field; /* offset of the char * that names it */
    operation_fn run;
} entries[] = {
    ENTRY(ADD_SUBJECT, "add-subject", AddSubject, subject_id, TARGET_SUBJECT, operate_add_subject),
    ENTRY(SHOW_SUBJECT, "show-subject", ShowSubject, subject_id, TARGET_SUBJECT,
          operate_show_subject),
    ENTRY(UNLOCK_SUBJECT, "unlock-subject", UnlockSubject, subject_id, TARGET_SUBJECT,
          operate_unlock_subject),
    ENTRY(ADD_CLIENT, "add-client", AddClient, name, TARGET_ID, operate_add_client),
    ENTRY_BARE(LIST_CLIENTS, "list-clients", operate_list_clients),
    ENTRY(SET_CLIENT_STATE, "set-client-state", SetClientState, name, TARGET_ID,
          operate_set_client_state),
    ENTRY(SET_CLIENT_REQUEST_KEY, "set-client-request-key", SetClientRequestKey, name, TARGET_ID,
          operate_set_client_request_key),
    ENTRY(CREATE_CREDENTIAL, "create-credential", CreateCredential, subject_id, TARGET_SUBJECT,
          operate_create_credential),
    ENTRY(LIST_CREDENTIALS, "list-credentials", ListAllCredentials, subject_id, TARGET_SUBJECT,
          operate_list_credentials),
    ENTRY(SHOW_CREDENTIAL, "show-credential", ShowCredential, credential_id, TARGET_ID,
          operate_show_credential),
    ENTRY(MAKE_CSR, "make-csr", MakeCsr, credential_id, TARGET_ID, operate_make_csr),
    ENTRY(IMPORT_CERTIFICATE, "import-certificate", ImportCertificate, credential_id, TARGET_ID,
          operate_import_certificate),
    ENTRY(SET_CREDENTIAL_STATE, "set-credential-state", SetCredentialState, credential_id,
          TARGET_ID, operate_set_credential_state),
    ENTRY_BARE(ENROLL_CITIZENS, "enroll-citizens", operate_enroll_citizens),
    ENTRY(ENROLL_TOTP, "enroll-totp", EnrollTotp, subject_id, TARGET_SUBJECT, operate_enroll_totp),
    ENTRY(ENROLL_DEVICE, "enroll-device", EnrollDevice, subject_id, TARGET_SUBJECT,
          operate_enroll_device),
    ENTRY(CONFIRM_AUTHENTICATOR, "confirm-authenticator", ConfirmAuthenticator, authenticator_id,
          TARGET_ID, operate_confirm_authenticator),
    ENTRY(LIST_AUTHENTICATORS, "list-authenticators", ListAuthenticators, subject_id,
          TARGET_SUBJECT, operate_list_authenticators),
    ENTRY(REMOVE_AUTHENTICATOR, "remove-authenticator", RemoveAuthenticator, authenticator_id,
          TARGET_ID, operate_remove_authenticator),
    ENTRY_BARE(GET_STATUS, "get-status", operate_get_status),
    ENTRY_BARE(MAKE_BACKUP, "make-backup", operate_make_backup),
    ENTRY_BARE(READ_LEDGER, "read-ledger", operate_read_ledger),
    ENTRY(ADD_USER, "add-user", AddUser, name, TARGET_ID, operate_add_user),
    ENTRY_BARE(LIST_USERS, "list-users", operate_list_users),
    ENTRY(REMOVE_USER, "remove-user", RemoveUser, name, TARGET_ID, operate_remove_user),
    ENTRY(SET_ROLE, "set-role", SetRole, name, TARGET_ID, operate_set_role),
};

static const struct entry *entry_of(Kyso__V1__Operation__OpCase op_case)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (entries[i].op_case == op_case)
            return &entries[i];
    return NULL;
}

/* --- signatures ------------------------------------------------------------------------------------------ */

struct signers {
    uint32_t rows[OPERATE_SIGNERS_MAX];
    uint8_t roles[OPERATE_SIGNERS_MAX];
    uint32_t count;
    char names[OPERATE_NAMES_MAX]; /* comma-separated, for the record */
};

/* An operator's row does not say its key's type: the key does. */
static struct policy_device_key *operator_key(struct ky_span spki)
{
    struct policy_device_key *key = NULL;

    return ky_ok(policy_device_key_load(policy_key_type(spki), spki, &key)) ? key : NULL;
}

static bool signer_holds(struct authority *a, uint32_t row, struct ky_span message,
                         struct ky_span signature, uint8_t *out_role)
{
    struct policy_device_key *key = NULL;
    struct row_operator operator;
    bool holds = ky_ok(store_row_get(authority_store(a), ROW_OPERATOR, row, &operator)) &&
                 operate_user_valid(&operator, authority_now_s(a)) &&
                 (key = operator_key(operator.public_key)) != NULL &&
                 ky_ok(policy_key_verify_message(key, message, signature));

    policy_device_key_free(&key);
    if (holds)
        *out_role = operate_user_role(&operator);
    return holds;
}

/* NULL, or why. One wrong signature spoils the operation: nobody signs beside a forgery by intent. */
static const char *check_signers(struct authority *a, struct ky_span message, struct ky_span list,
                                 struct signers *out)
{
    struct ky_reader r = ky_reader(list);
    size_t used = 0;

    while (!ky_reader_done(&r)) {
        struct ky_span id = ky_get_bytes(&r, KY_NAME_MAX);
        struct ky_span signature = ky_get_bytes(&r, KY_SIG_MAX);

        if (r.failed || out->count == OPERATE_SIGNERS_MAX)
            return "the list of signatures is malformed or too long";
        uint32_t row = authority_operator_by_id(a, id);
        for (uint32_t i = 0; i < out->count; i++)
            if (out->rows[i] == row)
                return "an operator signed twice";
        if (row == 0 || !signer_holds(a, row, message, signature, &out->roles[out->count]))
            return "an operator is unknown, removed or has no valid certificate, or a signature does not hold";
        out->rows[out->count++] = row;
        if (used > 0)
            out->names[used++] = ',';
        memcpy(out->names + used, id.data, id.len);
        used += id.len;
    }
    out->names[used] = '\0';
    return out->count > 0 ? NULL : "nobody signed";
}

static const char *verify_signers(struct operation *o, const struct door_operate *d,
                                  struct signers *out)
{
    struct ky_buf message = KY_BUF_INIT(KY_RECORD_MAX);
    const char *why = "too long";
    bool differ = false;

    ky_buf_put(&message, OPERATION_TAG, sizeof(OPERATION_TAG));
    ky_buf_put(&message, d->operation.data, d->operation.len);
    if (!message.failed)
        why = check_signers(o->a, ky_buf_span(&message), d->signatures, out);
    ky_buf_free(&message);
    if (why == NULL && out->count > 1 &&
        (!ky_ok(operate_users_differ(o, out->rows, out->count, &differ)) || !differ))
        why = "two of its operators are one person";
    return why;
}

/* --- acceptance ------------------------------------------------------------------------------------------ */

/*
 * Two people who change something may be at two places, so their operation waits longer. Others' does not: spent nonces are kept to
 * the expiry.
 */
static const char *check_terms(struct authority *a, const Kyso__V1__Operation *op, bool shared)
{
    uint64_t now_s = authority_now_s(a);
    uint64_t ahead_s = shared ? OPERATE_SHARED_EXPIRES_MAX_S : OPERATE_EXPIRES_MAX_S;

    if (!ky_span_eq(ky_span_text(op->server_id), authority_server_id(a)))
        return "it is meant for another server";
    if (op->nonce.len != 16)
        return "the nonce is not 16 bytes";
    if (op->expires < 0 || (uint64_t)op->expires < now_s)
        return "it has expired";
    if ((uint64_t)op->expires > now_s + ahead_s)
        return "its expiry is too far ahead: check both clocks";
    if (authority_operation_spent(a, op->nonce.data))
        return "its nonce is spent";
    return NULL;
}

/* The row of the rule table: three kinds have a narrower one. */
static const char *rule_name(const struct entry *e, const Kyso__V1__Operation *op)
{
    switch (op->op_case) {
    case KYSO__V1__OPERATION__OP_SET_CLIENT_STATE:
        return op->set_client_state->suspended && !op->set_client_state->removed ? "suspend-client"
                                                                                 : e->name;
    case KYSO__V1__OPERATION__OP_SET_CREDENTIAL_STATE:
        return op->set_credential_state->state ==
                       KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_DESTROYED
                   ? "destroy-credential"
                   : e->name;
    case KYSO__V1__OPERATION__OP_ENROLL_DEVICE:
        return op->enroll_device->by_authenticator_id[0] != '\0' ? "enroll-device-approved"
                                                                 : e->name;
    default:
        return e->name;
    }
}

/* What the record may say of the operation's object: ids that are ours, and a person's row instead of a name. */
static void put_target(struct operation *o, const struct entry *e, char out[KY_NAME_MAX + 1])
{
    const void *message =
        o->op->add_subject; /* of the union: every member is a pointer to a message */
    struct ky_span id;
    uint32_t row = 0;

    out[0] = '\0';
    if (e->target == TARGET_NONE)
        return;
    id = ky_span_text(*(char *const *)((const uint8_t *)message + e->target_field));
    if (!ky_span_is_name(id, KY_NAME_MAX))
        return;
    if (e->target == TARGET_ID)
        (void)ky_span_to_cstr(id, out, KY_NAME_MAX + 1);
    else if (ky_ok(operate_unique(o, STORE_BY_SUBJECT_ID, id, &row)) && row != 0)
        snprintf(out, KY_NAME_MAX + 1, "subject-%u", row);
}

/* Pages after the first, and screens of a watched status after the first, are not recorded: the ledger would grow while it is read. */
static bool is_recorded(const Kyso__V1__Operation *op)
{
    switch (op->op_case) {
    case KYSO__V1__OPERATION__OP_READ_LEDGER:
        return op->read_ledger->from == 0;
    case KYSO__V1__OPERATION__OP_LIST_CREDENTIALS:
        return op->list_credentials->from == 0;
    case KYSO__V1__OPERATION__OP_GET_STATUS:
        return !op->get_status->watching;
    default:
        return true;
    }
}

static struct ky_status record_operation(struct operation *o, const struct entry *e,
                                         const struct door_operate *d,
                                         const struct signers *signers)
{
    char target[KY_NAME_MAX + 1];
    struct ledger_operation record = {
        .name = ky_span_text(e->name),
        .expires_s = (uint64_t)o->op->expires,
        .operators = ky_span_text(signers->names),
        .uid = d->uid,
    };

    put_target(o, e, target);
    record.target = ky_span_text(target);
    ky_sha256(d->operation, record.digest);
    memcpy(record.nonce, o->op->nonce.data, sizeof(record.nonce));
    return authority_append(o->a, &ledger_operation_schema, &record, KY_SPAN(NULL, 0), &o->index);
}

/* --- answers --------------------------------------------------------------------------------------------- */

static struct ky_status reply_result(struct operation *o)
{
    struct ky_buf packed = KY_BUF_INIT(KY_RECORD_MAX - 64u);
    struct ky_status status = KY_STATUS(KY_BUSY);

    if (o->arena->exhausted)
        return operate_no(o, KY_BUSY, "the result is too long");
    size_t n = kyso__v1__operation_result__get_packed_size(&o->result);
    uint8_t *room = ky_buf_grow(&packed, n);
    if (room != NULL || n == 0) {
        struct door_r_operate reply = {.result = KY_SPAN(packed.data, n)};

        if (n > 0)
            kyso__v1__operation_result__pack(&o->result, room);
        authority_reply(o->a, &o->to, &door_r_operate_schema, &reply);
        status = KY_STATUS(KY_OK);
    }
    ky_buf_free(&packed); /* wiped: in demo it may hold a seed */
    return status;
}

static void refuse(struct operation *o, enum ky_code code)
{
    o->denied.reason = (uint16_t)code;
    log_event(LOG_INFO, "record-refused", LOG_STR("operation", o->name),
              LOG_STR("reason", ky_code_info(code)->name),
              LOG_STR("why", o->why != NULL ? o->why : ""));
    if (o->request != NULL) {
        authority_deny(o->a, o->request, &o->denied);
        return;
    }
    o->denied.request_type = DOOR_OPERATE;
    if (ky_ok(authority_append(o->a, &ledger_denied_schema, &o->denied, KY_SPAN(NULL, 0), NULL)))
        authority_refuse(o->a, &o->to, code, 0);
}

static void finish(struct operation *o, struct ky_status status)
{
    if (ky_ok(status) && !o->deferred)
        status = reply_result(o);
    if (!ky_ok(status))
        refuse(o, status.code);
}

/* --- the door -------------------------------------------------------------------------------------------- */

static struct ky_status run_signed(struct operation *o, const struct door_operate *d,
                                   const struct signers *signers)
{
    ProtobufCMessage *message = NULL;

    if (!ky_ok(ky_pb_unpack(o->arena, &kyso__v1__operation__descriptor, d->operation, &message)))
        return operate_no(o, KY_OPERATOR_REFUSED, "its bytes are not an operation");
    o->op = (const Kyso__V1__Operation *)message;
    o->bytes = d->operation;
    const struct entry *e = entry_of(o->op->op_case);
    if (e == NULL)
        return operate_no(o, KY_OPERATOR_REFUSED, "it names no operation");
    o->name = e->name;
    const struct policy_operation *rule = policy_operation(rule_name(e, o->op));
    const char *why =
        check_terms(o->a, o->op, signers->count > 1 && rule != NULL && !rule->reads_only);
    if (why == NULL)
        why = policy_operation_problem(rule, signers->roles, signers->count,
                                       authority_dual_control(o->a));
    if (why != NULL)
        return operate_no(o, KY_OPERATOR_REFUSED, why);
    if (is_recorded(o->op)) {
        struct ky_status status = record_operation(o, e, d, signers);

        if (!ky_ok(status))
            return status;
    }
    o->signers = signers->count;
    return e->run(o);
}

void operate_request(struct authority *a, const struct request *r, struct ky_span payload)
{
    struct door_operate d;
    struct ky_arena arena;
    struct signers signers = {.count = 0};
    struct operation o = {.a = a,
                          .request = r,
                          .to = request_reply_to(r),
                          .name = "",
                          .result = KYSO__V1__OPERATION_RESULT__INIT,
                          .made = KY_BUF_INIT(KY_RESULT_MAX)};

    o.arena = &arena;
    if (!ky_ok(ky_arena_init(&arena, KY_ARENA_MAX))) {
        authority_refuse(a, &o.to, KY_BUSY, 1000);
        return;
    }
    if (!ky_ok(ky_msg_decode(&door_operate_schema, payload, &d))) {
        finish(&o, operate_no(&o, KY_INVALID, "the record is malformed"));
        goto done;
    }
    o.why = verify_signers(&o, &d, &signers);
    finish(&o, o.why != NULL ? KY_STATUS(KY_OPERATOR_REFUSED) : run_signed(&o, &d, &signers));
done:
    ky_buf_free(&o.made);
    ky_arena_wipe(&arena);
}

static const struct {
    const char *name;
    struct ky_status (*settle)(struct operation *o, const struct job *job,
                               const struct job_result *r);
} continuations[JOB_FOR_COUNT] = {
    [JOB_FOR_CREDENTIAL] = {"create-credential", operate_credential_made},
    [JOB_FOR_CSR] = {"make-csr", operate_csr_signed},
    [JOB_FOR_DESTROY] = {"set-credential-state", operate_key_destroyed},
    [JOB_FOR_CITIZENS] = {"enroll-citizens", operate_citizens_done},
};

void operate_job_done(struct authority *a, const struct job *job, const struct job_result *r)
{
    struct ky_arena arena;
    struct operation o = {.a = a,
                          .to = job->to,
                          .name = continuations[job->for_what].name,
                          .result = KYSO__V1__OPERATION_RESULT__INIT,
                          .made = KY_BUF_INIT(KY_RESULT_MAX)};

    o.arena = &arena;
    /* Settlement needs no arena, only the answer does: without one the caller hears KY_BUSY. */
    bool has_arena = ky_ok(ky_arena_init(&arena, KY_ARENA_MAX));
    if (!has_arena)
        arena = (struct ky_arena){.exhausted = true};
    finish(&o, continuations[job->for_what].settle(&o, job, r));
    ky_buf_free(&o.made);
    if (has_arena)
        ky_arena_wipe(&arena);
}
