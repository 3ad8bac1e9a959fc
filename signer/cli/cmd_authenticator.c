/* SPDX-License-Identifier: Apache-2.0 */
/* kyso authenticator: what a person proves their will with: code generators and devices. */
#include <stdlib.h>
#include <string.h>

#include <liboath/oath.h>

#include "enroll.h"
#include "keys.h"
#include "kyso/alg.h"
#include "qr.h"

#define SPKI_MAX         256u
#define CONFIRM_CODE_MAX 64u

/* Base32 to bytes in locked memory. */
static int decode_seed(struct cli *cli, struct ky_secret *out_seed)
{
    struct ky_secret text = {.len = 0};
    struct ky_status st = cli_secret(cli, "--seed", &text);
    char *raw = NULL;
    size_t n = 0;
    int rc = CLI_OK;

    if (st.code == KY_NOT_FOUND)
        return CLI_OK;
    if (!ky_ok(st) || oath_base32_decode((const char *)text.bytes, text.len, &raw, &n) != OATH_OK ||
        !ky_ok(ky_secret_set(out_seed, KY_SPAN((const uint8_t *)raw, n))))
        rc =
            cli_fail(cli, CLI_USAGE, "16 to 64 bytes in base32, or @FILE", "--seed cannot be read");
    if (raw != NULL) {
        ky_wipe(raw, n);
        free(raw);
    }
    ky_secret_wipe(&text);
    return rc;
}

static int show_enrolled_totp(struct cli *cli, const Kyso__V1__OperationResult *r)
{
    json_t *o = r->n_authenticators == 1 ? show_authenticator(r->authenticators[0]) : json_object();
    bool seed = r->otpauth_uri != NULL && r->otpauth_uri[0] != '\0';

    (void)json_object_set_new(o, "message", json_string(r->message));
    if (r->confirmation_code != NULL && r->confirmation_code[0] != '\0')
        (void)json_object_set_new(o, "confirmation_code", json_string(r->confirmation_code));
    if (seed && cli_has(cli, "--show"))
        (void)json_object_set_new(o, "otpauth_uri", json_string(r->otpauth_uri));
    output_object(cli, o);
    if (cli->json || !cli_has(cli, "--show"))
        return CLI_OK;
    if (!seed)
        return cli_fail(
            cli, CLI_FAILED,
            "only a server whose state is marked demo gives it; the person gets it sealed",
            "enrolled, but the server did not return the seed");
    return qr_draw(cli->out, r->otpauth_uri, output_is_terminal(cli))
               ? CLI_OK
               : cli_fail(cli, CLI_FAILED, "type the otpauth_uri instead",
                          "the QR code cannot be drawn");
}

/* --seal-to and --output: who may read what leaves the server, and where it goes. */
static int read_sealing(struct cli *cli, ProtobufCBinaryData *out_seal_to)
{
    int rc = enroll_reader(cli, cli_get(cli, "--seal-to"), out_seal_to);

    if (rc == CLI_OK && (out_seal_to->len > 0) != (cli_get(cli, "--output") != NULL))
        rc = cli_fail(cli, CLI_USAGE, "--output FILE takes the envelope",
                      "--seal-to and --output go together");
    return rc;
}

static int write_sealed(struct cli *cli, const Kyso__V1__OperationResult *r)
{
    if (r->sealed_seed.len == 0 ||
        ky_ok(file_write(cli_get(cli, "--output"),
                         KY_SPAN(r->sealed_seed.data, r->sealed_seed.len), 0600)))
        return CLI_OK;
    return cli_fail(cli, CLI_FAILED, "remove the authenticator and enrol another",
                    "enrolled, but cannot write %s", cli_get(cli, "--output"));
}

int cmd_authenticator_totp(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__EnrollTotp enroll = KYSO__V1__ENROLL_TOTP__INIT;
    Kyso__V1__OperationResult *r = NULL;
    struct ky_secret seed = {.len = 0};
    int rc = decode_seed(cli, &seed);

    if (rc == CLI_OK) {
        enroll.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
        enroll.hash = (Kyso__V1__OtpHash)(cli_choice(cli, "--hash", 1) - 1);
        enroll.digits = cli_number(cli, "--digits", 6);
        enroll.seed = (ProtobufCBinaryData){.len = seed.len, .data = seed.bytes};
        enroll.show_seed = cli_has(cli, "--show");
        rc = read_sealing(cli, &enroll.seal_to);
    }
    if (rc == CLI_OK && seed.len > 0 && cli_get(cli, "--propose") != NULL)
        rc = cli_fail(cli, CLI_USAGE, "name both operators and their keys here",
                      "a seed is not proposed: the file would hold it");
    if (rc == CLI_OK) {
        op.op_case = KYSO__V1__OPERATION__OP_ENROLL_TOTP;
        op.enroll_totp = &enroll;
        rc = operator_call(cli, &op, &r);
    }
    ky_secret_wipe(&seed);
    free(enroll.seal_to.data);
    if (rc != CLI_OK)
        return rc;
    rc = write_sealed(cli, r);
    if (rc == CLI_OK)
        rc = show_enrolled_totp(cli, r);
    if (r->seed.data != NULL)
        ky_wipe(r->seed.data, r->seed.len);
    if (r->otpauth_uri != NULL)
        ky_wipe(r->otpauth_uri, strlen(r->otpauth_uri));
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

/* The device's public key: given, or made here with its private half in a file. */
static int device_key(struct cli *cli, EVP_PKEY **out_key)
{
    const char *given = cli_get(cli, "--public-key");
    const char *made = cli_get(cli, "--generate");
    struct ky_status st;

    if ((given == NULL) == (made == NULL))
        return cli_fail(cli, CLI_USAGE, "give --public-key PEM, or --generate KEYFILE for a demo",
                        "one device key is needed");
    *out_key = given != NULL
                   ? keys_load_public(given)
                   : keys_generate((enum keys_type)cli_choice(cli, "--key-type", KEYS_P256));
    if (*out_key == NULL)
        return cli_fail(cli, CLI_USAGE, "it must be a PEM public key", "cannot %s %s",
                        given != NULL ? "read" : "make", given != NULL ? given : made);
    if (keys_type_of(*out_key) == KEYS_OTHER)
        return cli_fail(cli, CLI_USAGE, "devices sign with P-256 (ES256) or Ed25519",
                        "%s is of another kind", given);
    if (made == NULL)
        return CLI_OK;
    st = keys_save_private(made, *out_key);
    if (st.code == KY_CONFLICT)
        return cli_fail(cli, CLI_FAILED, "name another file", "%s exists already", made);
    return ky_ok(st) ? CLI_OK
                     : cli_fail(cli, CLI_FAILED, "check the folder and its rights",
                                "cannot write %s", made);
}

/*
 * An existing device vouches: its signature over SHA-256("kyso.v1.enroll" 0 subject 0 public key).
 */
static int vouch(struct cli *cli, const char *subject, struct ky_span spki,
                 struct ky_buf *out_signature)
{
    const char *path = cli_get(cli, "--by-key");
    EVP_PKEY *key = path != NULL ? keys_load_private(path) : NULL;
    struct ky_buf b = KY_BUF_INIT(1024);
    uint8_t challenge[32];
    bool ok;

    ky_buf_put(&b, "kyso.v1.enroll", 15);
    ky_buf_put(&b, subject, strlen(subject) + 1);
    ky_buf_put(&b, spki.data, spki.len);
    ky_sha256(ky_buf_span(&b), challenge);
    ok = key != NULL && !b.failed && ky_ok(keys_sign(key, KY_SPAN_OF(challenge), out_signature));
    ky_buf_free(&b);
    EVP_PKEY_free(key);
    return ok ? CLI_OK
              : cli_fail(cli, CLI_USAGE, "give the existing device's private key with --by-key PEM",
                         "--by needs its key");
}

int cmd_authenticator_device(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__EnrollDevice enroll = KYSO__V1__ENROLL_DEVICE__INIT;
    struct ky_buf spki = KY_BUF_INIT(SPKI_MAX);
    struct ky_buf signature = KY_BUF_INIT(SPKI_MAX);
    const char *label = cli_get(cli, "--label");
    const char *by = cli_get(cli, "--by");
    EVP_PKEY *key = NULL;
    int rc = device_key(cli, &key);

    if (rc == CLI_OK && !ky_ok(keys_spki(key, &spki)))
        rc = cli_fail(cli, CLI_FAILED, NULL, "the public key cannot be encoded");
    enroll.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
    if (rc == CLI_OK && by != NULL)
        rc = vouch(cli, enroll.subject_id, ky_buf_span(&spki), &signature);
    if (rc == CLI_OK) {
        enroll.key_type = (Kyso__V1__DeviceKeyType)keys_type_of(key);
        enroll.public_key = (ProtobufCBinaryData){.len = spki.len, .data = spki.data};
        if (label != NULL)
            enroll.label = (char *)(uintptr_t)label;
        if (by != NULL)
            enroll.by_authenticator_id = (char *)(uintptr_t)by;
        enroll.by_signature = (ProtobufCBinaryData){.len = signature.len, .data = signature.data};
        op.op_case = KYSO__V1__OPERATION__OP_ENROLL_DEVICE;
        op.enroll_device = &enroll;
        rc = operator_run(cli, &op);
    }
    ky_buf_free(&signature);
    ky_buf_free(&spki);
    EVP_PKEY_free(key);
    return rc;
}

int cmd_authenticator_passkey(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__EnrollDevice enroll = KYSO__V1__ENROLL_DEVICE__INIT;
    Kyso__V1__OperationResult *r = NULL;
    const char *label = cli_get(cli, "--label");
    int rc = read_sealing(cli, &enroll.seal_to);

    enroll.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
    enroll.key_type = KYSO__V1__DEVICE_KEY_TYPE__DEVICE_KEY_TYPE_PASSKEY;
    if (label != NULL)
        enroll.label = (char *)(uintptr_t)label;
    op.op_case = KYSO__V1__OPERATION__OP_ENROLL_DEVICE;
    op.enroll_device = &enroll;
    if (rc == CLI_OK)
        rc = operator_call(cli, &op, &r);
    free(enroll.seal_to.data);
    if (rc != CLI_OK)
        return rc;
    rc = write_sealed(cli, r);
    if (rc == CLI_OK)
        operator_print(cli, r);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return rc;
}

int cmd_authenticator_confirm(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ConfirmAuthenticator confirm = KYSO__V1__CONFIRM_AUTHENTICATOR__INIT;
    struct ky_secret given = {.bytes = NULL};
    char code[CONFIRM_CODE_MAX + 1] = "";
    int rc;

    if (!ky_ok(cli_secret(cli, "CODE", &given)) || given.len > CONFIRM_CODE_MAX) {
        rc = cli_fail(cli, CLI_USAGE, "give the code, or @FILE that holds it", "cannot read the code");
    } else {
        memcpy(code, given.bytes, given.len);
        confirm.authenticator_id = (char *)(uintptr_t)cli_get(cli, "ID");
        confirm.code = code;
        op.op_case = KYSO__V1__OPERATION__OP_CONFIRM_AUTHENTICATOR;
        op.confirm_authenticator = &confirm;
        rc = operator_run(cli, &op);
    }
    ky_secret_wipe(&given);
    ky_wipe(code, sizeof code);
    return rc;
}

int cmd_authenticator_list(struct cli *cli)
{
    static const struct output_column columns[] = {
        {"authenticator", "AUTHENTICATOR"},
        {"kind", "KIND"},
        {"state", "STATE"},
        {"label", "LABEL"},
        {NULL, NULL},
    };
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ListAuthenticators list = KYSO__V1__LIST_AUTHENTICATORS__INIT;
    Kyso__V1__OperationResult *r = NULL;
    json_t *rows;
    int rc;

    list.subject_id = (char *)(uintptr_t)cli_get(cli, "--subject");
    op.op_case = KYSO__V1__OPERATION__OP_LIST_AUTHENTICATORS;
    op.list_authenticators = &list;
    rc = operator_call(cli, &op, &r);
    if (rc != CLI_OK)
        return rc;
    rows = json_array();
    for (size_t i = 0; i < r->n_authenticators; i++)
        (void)json_array_append_new(rows, show_authenticator(r->authenticators[i]));
    output_table(cli, "authenticators", rows, columns);
    kyso__v1__operation_result__free_unpacked(r, NULL);
    return CLI_OK;
}

int cmd_authenticator_remove(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__RemoveAuthenticator remove_it = KYSO__V1__REMOVE_AUTHENTICATOR__INIT;

    remove_it.authenticator_id = (char *)(uintptr_t)cli_get(cli, "ID");
    op.op_case = KYSO__V1__OPERATION__OP_REMOVE_AUTHENTICATOR;
    op.remove_authenticator = &remove_it;
    return operator_run(cli, &op);
}
