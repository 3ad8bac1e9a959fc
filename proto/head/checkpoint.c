/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints as signed notes: made here for the authority, checked here for the CLI. Pure
 * functions. Keeps: nothing of a note is told before its signature has been verified.
 */
#include "checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base64.h"
#include "kyso/alg.h"

#define KEY_ID_LEN   4u
#define IDENTITY_MAX 256u
#define DER_SIG_MAX  80u

static const uint8_t DASH[] = {0xe2, 0x80, 0x94, ' '}; /* U+2014, space */

static const struct note_key {
    uint8_t key_type;
    uint8_t type_byte;
    int pkey_id;
    const char *identifier; /* stands before the key; "" for C2SP's own types */
} KEYS[] = {
    {KY_KEY_ED25519, 0x01, EVP_PKEY_ED25519, ""},
    {KY_KEY_P256, 0xff, EVP_PKEY_EC, "kyso-ecdsa-p256"},
};

static const struct note_key *find_key(uint8_t key_type)
{
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        if (KEYS[i].key_type == key_type) {
            return &KEYS[i];
        }
    }
    return NULL;
}

static bool name_ok(struct ky_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] == '+' || name.data[i] >= 0x7f) {
            return false;
        }
    }
    return name.len > 0;
}

/* NULL unless the DER is one key of the named kind with nothing behind it. */
static EVP_PKEY *parse_spki(const struct note_key *kind, struct ky_span spki)
{
    const uint8_t *at = spki.data;
    char group[32] = "";
    if (spki.len == 0 || spki.len > KY_SPKI_MAX) {
        return NULL;
    }
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    bool fits =
        key != NULL && at == spki.data + spki.len && EVP_PKEY_get_base_id(key) == kind->pkey_id;
    if (fits && kind->pkey_id == EVP_PKEY_EC) {
        fits = EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
               strcmp(group, "prime256v1") == 0;
    }
    if (!fits) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

/* type byte || identifier || public key */
static struct ky_status put_identity(const struct note_key *kind, struct ky_span spki,
                                     struct ky_buf *out)
{
    uint8_t raw[32];
    size_t raw_len = sizeof(raw);
    EVP_PKEY *key = parse_spki(kind, spki);
    bool made = key != NULL;
    ky_buf_put(out, &kind->type_byte, 1);
    ky_buf_put(out, kind->identifier, strlen(kind->identifier));
    if (made && kind->key_type == KY_KEY_ED25519) {
        made = EVP_PKEY_get_raw_public_key(key, raw, &raw_len) == 1 && raw_len == sizeof(raw);
        ky_buf_put(out, raw, made ? raw_len : 0);
    } else if (made) {
        ky_buf_put(out, spki.data, spki.len);
    }
    EVP_PKEY_free(key);
    return KY_STATUS(made && !out->failed ? KY_OK : KY_INVALID);
}

static struct ky_status key_id(struct ky_span name, const struct note_key *kind,
                               struct ky_span spki, uint8_t out[KEY_ID_LEN])
{
    uint8_t hash[32];
    struct ky_buf b = KY_BUF_INIT(name.len + IDENTITY_MAX);
    ky_buf_put(&b, name.data, name.len);
    ky_buf_put(&b, "\n", 1);
    struct ky_status st = put_identity(kind, spki, &b);
    if (ky_ok(st)) {
        ky_sha256(ky_buf_span(&b), hash);
        memcpy(out, hash, KEY_ID_LEN);
    }
    ky_buf_free(&b);
    return st;
}

void checkpoint_body(struct ky_span origin, uint64_t size, const uint8_t root[32],
                     struct ky_buf *out)
{
    char number[24];
    int n = snprintf(number, sizeof(number), "\n%" PRIu64 "\n", size);
    ky_buf_put(out, origin.data, origin.len);
    ky_buf_put(out, number, n < 0 ? 0 : (size_t)n);
    base64_put(out, KY_SPAN(root, 32));
    ky_buf_put(out, "\n", 1);
}

void checkpoint_note(struct ky_span body, struct ky_span name, uint8_t key_type,
                     struct ky_span spki, struct ky_span signature, struct ky_buf *out)
{
    const struct note_key *kind = find_key(key_type);
    uint8_t line[KEY_ID_LEN + DER_SIG_MAX];
    size_t sig_len = signature.len;
    if (kind == NULL || !name_ok(name) || signature.len != 64 ||
        !ky_ok(key_id(name, kind, spki, line))) {
        out->failed = true;
        return;
    }
    if (key_type == KY_KEY_P256) {
        struct ky_status st =
            ky_ecdsa_raw_to_der(signature, line + KEY_ID_LEN, DER_SIG_MAX, &sig_len);
        if (!ky_ok(st)) {
            out->failed = true;
            return;
        }
    } else {
        memcpy(line + KEY_ID_LEN, signature.data, signature.len);
    }
    ky_buf_put(out, body.data, body.len);
    ky_buf_put(out, "\n", 1);
    ky_buf_put(out, DASH, sizeof(DASH));
    ky_buf_put(out, name.data, name.len);
    ky_buf_put(out, " ", 1);
    base64_put(out, KY_SPAN(line, KEY_ID_LEN + sig_len));
    ky_buf_put(out, "\n", 1);
}

struct ky_status checkpoint_vkey(struct ky_span name, uint8_t key_type, struct ky_span spki,
                                 struct ky_buf *out)
{
    const struct note_key *kind = find_key(key_type);
    uint8_t id[KEY_ID_LEN];
    char hex[2 * KEY_ID_LEN + 3];
    struct ky_buf identity = KY_BUF_INIT(IDENTITY_MAX);
    struct ky_status st = KY_STATUS(KY_INVALID);
    if (kind == NULL || !name_ok(name)) {
        return st;
    }
    st = key_id(name, kind, spki, id);
    if (ky_ok(st)) {
        st = put_identity(kind, spki, &identity);
    }
    if (ky_ok(st)) {
        int n = snprintf(hex, sizeof(hex), "+%02x%02x%02x%02x+", id[0], id[1], id[2], id[3]);
        ky_buf_put(out, name.data, name.len);
        ky_buf_put(out, hex, n < 0 ? 0 : (size_t)n);
        base64_put(out, ky_buf_span(&identity));
    }
    ky_buf_free(&identity);
    return ky_ok(st) && out->failed ? KY_STATUS(KY_INVALID) : st;
}

/* --- taking a note apart --------------------------------------------------------------------- */

/* The next line without its LF; false when no LF is left. */
static bool next_line(struct ky_span *rest, struct ky_span *out)
{
    const uint8_t *lf = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    if (lf == NULL) {
        return false;
    }
    *out = KY_SPAN(rest->data, (size_t)(lf - rest->data));
    *rest = KY_SPAN(lf + 1, rest->len - out->len - 1);
    return true;
}

/* The text ends with the LF before the last empty line; the signature lines follow it. */
static bool split_note(struct ky_span note, struct ky_span *out_body, struct ky_span *out_lines)
{
    for (size_t i = note.len; i >= 2; i--) {
        if (note.data[i - 1] == '\n' && note.data[i - 2] == '\n') {
            *out_body = KY_SPAN(note.data, i - 1);
            *out_lines = KY_SPAN(note.data + i, note.len - i);
            return out_lines->len > 0 && note.data[note.len - 1] == '\n';
        }
    }
    return false;
}

struct ky_span checkpoint_origin(struct ky_span note)
{
    struct ky_span line = KY_SPAN(NULL, 0);
    return next_line(&note, &line) ? line : KY_SPAN(NULL, 0);
}

static bool parse_size(struct ky_span text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 20 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static struct ky_status parse_body(struct ky_span body, uint64_t *out_size, uint8_t out_root[32])
{
    struct ky_span origin;
    struct ky_span size;
    struct ky_span root;
    struct ky_buf raw = KY_BUF_INIT(32);
    bool good = next_line(&body, &origin) && origin.len > 0 && next_line(&body, &size) &&
                next_line(&body, &root) && parse_size(size, out_size) &&
                ky_ok(base64_get(root, &raw)) && raw.len == 32;
    if (good) {
        memcpy(out_root, raw.data, 32);
    }
    ky_buf_free(&raw);
    return KY_STATUS(good ? KY_OK : KY_INVALID);
}

/* The signature that this line gives under (name, id); KY_NOT_FOUND when it is another key's. */
static struct ky_status take_signature(struct ky_span line, struct ky_span name,
                                       const uint8_t id[KEY_ID_LEN], struct ky_buf *out)
{
    size_t head = sizeof(DASH) + name.len + 1;
    if (line.len < sizeof(DASH) ||
        !ky_span_eq(KY_SPAN(line.data, sizeof(DASH)), KY_SPAN_OF(DASH))) {
        return KY_STATUS(KY_INVALID);
    }
    if (line.len <= head || !ky_span_eq(KY_SPAN(line.data + sizeof(DASH), name.len), name) ||
        line.data[head - 1] != ' ') {
        return KY_STATUS(KY_NOT_FOUND);
    }
    ky_buf_reset(out);
    struct ky_status st = base64_get(KY_SPAN(line.data + head, line.len - head), out);
    if (!ky_ok(st) || out->len <= KEY_ID_LEN) {
        return KY_STATUS(KY_INVALID);
    }
    if (!ky_span_eq(KY_SPAN(out->data, KEY_ID_LEN), KY_SPAN(id, KEY_ID_LEN))) {
        return KY_STATUS(KY_NOT_FOUND);
    }
    ky_buf_consume(out, KEY_ID_LEN);
    return KY_STATUS(KY_OK);
}

static struct ky_status find_signature(struct ky_span lines, struct ky_span name,
                                       const uint8_t id[KEY_ID_LEN], struct ky_buf *out)
{
    struct ky_span line;
    while (next_line(&lines, &line)) {
        struct ky_status st = take_signature(line, name, id, out);
        if (st.code != KY_NOT_FOUND) {
            return st;
        }
    }
    return KY_STATUS(KY_INVALID);
}

static bool signature_holds(const struct note_key *kind, struct ky_span spki, struct ky_span body,
                            struct ky_span sig)
{
    EVP_PKEY *key = parse_spki(kind, spki);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = kind->key_type == KY_KEY_ED25519 ? NULL : EVP_sha256();
    bool holds = key != NULL && ctx != NULL &&
                 EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
                 EVP_DigestVerify(ctx, sig.data, sig.len, body.data, body.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return holds;
}

struct ky_status checkpoint_verify(struct ky_span note, struct ky_span name, uint8_t key_type,
                                   struct ky_span spki, uint64_t *out_size, uint8_t out_root[32])
{
    const struct note_key *kind = find_key(key_type);
    uint8_t id[KEY_ID_LEN];
    uint8_t root[32];
    uint64_t size = 0;
    struct ky_span body;
    struct ky_span lines;
    struct ky_buf sig = KY_BUF_INIT(CHECKPOINT_NOTE_MAX);
    struct ky_status st = KY_STATUS(KY_INVALID);
    if (kind == NULL || !name_ok(name) || note.len > CHECKPOINT_NOTE_MAX ||
        !split_note(note, &body, &lines)) {
        goto done;
    }
    st = key_id(name, kind, spki, id);
    if (ky_ok(st)) {
        st = find_signature(lines, name, id, &sig);
    }
    if (ky_ok(st) && !signature_holds(kind, spki, body, ky_buf_span(&sig))) {
        st = KY_STATUS(KY_CORRUPT);
    }
    if (ky_ok(st)) {
        st = parse_body(body, &size, root);
    }
    if (ky_ok(st)) {
        *out_size = size;
        memcpy(out_root, root, sizeof(root));
    }
done:
    ky_buf_free(&sig);
    return st;
}
