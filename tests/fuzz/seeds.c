/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes what a campaign begins with: for each schema, message and method one example in the form
 * that its target reads, every field filled. fuzz_seeds FOLDER writes FOLDER/TARGET/NAME.
 */
#include <string.h>
#include <sys/stat.h>

#include "all_schemas.h"
#include "certificates.h"
#include "checkpoint.h"
#include "cli.h"
#include "fuzz.h"
#include "kyso/record.h"
#include "ledger_json.h"
#include "requests.h"
#include "spki.h"

#define VARIANTS 3u /* of a message: which member of a oneof it has */

static void seed(const char *folder, const char *target, const char *name, unsigned number,
                 const struct ky_buf *bytes)
{
    char path[4096];

    FUZZ_CHECK(!bytes->failed);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, target);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof(path), "%s/%s/seed-%s-%u", folder, target, name, number);
    FILE *f = fopen(path, "we");
    FUZZ_CHECK(f != NULL && fwrite(bytes->data, 1, bytes->len, f) == bytes->len && fclose(f) == 0);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* P-256's base point: a public key that anybody may have. */
static const uint8_t point[65] = {
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,
    0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
    0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
    0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

static size_t make_spki(uint8_t key_type, uint8_t der[KY_SPKI_MAX])
{
    static const uint8_t exponent[3] = {1, 0, 1};
    const struct ky_key_info *info = ky_key_info(key_type);
    uint8_t bytes[512] = {0};
    size_t n = 0;

    memset(bytes, 0xc5, sizeof(bytes));
    if (info->scheme == KY_RSA_PKCS1) {
        FUZZ_CHECK(ky_ok(hsm_spki_from_rsa(key_type, KY_SPAN(bytes, info->bits / 8u),
                                           KY_SPAN_OF(exponent), der, &n)));
        return n;
    }
    bytes[0] = 4;
    struct ky_span p = key_type == KY_KEY_P256   ? KY_SPAN_OF(point)
                       : key_type == KY_KEY_P384 ? KY_SPAN(bytes, 97)
                                                 : KY_SPAN(bytes + 1, 32);
    FUZZ_CHECK(ky_ok(hsm_spki_from_point(key_type, p, der, &n)));
    return n;
}

/* --- records ---------------------------------------------------------------------------------- */

static struct ky_span example(const char *field)
{
    static const struct {
        const char *field, *text;
    } texts[] = {
        {"spkis", "0123456789abcdef0123456789abcdef"},
        {"hashes", "0123456789abcdef0123456789abcdef"},
        {"digests", "0123456789abcdef0123456789abcdef"},
        {"sad", "0123456789abcdef0123456789abcdef"},
        {"proof_secret", "123456"},
        {"matching_code", "42"},
        {"choices", "\2\0\0\00042"},
        {"algorithms", "\1\1\2\2"},
        {"label", "state"},
        {"transaction_id", "t0123456789abcdef0123456789abcdef"},
        {"signatures", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
    };
    static uint8_t spki[KY_SPKI_MAX];

    if (strcmp(field, "public_key") == 0 || strcmp(field, "device_key") == 0)
        return KY_SPAN(spki, make_spki(KY_KEY_P256, spki));
    for (size_t i = 0; i < FUZZ_COUNT(texts); i++)
        if (strcmp(field, texts[i].field) == 0)
            return strcmp(field, "choices") == 0 ? KY_SPAN((const uint8_t *)texts[i].text, 6)
                                                 : ky_span_text(texts[i].text);
    return ky_span_text("id-1");
}

static void put_example(const struct ky_schema *s, struct ky_buf *out)
{
    static _Alignas(max_align_t) uint8_t msg[1024];

    memset(msg, 0, s->size);
    for (size_t i = 0; i < s->field_count; i++) {
        const struct ky_field *f = &s->fields[i];
        struct ky_span text = example(f->name);
        bool span = f->type == KY_F_BYTES || f->type == KY_F_TEXT;

        if (span)
            memcpy(msg + f->offset, &text, sizeof(text));
        else
            msg[f->offset] = strcmp(f->name, "sig_len") == 0 ? 64 : 1;
    }
    FUZZ_CHECK(ky_ok(ky_msg_encode(s, msg, out)));
}

static void records(const char *folder, struct ky_buf *b)
{
    for (uint8_t i = 0; i < FUZZ_COUNT(families); i++)
        for (uint8_t k = 0; k < families[i].count; k++) {
            ky_buf_reset(b);
            ky_put_u8(b, i);
            ky_put_u8(b, k);
            put_example(families[i].schemas[k], b);
            seed(folder, "msg", families[i].schemas[k]->name, i, b);
        }
}

static void put_record(const struct ky_schema *s, struct ky_buf *b)
{
    struct ky_buf body = KY_BUF_INIT(KY_RECORD_MAX);

    put_example(s, &body);
    ky_put_u16(b, (uint16_t)(KY_RECORD_HEADER + body.len)); /* a piece of the target's input */
    fuzz_put_record(b, s->type, 0, 7, ky_buf_span(&body));
    ky_buf_free(&body);
}

static void channels(const char *folder, struct ky_buf *b)
{
    for (uint8_t job = 0; job < 2; job++) {
        ky_buf_reset(b);
        ky_put_u8(b, job);
        for (size_t k = 0; k < families[job].count; k++) {
            ky_put_u8(b, 1);
            put_record(families[job].schemas[k], b);
        }
        seed(folder, "channel", "all", job, b);
    }
}

static void leaves(const char *folder, struct ky_buf *b)
{
    for (size_t i = 0; i < FUZZ_COUNT(ledger_schemas); i++) {
        ky_buf_reset(b);
        ky_put_u16(b, 4); /* private bytes */
        ky_buf_put(b, "salt", 4);
        ky_put_u64(b, 0);
        ky_put_u64(b, UINT64_C(1800000000000000));
        ky_put_u16(b, ledger_schemas[i]->type);
        put_example(ledger_schemas[i], b);
        seed(folder, "ledger", ledger_schemas[i]->name, 0, b);
    }
}

static void put_piece(struct ky_buf *b, uint8_t before, const struct ky_schema *s)
{
    struct ky_buf body = KY_BUF_INIT(KY_RECORD_MAX);

    put_example(s, &body);
    ky_put_u8(b, before);
    ky_put_u16(b, (uint16_t)body.len);
    ky_buf_put(b, body.data, body.len);
    ky_buf_free(&body);
}

/* A job of each kind; a ledger of one record of each, and one more of a kind after those. */
static void sequences(const char *folder, struct ky_buf *b)
{
    for (size_t i = 0; i < FUZZ_COUNT(job_schemas) && job_schemas[i]->type < JOB_R_SIGN; i++) {
        ky_buf_reset(b);
        ky_put_u16(b, 0); /* a token that does what it should */
        put_piece(b, (uint8_t)job_schemas[i]->type, job_schemas[i]);
        put_piece(b, (uint8_t)job_schemas[i]->type, job_schemas[i]);
        seed(folder, "vault", job_schemas[i]->name, 0, b);
    }
    for (size_t last = 0; last < FUZZ_COUNT(ledger_schemas); last++) {
        ky_buf_reset(b);
        ky_put_u8(b, 0);
        put_piece(b, (uint8_t)ledger_schemas[0]->type, ledger_schemas[0]);
        put_piece(b, (uint8_t)ledger_schemas[last]->type, ledger_schemas[last]);
        seed(folder, "fold", ledger_schemas[last]->name, 0, b);
    }
}

/* Each good request, and each of them twice with its bytes as they are. */
static void requests(const char *folder, struct ky_buf *b)
{
    for (uint8_t kind = 0; kind < 11; kind++) {
        const uint8_t step[] = {1, kind, 1, 1, 0, 0, 0, 0, /* and a turn */ 4};

        ky_buf_reset(b);
        ky_buf_put(b, step, sizeof(step));
        ky_buf_put(b, step, sizeof(step));
        seed(folder, "authority", "request", kind, b);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static void put_varint(struct ky_buf *b, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        ky_put_u8(b, (uint8_t)(v | 0x80));
    ky_put_u8(b, (uint8_t)v);
}

static void put_text(struct ky_buf *b, const ProtobufCFieldDescriptor *f)
{
    struct ky_span text = example(f->name);

    if (strcmp(f->name, "code") == 0)
        text = ky_span_text("123456");
    put_varint(b, text.len);
    ky_buf_put(b, text.data, text.len);
}

/* A message with every field; of a oneof the member that `variant` chooses. */
static void put_message(const ProtobufCMessageDescriptor *d, unsigned variant, struct ky_buf *b)
{
    unsigned member = 0, members = 0;

    for (unsigned i = 0; i < d->n_fields; i++)
        members += (d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        struct ky_buf inner = KY_BUF_INIT(65536);
        bool number = f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_BYTES &&
                      f->type != PROTOBUF_C_TYPE_MESSAGE;

        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 && member++ != variant % members)
            continue;
        put_varint(b, f->id << 3 | (number ? 0 : 2));
        if (number) {
            put_varint(b, 1);
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            put_message(f->descriptor, variant, &inner);
            put_varint(b, inner.len);
            ky_buf_put(b, inner.data, inner.len);
        } else {
            put_text(b, f);
        }
        ky_buf_free(&inner);
    }
}

static void messages(const char *folder, struct ky_buf *b)
{
    for (uint8_t i = 0; i < FUZZ_COUNT(fuzz_requests); i++) {
        const struct method *m = method_find(fuzz_requests[i].door, fuzz_requests[i].path);

        if (m->record == NULL)
            continue;
        for (unsigned variant = 0; variant < VARIANTS; variant++) {
            ky_buf_reset(b);
            ky_put_u8(b, i);
            put_message(m->request, variant, b);
            seed(folder, "message", strrchr(m->path, '/') + 1, variant, b);
        }
        ky_buf_reset(b);
        ky_put_u8(b, i | 0x80);
        ky_put_u8(b, 0);
        put_example(m->reply, b);
        seed(folder, "message", m->reply->name, i, b);
    }
    for (uint8_t i = 0; i < FUZZ_COUNT(fuzz_messages); i++)
        for (unsigned variant = 0; variant < 20; variant++) {
            ky_buf_reset(b);
            ky_put_u8(b, (uint8_t)(FUZZ_COUNT(fuzz_requests) + i));
            put_message(fuzz_messages[i], variant, b);
            seed(folder, "message", fuzz_messages[i]->short_name, variant, b);
        }
}

/* A call, what the authority answers, and the time to write it. */
static void calls(const char *folder, struct ky_buf *b)
{
    struct ky_buf body = KY_BUF_INIT(65536);

    for (uint8_t i = 0; i < FUZZ_COUNT(fuzz_requests); i++) {
        const struct method *m = method_find(fuzz_requests[i].door, fuzz_requests[i].path);

        ky_buf_reset(b);
        ky_buf_reset(&body);
        ky_put_u8(b, (uint8_t)(fuzz_requests[i].door - KY_DOOR_SIGNER));
        ky_buf_put(b, (uint8_t[]){1, i, 0}, 3);
        if (m->request != NULL)
            put_message(m->request, 0, &body);
        ky_put_u16(b, (uint16_t)body.len);
        ky_buf_put(b, body.data, body.len);
        ky_put_u8(b, 6);
        if (m->reply != NULL) {
            ky_buf_put(b, (uint8_t[]){4, 0, (uint8_t)(m->reply->type - DOOR_REFUSED)}, 3);
            ky_buf_reset(&body);
            put_example(m->reply, &body);
            ky_put_u16(b, (uint16_t)body.len);
            ky_buf_put(b, body.data, body.len);
        }
        ky_put_u8(b, 6);
        seed(folder, "front", strrchr(fuzz_requests[i].path, '/') + 1, i, b);
    }
    ky_buf_free(&body);
}

/* --- signatures and notes -------------------------------------------------------------------- */

static void keys(const char *folder, struct ky_buf *b)
{
    static const uint8_t device_types[KY_KEY_TYPE_COUNT] = {
        [KY_KEY_P256] = 1, [KY_KEY_ED25519] = 2};
    uint8_t der[KY_SPKI_MAX], signature[64];

    memset(signature, 10, sizeof(signature));
    for (uint8_t t = KY_KEY_P256; t < KY_KEY_TYPE_COUNT; t++) {
        size_t n = make_spki(t, der);

        ky_buf_reset(b);
        ky_put_u8(b, (uint8_t)(t << 4 | 2));
        ky_buf_put(b, der, n);
        seed(folder, "der", "spki", t, b);
        if (device_types[t] == 0)
            continue;
        ky_buf_reset(b);
        ky_put_u8(b, device_types[t]);
        ky_put_u16(b, (uint16_t)n);
        ky_buf_put(b, der, n);
        ky_buf_put(b, signature, sizeof(signature));
        seed(folder, "device", "key", t, b);
    }
}

/* Of either curve, as r || s and as DER. */
static void signatures(const char *folder, struct ky_buf *b)
{
    uint8_t raw[96], der[106];

    memset(raw, 0x85, sizeof(raw));
    for (uint8_t curve = 0; curve < 2; curve++) {
        size_t n = 0, len = curve == 0 ? 64 : 96;

        ky_buf_reset(b);
        ky_put_u8(b, (uint8_t)(curve << 4 | 1));
        ky_buf_put(b, raw, len);
        seed(folder, "der", "raw", curve, b);
        FUZZ_CHECK(ky_ok(ky_ecdsa_raw_to_der(KY_SPAN(raw, len), der, sizeof(der), &n)));
        ky_buf_reset(b);
        ky_put_u8(b, (uint8_t)(curve << 4));
        ky_buf_put(b, der, n);
        seed(folder, "der", "signature", curve, b);
    }
}

static void notes(const char *folder, struct ky_buf *b)
{
    uint8_t der[KY_SPKI_MAX], root[32] = {1}, signature[64] = {'G'};
    size_t n = make_spki(KY_KEY_ED25519, der);
    struct ky_buf body = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);

    memset(der + n - 32, 0, 32); /* the target's own key */
    der[n - 32] = 0x42;
    checkpoint_body(ky_span_text("ca.example"), 7, root, &body);
    ky_buf_reset(b);
    ky_put_u8(b, 0);
    checkpoint_note(ky_buf_span(&body), ky_span_text("ca.example"), KY_KEY_ED25519, KY_SPAN(der, n),
                    KY_SPAN_OF(signature), b);
    seed(folder, "note", "checkpoint", 0, b);
    ky_buf_free(&body);
}

static void put_certificate(struct ky_buf *b, const struct test_certificate *t)
{
    uint8_t der[4096];
    size_t n = test_certificate(t, der);

    ky_put_u16(b, (uint16_t)n);
    ky_buf_put(b, der, n);
}

/* A citizen's certificate with its issuer's, and a name. */
static void certificates(const char *folder, struct ky_buf *b)
{
    static const char name[] = "CN=Nguyen Van A,O=Kyso\\, Ltd,serialNumber=079\\2d1,C=VN";
    EVP_PKEY *ca = test_key(KY_KEY_P256), *key = test_key(KY_KEY_P256);
    const long year_s = 365 * 86400;

    ky_buf_reset(b);
    ky_put_u8(b, 1);
    put_certificate(b, &(struct test_certificate){"A", "CA", key, ca, -year_s, 20 * year_s, false,
                                                  "digitalSignature", 77});
    put_certificate(b, &(struct test_certificate){"CA", "CA", ca, ca, -year_s, 20 * year_s, true,
                                                  NULL, 77});
    seed(folder, "certificate", "chain", 0, b);
    ky_buf_reset(b);
    ky_put_u8(b, 0);
    ky_buf_put(b, name, sizeof(name) - 1);
    seed(folder, "certificate", "name", 0, b);
    EVP_PKEY_free(ca);
    EVP_PKEY_free(key);
}

/* --- the command ----------------------------------------------------------------------------- */

static void commands(const char *folder, struct ky_buf *b)
{
    for (unsigned i = 0; cli_program.commands[i].words != NULL; i++) {
        const char *words = strchr(cli_program.commands[i].example, ' ');

        ky_buf_reset(b);
        ky_put_u8(b, 2);
        for (words = words == NULL ? "" : words + 1; *words != '\0'; words++)
            ky_put_u8(b, (uint8_t)(*words == ' ' ? '\n' : *words));
        seed(folder, "cli", "command", i, b);
    }
}

static void exports(const char *folder, struct ky_buf *b)
{
    static const char tail[] =
        "\n{\"checkpoint\":\"ca.example\\n1\\n\",\"ledger_public_key\":\"AAAA\",\"size\":1}\n";
    struct ky_buf leaf = KY_BUF_INIT(LEDGER_LEAF_MAX);

    ky_put_u64(&leaf, 0);
    ky_put_u64(&leaf, UINT64_C(1800000000000000));
    ky_put_u16(&leaf, LEDGER_GENESIS);
    put_example(&ledger_genesis_schema, &leaf);
    ky_buf_reset(b);
    ky_put_u8(b, 1);
    FUZZ_CHECK(ky_ok(ledger_leaf_to_json(ky_buf_span(&leaf), KY_SPAN(NULL, 0), b)));
    ky_buf_put(b, tail, sizeof(tail) - 1);
    seed(folder, "cli", "export", 0, b);
    ky_buf_free(&leaf);
}

static void people(const char *folder, struct ky_buf *b)
{
    static const char csv[] = "\xef\xbb\xbfsubject_id,name,dn,key_type\r\n"
                              "079001,\"Nguyen \"\"Ti\"\", Van\",\"CN=A,\nC=VN\",p256\r\n\n"
                              "079002,B,CN=B,\n";

    ky_buf_reset(b);
    ky_buf_put(b, csv, sizeof(csv) - 1);
    seed(folder, "csv", "people", 0, b);
}

int main(int argc, char **argv)
{
    static void (*const makers[])(const char *, struct ky_buf *) = {
        records, channels,   leaves, sequences,    requests, messages, calls,
        keys,    signatures, notes,  certificates, commands, exports,
        people,
    };
    struct ky_buf b = KY_BUF_INIT(1024u * 1024u);

    FUZZ_CHECK(argc == 2);
    (void)mkdir(argv[1], 0777);
    for (size_t i = 0; i < FUZZ_COUNT(makers); i++)
        makers[i](argv[1], &b);
    ky_buf_free(&b);
    return 0;
}
