/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runs of the authority that serve nobody: a new state with its first operators, and more operators for a state in which too few
 * are left to add one. Whoever starts them has the host and the token's PIN. And of any run: which custodians gave that PIN.
 * Authority's thread, in a turn of the start.
 */
#include "authority_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kyso/wire.h"

#include "certificate.h"
#include "operate.h"

bool boot_provisions(const struct authority *a)
{
    return a->boot.operators.len > 0;
}

/* Each is a name and a certificate; in a demo it may be a bare key. They are administrators. */
static const char *read_operator(const struct authority *a, struct ky_reader *r, struct row_operator *out)
{
    struct certificate_user facts;
    const char *why = NULL;

    *out = (struct row_operator){.operator_id = ky_get_bytes(r, KY_NAME_MAX),
                                 .role = POLICY_ADMINISTRATOR};
    out->public_key = ky_get_bytes(r, KY_CERTIFICATE_MAX);
    if (ky_ok(certificate_user(out->public_key, &facts, &why))) {
        out->certificate = out->public_key;
        out->public_key = facts.spki;
        out->not_before_s = facts.not_before_s;
        out->not_after_s = facts.not_after_s;
    } else if (!authority_is_demo(a)) {
        return "outside a demo each operator needs a certificate";
    }
    if (!operate_user_valid(out, authority_now_s(a)))
        return "an operator's certificate is not valid now";
    return r->failed || !ky_span_is_name(out->operator_id, KY_NAME_MAX) ? "an operator's name is none"
                                                                        : NULL;
}

/* No people have signed it: the record says what was done, and to whom. */
static struct ky_status record_addition(struct authority *a, const struct row_operator *u,
                                        uint64_t *out_index)
{
    struct ledger_operation record = {.name = ky_span_text("add-user-offline"),
                                      .expires_s = authority_now_s(a),
                                      .target = u->operator_id,
                                      .uid = (uint32_t)getuid()};

    ky_sha256(u->certificate.len > 0 ? u->certificate : u->public_key, record.digest);
    struct ky_status status = ky_random(record.nonce, sizeof(record.nonce));
    return ky_ok(status) ? authority_append(a, &ledger_operation_schema, &record,
                                            (struct ky_span){0}, out_index)
                         : status;
}

static bool put_operators(struct authority *a)
{
    struct ky_reader r = ky_reader(a->boot.operators);
    struct row_operator u;
    uint64_t operation = 0;
    const char *why = NULL;

    while (why == NULL && r.left > 0 && !r.failed) {
        why = read_operator(a, &r, &u);
        if (why == NULL)
            why = operate_user_conflict(a, &u);
        if (why == NULL && ((!a->boot.create && !ky_ok(record_addition(a, &u, &operation))) ||
                            !ky_ok(authority_row_put(a, ROW_OPERATOR, 0, &u, operation, NULL))))
            why = "an operator could not be written";
    }
    if (why == NULL && operate_users_missing(a, 0) > 0)
        why = "outside a demo it takes two operators: one alone could not add another";
    if (why != NULL)
        authority_seal(a, why);
    return why == NULL;
}

static bool put_ceremony(struct authority *a)
{
    struct ledger_ceremony m;

    if (a->boot.ceremony.len == 0)
        return true;
    memcpy(m.transcript_sha256, a->boot.ceremony.data, sizeof(m.transcript_sha256));
    return ky_ok(authority_append(a, &ledger_ceremony_schema, &m, (struct ky_span){0}, NULL));
}

/* The database that was made just now, in which nothing was committed: it would bar the next attempt. */
static void take_away(struct authority *a)
{
    char path[4096];

    store_close(&a->store);
    (void)snprintf(path, sizeof(path), "%s/kyso.db", a->config->state_dir);
    (void)unlink(path);
}

/* Who gave the PIN, and to which key: what custodians compared by eye is on the ledger. */
bool provision_activation(struct authority *a)
{
    char text[KY_NAME_MAX + 1] = "";
    struct ledger_activated m;

    if (a->boot.custodians == 0)
        return true;
    memcpy(m.start_sha256, a->boot.activation, sizeof(m.start_sha256));
    for (unsigned i = 0; i < 16; i++)
        if (a->boot.custodians & 1u << i)
            (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", *text ? "," : "", i + 1);
    m.custodians = ky_span_text(text);
    return ky_ok(authority_append(a, &ledger_activated_schema, &m, (struct ky_span){0}, NULL));
}

void provision_create(struct authority *a)
{
    struct ledger_genesis m = {.server_id = authority_server_id(a),
                               .demo = a->config->demo,
                               .ledger_key = a->info.ledger_key};

    if (a->boot.best != NULL) {
        authority_seal(
            a, "the token anchors a ledger already: restore its database, or take another token");
        return;
    }
    if (!boot_open_store(a, STORE_CREATE))
        return;
    memcpy(m.config_sha256, a->config->sha256, sizeof(m.config_sha256));
    if (ky_ok(authority_append(a, &ledger_genesis_schema, &m, (struct ky_span){0}, NULL)) &&
        put_ceremony(a) && put_operators(a) && provision_activation(a))
        a->phase = PHASE_CLOSE; /* snapshot, first anchor, done */
    else
        take_away(a);
}

/* The state is open, and its START recorded. Where enough people could add users, it is theirs to do. */
void provision_add(struct authority *a)
{
    if (operate_users_missing(a, 0) == 0)
        authority_seal(a, "enough people are there who may add users: kyso user add");
    else if (put_operators(a))
        ledger_close(a);
}
