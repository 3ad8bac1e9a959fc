/* SPDX-License-Identifier: Apache-2.0 */
/* kyso user, kyso role: the people who sign operations, and what each may do. */
#include <string.h>

#include "cli.h"
#include "keys.h"

/* A certificate's DER, or where --public-key is given that key's. */
static int read_person(struct cli *cli, struct ky_buf *der, Kyso__V1__AddUser *add)
{
    const char *certificate = cli_get(cli, "--cert");
    const char *bare = cli_get(cli, "--public-key");
    unsigned char *bytes = NULL;
    EVP_PKEY *key = NULL;
    X509 *x = NULL;
    int n = -1;

    if ((certificate != NULL) == (bare != NULL))
        return cli_fail(cli, CLI_USAGE, "give --cert PEM; in a demo --public-key PEM does",
                        "the person's key is not said");
    if (certificate != NULL && keys_load_certificates(certificate, &x, 1) == 1)
        n = i2d_X509(x, &bytes);
    else if (bare != NULL && (key = keys_load_public(bare)) != NULL)
        n = i2d_PUBKEY(key, &bytes);
    if (n > 0)
        ky_buf_put(der, bytes, (size_t)n);
    OPENSSL_free(bytes);
    EVP_PKEY_free(key);
    X509_free(x);
    if (n <= 0 || der->failed)
        return cli_fail(cli, CLI_USAGE, "make one with: kyso operator keygen FILE --certificate NAME",
                        "cannot read %s", certificate != NULL ? certificate : bare);
    *(certificate != NULL ? &add->certificate : &add->public_key) =
        (ProtobufCBinaryData){.len = der->len, .data = der->data};
    return CLI_OK;
}

int cmd_user_add(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__AddUser add = KYSO__V1__ADD_USER__INIT;
    struct ky_buf der = KY_BUF_INIT(16384);
    int rc = read_person(cli, &der, &add);

    add.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    add.role = (Kyso__V1__Role)cli_choice(cli, "--role", 0);
    op.op_case = KYSO__V1__OPERATION__OP_ADD_USER;
    op.add_user = &add;
    if (rc == CLI_OK)
        rc = operator_run(cli, &op);
    ky_buf_free(&der);
    return rc;
}

int cmd_user_list(struct cli *cli)
{
    static const struct output_column columns[] = {
        {"user", "USER"},
        {"role", "ROLE"},
        {"state", "STATE"},
        {"certificate_subject", "CERTIFICATE"},
        {"certificate_until", "UNTIL"},
        {NULL, NULL},
    };
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ListUsers list = KYSO__V1__LIST_USERS__INIT;
    json_t *rows = json_array();

    op.op_case = KYSO__V1__OPERATION__OP_LIST_USERS;
    op.list_users = &list;
    list.removed = cli_has(cli, "--removed");
    do {
        Kyso__V1__OperationResult *r = NULL;
        int rc = operator_call(cli, &op, &r);

        if (rc != CLI_OK) {
            json_decref(rows);
            return rc;
        }
        for (size_t i = 0; i < r->n_users; i++)
            (void)json_array_append_new(rows, show_user(r->users[i]));
        list.from = r->next_from > list.from ? r->next_from : 0;
        kyso__v1__operation_result__free_unpacked(r, NULL);
    } while (list.from != 0);
    output_table(cli, "users", rows, columns);
    return CLI_OK;
}

int cmd_user_remove(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__RemoveUser remove = KYSO__V1__REMOVE_USER__INIT;

    remove.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    op.op_case = KYSO__V1__OPERATION__OP_REMOVE_USER;
    op.remove_user = &remove;
    return operator_run(cli, &op);
}

int cmd_role_set(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__SetRole set = KYSO__V1__SET_ROLE__INIT;

    set.name = (char *)(uintptr_t)cli_get(cli, "NAME");
    set.role = (Kyso__V1__Role)cli_choice(cli, "ROLE", 0);
    op.op_case = KYSO__V1__OPERATION__OP_SET_ROLE;
    op.set_role = &set;
    return operator_run(cli, &op);
}
