/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso client: who may connect, and sign requests by which key. A client is known by the SHA-256 of its key's SubjectPublicKeyInfo.
 */
#include <string.h>

#include "cli.h"
#include "keys.h"
#include "kyso/alg.h"

#define PINS_MAX 2u

struct pins {
    uint8_t sha256[PINS_MAX][32];
    ProtobufCBinaryData list[PINS_MAX];
    size_t count;
};

/* Appends the SubjectPublicKeyInfo of the key in a file. */
static int read_spki(struct cli *cli, const char *path, const char *next, struct ky_buf *der)
{
    EVP_PKEY *key = keys_load_public(path);
    bool ok = key != NULL && ky_ok(keys_spki(key, der));

    EVP_PKEY_free(key);
    return ok ? CLI_OK : cli_fail(cli, CLI_USAGE, next, "cannot read %s", path);
}

static int pin_certificate(struct cli *cli, const char *path, struct pins *p)
{
    struct ky_buf der = KY_BUF_INIT(4096);
    int rc = read_spki(cli, path, "it must be a PEM or DER certificate", &der);

    if (rc == CLI_OK)
        ky_sha256(ky_buf_span(&der), p->sha256[p->count++]);
    ky_buf_free(&der);
    return rc;
}

/* The key of --request-key, if given; *out points into der. */
static int read_request_key(struct cli *cli, struct ky_buf *der, ProtobufCBinaryData *out)
{
    const char *path = cli_get(cli, "--request-key");
    int rc = path == NULL
                 ? CLI_OK
                 : read_spki(cli, path, "it must be a PEM public key, P-256 or Ed25519", der);

    *out = (ProtobufCBinaryData){.len = der->len, .data = der->data};
    return rc;
}

static int gather_pins(struct cli *cli, struct pins *p)
{
    const char *certificates[PINS_MAX];
    const char *hashes[PINS_MAX];
    size_t c = cli_all(cli, "--cert", certificates, PINS_MAX);
    size_t h = cli_all(cli, "--spki", hashes, PINS_MAX);
    int rc = CLI_OK;

    if (c + h == 0 || c + h > PINS_MAX)
        return cli_fail(cli, CLI_USAGE, "give --cert PEM or --spki HEX, at most two in all",
                        "a client has one or two pinned keys");
    for (size_t i = 0; i < c && rc == CLI_OK; i++)
        rc = pin_certificate(cli, certificates[i], p);
    for (size_t i = 0; i < h && rc == CLI_OK; i++)
        if (cli_hex(hashes[i], p->sha256[p->count++], 32) != 32)
            rc = cli_fail(cli, CLI_USAGE, "it is the SHA-256 of the key's SubjectPublicKeyInfo",
                          "--spki needs 64 hex digits");
    for (size_t i = 0; i < p->count; i++)
        p->list[i] = (ProtobufCBinaryData){.len = 32, .data = p->sha256[i]};
    return rc;
}

int cmd_client_add(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__AddClient add = KYSO__V1__ADD_CLIENT__INIT;
    struct pins pins = {.count = 0};
    const char *delegates[CLI_LIST_MAX];
    const char *subjects[CLI_LIST_MAX];
    struct ky_buf der = KY_BUF_INIT(4096);
    int rc = gather_pins(cli, &pins);

    if (rc == CLI_OK)
        rc = read_request_key(cli, &der, &add.request_key);
    if (rc != CLI_OK)
        goto done;
    add.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    add.n_spki_sha256 = pins.count;
    add.spki_sha256 = pins.list;
    add.n_relying_parties = cli_all(cli, "--delegate", delegates, CLI_LIST_MAX);
    add.relying_parties = (char **)(uintptr_t)delegates;
    add.n_subjects = cli_all(cli, "--subject", subjects, CLI_LIST_MAX);
    add.subjects = (char **)(uintptr_t)subjects;
    add.may_sign = cli_choice(cli, "--may", 1) == 1;
    add.may_approve = !add.may_sign;
    add.allow_totp = add.may_sign && !cli_has(cli, "--no-totp");
    add.allow_approval = add.may_sign && !cli_has(cli, "--no-approval");
    add.max_hashes = cli_number(cli, "--max-hashes", 0);
    op.op_case = KYSO__V1__OPERATION__OP_ADD_CLIENT;
    op.add_client = &add;
    rc = operator_run(cli, &op);
done:
    ky_buf_free(&der);
    return rc;
}

int cmd_client_list(struct cli *cli)
{
    static const struct output_column columns[] = {
        {"client", "CLIENT"},     {"may", "MAY"},
        {"state", "STATE"},       {"proofs", "PROOFS"},
        {"delegate", "DELEGATE"}, {"subjects", "SUBJECTS"},
        {"max_hashes", "HASHES"}, {NULL, NULL},
    };
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ListClients list = KYSO__V1__LIST_CLIENTS__INIT;
    Kyso__V1__OperationResult *r = NULL;
    json_t *rows;
    int rc;

    op.op_case = KYSO__V1__OPERATION__OP_LIST_CLIENTS;
    op.list_clients = &list;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    rows = json_array();
    for (size_t i = 0; i < r->n_clients; i++)
        (void)json_array_append_new(rows, show_client(r->clients[i]));
    output_table(cli, "clients", rows, columns);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return CLI_OK;
}

static int set_state(struct cli *cli, bool suspended, bool removed)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__SetClientState set = KYSO__V1__SET_CLIENT_STATE__INIT;

    set.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    set.suspended = suspended;
    set.removed = removed;
    op.op_case = KYSO__V1__OPERATION__OP_SET_CLIENT_STATE;
    op.set_client_state = &set;
    return operator_run(cli, &op);
}

int cmd_client_suspend(struct cli *cli)
{
    return set_state(cli, true, false);
}

int cmd_client_resume(struct cli *cli)
{
    return set_state(cli, false, false);
}

int cmd_client_remove(struct cli *cli)
{
    return set_state(cli, false, true);
}

int cmd_client_request_key(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__SetClientRequestKey set = KYSO__V1__SET_CLIENT_REQUEST_KEY__INIT;
    struct ky_buf der = KY_BUF_INIT(4096);
    int rc;

    if ((cli_get(cli, "--request-key") != NULL) == cli_has(cli, "--none"))
        return cli_fail(cli, CLI_USAGE, "give --request-key PEM, or --none",
                        "which key is not said");
    set.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    op.op_case = KYSO__V1__OPERATION__OP_SET_CLIENT_REQUEST_KEY;
    op.set_client_request_key = &set;
    rc = read_request_key(cli, &der, &set.request_key);
    if (rc == CLI_OK)
        rc = operator_run(cli, &op);
    ky_buf_free(&der);
    return rc;
}
