/* SPDX-License-Identifier: Apache-2.0 */
/* kyso credential: keys in the HSM, from creation through CSR and certificate to their end. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "keys.h"
#include "kyso/ledger.h"
#include "ledger_source.h"

int cmd_credential_create(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__CreateCredential create = KYSO__V1__CREATE_CREDENTIAL__INIT;
    const char *parties[CLI_LIST_MAX];
    int key_type = cli_choice(cli, "--key-type", KYSO__V1__KEY_TYPE__KEY_TYPE_P256);

    create.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
    create.key_type = (Kyso__V1__KeyType)key_type; /* the choices stand in the numbers' order */
    create.storage = (Kyso__V1__KeyStorage)cli_choice(cli, "--storage", 0);
    create.n_relying_parties = cli_all(cli, "--relying-party", parties, CLI_LIST_MAX);
    create.relying_parties = (char **)(uintptr_t)parties;
    create.max_hashes = cli_number(cli, "--max-hashes", 0);
    op.op_case = KYSO__V1__OPERATION__OP_CREATE_CREDENTIAL;
    op.create_credential = &create;
    return operator_run(cli, &op);
}

/* "30d", "30" or "4w"; 0 when it is none of them. */
static uint32_t days_of(const char *text)
{
    char *end = NULL;
    unsigned long n = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;

    if (n == 0 || n > 36500 || (end[0] != '\0' && end[1] != '\0'))
        return 0;
    return end[0] == '\0' || end[0] == 'd' ? (uint32_t)n : end[0] == 'w' ? 7 * (uint32_t)n : 0;
}

int cmd_credential_list(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ListAllCredentials list = KYSO__V1__LIST_ALL_CREDENTIALS__INIT;
    const char *subject = cli_get(cli, "--subject"), *expiring = cli_get(cli, "--expiring");
    json_t *rows;
    int rc = CLI_OK;

    if (subject != NULL)
        list.subject_id = (char *)(uintptr_t)subject;
    else if (expiring != NULL)
        list.expiring_days = days_of(expiring);
    if ((subject == NULL) == (expiring == NULL) || (subject == NULL && list.expiring_days == 0))
        return cli_fail(cli, CLI_USAGE, "say whose: --subject ID, or --expiring DAYS, such as 30d",
                        "which credentials?");
    op.op_case = KYSO__V1__OPERATION__OP_LIST_CREDENTIALS;
    op.list_credentials = &list;
    rows = json_array();
    do {
        Kyso__V1__OperationResult *r = NULL;

        rc = operator_call(cli, &op, &r);
        list.from = 0;
        if (rc != CLI_OK)
            break;
        for (size_t i = 0; i < r->n_credentials; i++)
            (void)json_array_append_new(rows, show_credential(r->credentials[i], cli->json));
        list.from = r->next_from;
        kyso__v1__operation_result__free_unpacked(r, NULL);
    } while (list.from != 0);
    if (rc == CLI_OK)
        show_credentials(cli, expiring != NULL, rows);
    else
        json_decref(rows);
    return rc;
}

static int write_chain(struct cli *cli, const Kyso__V1__Credential *c, const char *path)
{
    struct ky_buf pem = KY_BUF_INIT(256u * 1024u);
    bool ok = keys_put_pem(&pem, "CERTIFICATE", KY_SPAN(c->certificate.data, c->certificate.len));

    for (size_t i = 0; i < c->n_chain && ok; i++)
        ok = keys_put_pem(&pem, "CERTIFICATE", KY_SPAN(c->chain[i].data, c->chain[i].len));
    ok = ok && ky_ok(file_write(path, ky_buf_span(&pem), 0644));
    ky_buf_free(&pem);
    return ok ? CLI_OK
              : cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s",
                         path);
}

int cmd_credential_show(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ShowCredential show = KYSO__V1__SHOW_CREDENTIAL__INIT;
    Kyso__V1__OperationResult *r = NULL;
    const char *path = cli_get(cli, "--pem");
    int rc;

    show.credential_id = (char *)(uintptr_t)cli_get(cli, "ID");
    op.op_case = KYSO__V1__OPERATION__OP_SHOW_CREDENTIAL;
    op.show_credential = &show;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    if (r->n_credentials != 1)
        rc = cli_fail(cli, CLI_FAILED, "are kyso and kysod of the same version?",
                      "the server showed no credential");
    else if (path != NULL && r->credentials[0]->certificate.len == 0)
        rc = cli_fail(cli, CLI_FAILED, "import one: kyso credential import-cert",
                      "it has no certificate yet");
    else if (path != NULL)
        rc = write_chain(cli, r->credentials[0], path);
    if (rc == CLI_OK)
        output_object(cli, show_credential(r->credentials[0], cli->json));
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

int cmd_credential_csr(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__MakeCsr make = KYSO__V1__MAKE_CSR__INIT;
    Kyso__V1__OperationResult *r = NULL;
    struct ky_buf pem = KY_BUF_INIT(64u * 1024u);
    const char *path = cli_get(cli, "--output");
    int rc;

    make.credential_id = (char *)(uintptr_t)cli_get(cli, "ID");
    make.subject_dn = (char *)(uintptr_t)cli_get(cli, "--dn");
    op.op_case = KYSO__V1__OPERATION__OP_MAKE_CSR;
    op.make_csr = &make;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    if (r->csr.len == 0 || !keys_put_pem(&pem, "CERTIFICATE REQUEST", KY_SPAN(r->csr.data, r->csr.len)))
        rc = cli_fail(cli, CLI_FAILED, "see the server's log", "the server made no request");
    else if (path != NULL && !ky_ok(file_write(path, ky_buf_span(&pem), 0644)))
        rc = cli_fail(cli, CLI_FAILED, "check the folder and its rights", "cannot write %s", path);
    else if (cli->json || path != NULL)
        output_object(cli, json_pack("{s:s,s:s,s:s*,s:s%*}", "message", r->message, "credential",
                                     make.credential_id, "file", path, "csr",
                                     cli->json ? (const char *)pem.data : NULL,
                                     cli->json ? pem.len : 0));
    else
        (void)fwrite(pem.data, 1, pem.len, cli->out);
    ky_buf_free(&pem);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

struct chain {
    X509 *certificates[CLI_CHAIN_MAX + 1];      /* owned; the credential's first */
    ProtobufCBinaryData der[CLI_CHAIN_MAX + 1]; /* owned by OpenSSL's allocator */
    size_t count;
};

static void chain_wipe(struct chain *c)
{
    for (size_t i = 0; i < c->count; i++) {
        OPENSSL_free(c->der[i].data);
        X509_free(c->certificates[i]);
    }
}

static int chain_load(struct cli *cli, struct chain *c)
{
    const char *files[CLI_CHAIN_MAX];
    size_t n = cli_all(cli, "--chain", files, CLI_CHAIN_MAX);
    const char *path = cli_get(cli, "CERTIFICATE");

    for (size_t i = 0; i <= n; path = i < n ? files[i] : NULL, i++) {
        size_t got =
            keys_load_certificates(path, c->certificates + c->count, CLI_CHAIN_MAX + 1 - c->count);

        if (got == 0)
            return cli_fail(cli, CLI_USAGE,
                            "it must be a PEM or DER certificate; at most 8 in the chain",
                            "cannot read %s", path);
        c->count += got;
    }
    for (size_t i = 0; i < c->count; i++) {
        int len = i2d_X509(c->certificates[i], &c->der[i].data);

        if (len <= 0)
            return cli_fail(cli, CLI_FAILED, NULL, "a certificate cannot be encoded");
        c->der[i].len = (size_t)len;
    }
    return CLI_OK;
}

int cmd_credential_import(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ImportCertificate import = KYSO__V1__IMPORT_CERTIFICATE__INIT;
    struct chain c = {.count = 0};
    int rc = chain_load(cli, &c);

    if (rc == CLI_OK) {
        import.credential_id = (char *)(uintptr_t)cli_get(cli, "ID");
        import.certificate = c.der[0];
        import.n_chain = c.count - 1;
        import.chain = c.der + 1;
        op.op_case = KYSO__V1__OPERATION__OP_IMPORT_CERTIFICATE;
        op.import_certificate = &import;
        rc = operator_run(cli, &op);
    }
    chain_wipe(&c);
    return rc;
}

static int set_state(struct cli *cli, Kyso__V1__CredentialState state)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__SetCredentialState set = KYSO__V1__SET_CREDENTIAL_STATE__INIT;
    const char *reason = cli_get(cli, "--reason");

    set.credential_id = (char *)(uintptr_t)cli_get(cli, "ID");
    set.state = state;
    if (reason != NULL)
        set.reason = (char *)(uintptr_t)reason;
    op.op_case = KYSO__V1__OPERATION__OP_SET_CREDENTIAL_STATE;
    op.set_credential_state = &set;
    return operator_run(cli, &op);
}

int cmd_credential_suspend(struct cli *cli)
{
    return set_state(cli, KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_SUSPENDED);
}

int cmd_credential_resume(struct cli *cli)
{
    return set_state(cli, KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_ACTIVE);
}

int cmd_credential_revoke(struct cli *cli)
{
    return set_state(cli, KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_REVOKED);
}

int cmd_credential_destroy(struct cli *cli)
{
    if (!cli_has(cli, "--yes"))
        return cli_fail(cli, CLI_USAGE, "if that is meant, repeat the command with --yes",
                        "destroying a key cannot be undone");
    return set_state(cli, KYSO__V1__CREDENTIAL_STATE__CREDENTIAL_STATE_DESTROYED);
}

/* --- what backups must forget --- */

struct destroyed_list {
    json_t *rows;
    uint64_t since_us;
};

static int take_destroyed(void *arg, uint64_t index, struct ky_span leaf, struct ky_span private_data)
{
    static const char *const storages[] = {"unknown", "wrapped", "resident"};
    struct destroyed_list *list = arg;
    struct ledger_destroyed d;
    struct ledger_leaf l;
    char when[32];

    (void)index;
    (void)private_data;
    if (!ky_ok(ledger_leaf_parse(leaf, &l)) || l.type != LEDGER_DESTROYED ||
        l.time_us < list->since_us || !ky_ok(ky_msg_decode(&ledger_destroyed_schema, l.body, &d)))
        return CLI_OK;
    (void)json_array_append_new(
        list->rows, json_pack("{s:s,s:i,s:s,s:o}", "destroyed",
                              output_time((int64_t)(l.time_us / 1000000u), when), "credential_row",
                              (int)d.credential_row, "storage", storages[d.storage < 3 ? d.storage : 0],
                              "blob_sha256", output_hex(KY_SPAN_OF(d.blob_sha256))));
    return CLI_OK;
}

int cmd_credential_destroyed(struct cli *cli)
{
    static const struct output_column columns[] = {{"destroyed", "DESTROYED"},
                                                   {"credential_row", "ROW"},
                                                   {"storage", "STORAGE"},
                                                   {"blob_sha256", "SHA-256 OF THE BLOB"},
                                                   {NULL, NULL}};
    const char *since = cli_get(cli, "--since");
    struct tm day = {.tm_year = 0};
    struct destroyed_list list = {.rows = NULL};
    struct ledger_tail tail;
    int rc;

    if (since != NULL) {
        const char *end = strptime(since, "%Y-%m-%d", &day);
        if (end == NULL || *end != '\0')
            return cli_fail(cli, CLI_USAGE, "a day such as 2026-01-31, UTC", "--since %s is no day",
                            since);
        list.since_us = (uint64_t)timegm(&day) * 1000000u;
    }
    ledger_tail_init(&tail);
    list.rows = json_array();
    rc = ledger_server_tail(cli, &tail);
    if (rc == CLI_OK)
        rc = ledger_server_read(cli, 0, tail.size, take_destroyed, &list);
    if (rc == CLI_OK)
        output_table(cli, "destroyed", json_incref(list.rows), columns);
    json_decref(list.rows);
    ledger_tail_wipe(&tail);
    return rc;
}
