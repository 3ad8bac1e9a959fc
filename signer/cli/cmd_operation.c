/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso operation: what somebody proposed with --propose, shown field by field from the bytes that are
 * signed, and signed by somebody else. The server verifies everything again.
 */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "kyso/alg.h"

#define SHOWN_BYTES_MAX 64u

static int read_proposal(struct cli *cli, Kyso__V1__ExecuteRequest **out_request,
                         Kyso__V1__Operation **out_operation)
{
    const char *path = cli_get(cli, "FILE");
    struct ky_buf file = KY_BUF_INIT(CLI_OPERATION_MAX + 4096);
    struct ky_status st = file_read(path, CLI_OPERATION_MAX + 4096, &file);

    if (ky_ok(st))
        *out_request = kyso__v1__execute_request__unpack(NULL, file.len, file.data);
    if (*out_request != NULL)
        *out_operation = kyso__v1__operation__unpack(NULL, (*out_request)->operation.len,
                                                     (*out_request)->operation.data);
    ky_buf_free(&file);
    if (*out_operation != NULL && (*out_operation)->op_case != KYSO__V1__OPERATION__OP__NOT_SET &&
        (*out_operation)->base.n_unknown_fields == 0)
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "it is written by --propose FILE, by the same version of kyso",
                    "%s is no proposal", path);
}

/* Short bytes in hex; long ones, and secrets, by their SHA-256. */
static json_t *show_bytes(const ProtobufCFieldDescriptor *f, struct ky_span bytes)
{
    uint8_t hash[32];
    char text[96] = "sha256:";

    if (bytes.len <= SHOWN_BYTES_MAX && strcmp(f->name, "seed") != 0)
        return output_hex(bytes);
    ky_sha256(bytes, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(text + 7 + 2 * i, 3, "%02x", hash[i]);
    return json_string(text);
}

static void show_fields(json_t *o, const ProtobufCMessage *m);

static json_t *show_value(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)at);
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = at;
        return show_bytes(f, KY_SPAN(b->data, b->len));
    }
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *v =
            protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)at);
        return v != NULL ? json_string(v->name) : json_integer(*(const int *)at);
    }
    case PROTOBUF_C_TYPE_UINT32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
        return json_integer((json_int_t) * (const uint64_t *)at);
    case PROTOBUF_C_TYPE_MESSAGE: {
        json_t *o = json_object();
        show_fields(o, *(ProtobufCMessage *const *)at);
        return o;
    }
    default:
        return json_string("not shown: ask kyso of a newer version");
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_BYTES     ? sizeof(ProtobufCBinaryData)
           : f->type == PROTOBUF_C_TYPE_STRING  ? sizeof(char *)
           : f->type == PROTOBUF_C_TYPE_MESSAGE ? sizeof(void *)
                                                : sizeof(uint32_t);
}

/* Every field, also one that was left at its default: that is a decision, too. */
static void show_fields(json_t *o, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const uint8_t *at = (const uint8_t *)m + f->offset;
        json_t *v;

        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)(const void *)((const uint8_t *)m + f->quantifier_offset);
            const uint8_t *items = *(const uint8_t *const *)(const void *)at;

            v = json_array();
            for (size_t k = 0; k < n; k++)
                (void)json_array_append_new(v, show_value(f, items + k * size_of(f)));
        } else {
            v = show_value(f, at);
        }
        (void)json_object_set_new(o, f->name, v);
        if (strcmp(f->name, "certificate") == 0 || strcmp(f->name, "seal_to") == 0) {
            const ProtobufCBinaryData *der = (const void *)at;
            show_certificate(o, KY_SPAN(der->data, der->len));
        }
    }
}

static json_t *show_proposal(const Kyso__V1__ExecuteRequest *request, const Kyso__V1__Operation *op)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(op->base.descriptor, (unsigned)op->op_case);
    json_t *names = json_array();
    json_t *o = json_object();
    char line[160], until[32];
    uint8_t digest[32];

    (void)snprintf(line, sizeof line, "Proposed: %s", f->name);
    for (char *p = line; *p != '\0'; p++)
        *p = *p == '_' ? ' ' : *p;
    for (size_t i = 0; i < request->n_signatures; i++)
        (void)json_array_append_new(names, json_string(request->signatures[i]->operator_id));
    ky_sha256(KY_SPAN(request->operation.data, request->operation.len), digest);
    (void)json_object_set_new(o, "message", json_string(line));
    /* every member of the oneof is a pointer to a message */
    show_fields(o, *(ProtobufCMessage *const *)(const void *)((const uint8_t *)op + f->offset));
    (void)json_object_set_new(o, "server", json_string(op->server_id));
    (void)json_object_set_new(o, "until", json_string(output_time(op->expires, until)));
    (void)json_object_set_new(o, "signed_by", names);
    (void)json_object_set_new(o, "digest", output_hex(KY_SPAN_OF(digest)));
    return o;
}

static int with_proposal(struct cli *cli, int (*then)(struct cli *cli, Kyso__V1__ExecuteRequest *request,
                                                      const Kyso__V1__Operation *op))
{
    Kyso__V1__ExecuteRequest *request = NULL;
    Kyso__V1__Operation *op = NULL;
    int rc = read_proposal(cli, &request, &op);

    if (rc == CLI_OK)
        rc = then(cli, request, op);
    if (op != NULL)
        kyso__v1__operation__free_unpacked(op, NULL);
    if (request != NULL)
        kyso__v1__execute_request__free_unpacked(request, NULL);
    return rc;
}

static int show(struct cli *cli, Kyso__V1__ExecuteRequest *request, const Kyso__V1__Operation *op)
{
    output_object(cli, show_proposal(request, op));
    return CLI_OK;
}

/* Nobody signs what they have not seen: it is shown and asked for, or the digest of what was shown is given. */
static int agree(struct cli *cli, const Kyso__V1__ExecuteRequest *request, const Kyso__V1__Operation *op)
{
    const char *given = cli_get(cli, "--digest");
    uint8_t want[32], digest[32];
    char line[8] = "";

    if (given != NULL) {
        ky_sha256(KY_SPAN(request->operation.data, request->operation.len), digest);
        return cli_hex(given, want, sizeof want) == (int)sizeof want &&
                       ky_span_eq(KY_SPAN_OF(want), KY_SPAN_OF(digest))
                   ? CLI_OK
                   : cli_fail(cli, CLI_UNVERIFIED, "see: kyso operation show FILE",
                              "the proposal has another digest; nothing is signed");
    }
    if (cli->json || isatty(STDIN_FILENO) != 1 || !output_is_terminal(cli))
        return cli_fail(cli, CLI_USAGE, "read it by kyso operation show FILE, then give --digest HEX",
                        "nobody has said that this is what they approve");
    output_object(cli, show_proposal(request, op));
    (void)fflush(cli->out);
    (void)fprintf(cli->err, "Type yes to sign exactly this: ");
    if (fgets(line, sizeof line, stdin) == NULL || strcmp(line, "yes\n") != 0)
        return cli_fail(cli, CLI_FAILED, NULL, "nothing is signed");
    return CLI_OK;
}

static int approve(struct cli *cli, Kyso__V1__ExecuteRequest *request, const Kyso__V1__Operation *op)
{
    int rc = agree(cli, request, op);

    return rc == CLI_OK ? operator_approve(cli, request) : rc;
}

int cmd_operation_show(struct cli *cli)
{
    return with_proposal(cli, show);
}

int cmd_operation_approve(struct cli *cli)
{
    return with_proposal(cli, approve);
}
