/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three wrapped keys as a file. It is worth nothing without M custodians, and is
 * copied freely; the transcript has its SHA-256. It is on disk before a key of it is in the token.
 */
#include <stdlib.h>
#include <string.h>

#include "sitting.h"

enum { FILE_MAX = 16384 };

static json_t *to_json(const struct sitting *s, const struct hsm_backup *b)
{
    json_t *keys = json_object();

    for (enum hsm_own_key i = 0; i < HSM_OWN_COUNT; i++)
        (void)json_object_set_new(keys, hsm_own_label(i),
                                  output_hex(KY_SPAN(b->blobs[i].bytes, b->blobs[i].len)));
    return json_pack("{s:s,s:s,s:i,s:o,s:s,s:o,s:o}", "format", "kyso-ceremony-backup-1",
                     "ceremony", s->plan->id, "kek", (int)b->kek, "nonce", output_hex(KY_SPAN_OF(s->progress.custody.nonce)),
                     "ledger_key_type", ky_key_info(b->ledger_type)->name, "ledger_key",
                     output_hex(KY_SPAN(b->ledger_spki, b->ledger_spki_len)), "wrapped", keys);
}

bool backup_path(const struct sitting *s, uint32_t kek, char *out, size_t cap)
{
    char suffix[32];

    (void)snprintf(suffix, sizeof(suffix), kek > 1 ? "backup-%u.json" : "backup.json", kek);
    return plan_path(s->plan, suffix, out, cap);
}

struct ky_status backup_write(const struct sitting *s, const struct hsm_backup *b,
                              uint8_t out_sha256[32])
{
    char path[1024];
    json_t *object = to_json(s, b);
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2)) : NULL;
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (text != NULL) {
        ky_sha256(ky_span_text(text), out_sha256);
        st = backup_path(s, b->kek, path, sizeof(path))
                 ? file_write(path, ky_span_text(text), 0644)
                 : KY_STATUS(KY_INVALID);
    }
    free(text);
    json_decref(object);
    return st;
}

static bool take(const json_t *text, uint8_t *out, size_t cap, size_t *out_len)
{
    size_t len = json_string_length(text) / 2;

    *out_len = len;
    return len > 0 && len <= cap && transcript_unhex(text, out, len);
}

static bool from_json(const json_t *object, struct hsm_backup *out)
{
    const char *type = json_string_value(json_object_get(object, "ledger_key_type"));
    const json_t *keys = json_object_get(object, "wrapped");

    const json_t *kek = json_object_get(object, "kek"); /* those of before rotations have none */

    out->kek = kek != NULL ? (uint32_t)json_integer_value(kek) : 1;
    out->ledger_type = type != NULL ? ky_key_type_by_name(type) : 0;
    for (enum hsm_own_key i = 0; i < HSM_OWN_COUNT; i++)
        if (!take(json_object_get(keys, hsm_own_label(i)), out->blobs[i].bytes, HSM_BACKUP_BLOB_MAX,
                  &out->blobs[i].len))
            return false;
    return (out->ledger_type == KY_KEY_P256 || out->ledger_type == KY_KEY_ED25519) &&
           take(json_object_get(object, "ledger_key"), out->ledger_spki, sizeof(out->ledger_spki),
                &out->ledger_spki_len);
}

static struct ky_status read_one(const char *path, const uint8_t wanted[32],
                                 const uint8_t former[32], struct hsm_backup *out)
{
    struct ky_buf file = KY_BUF_INIT(FILE_MAX);
    struct hsm_backup b = {.ledger_type = 0};
    uint8_t sha256[32];
    json_t *object = NULL;
    struct ky_status st = file_read(path, FILE_MAX, &file);

    if (!ky_ok(st))
        goto done;
    st = KY_STATUS(KY_CORRUPT);
    ky_sha256(ky_buf_span(&file), sha256);
    if (ky_span_eq(KY_SPAN_OF(sha256), KY_SPAN(former, 32)))
        st = KY_STATUS(KY_CONFLICT);
    if (!ky_span_eq(KY_SPAN_OF(sha256), KY_SPAN(wanted, 32)))
        goto done;
    object = json_loadb((const char *)file.data, file.len, JSON_REJECT_DUPLICATES, NULL);
    if (object == NULL || !from_json(object, &b))
        goto done;
    *out = b;
    st = KY_STATUS(KY_OK);
done:
    json_decref(object);
    ky_buf_free(&file);
    return st;
}

struct ky_status backup_read(const struct sitting *s, const char *path, struct hsm_backup *out)
{
    return read_one(path, s->progress.backup_sha256, s->progress.former_sha256, out);
}

struct ky_status backup_read_former(const struct sitting *s, struct hsm_backup *out)
{
    char path[1024];

    return backup_path(s, s->progress.kek - 1, path, sizeof(path))
               ? read_one(path, s->progress.former_sha256, s->progress.former_sha256, out)
               : KY_STATUS(KY_INVALID);
}
