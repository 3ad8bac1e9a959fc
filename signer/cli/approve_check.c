/* SPDX-License-Identifier: Apache-2.0 */
/* See approve_check.h. Pure. */
#include "approve_check.h"

#include <string.h>

static bool read_algorithm(const Kyso__V1__Algorithm *a, struct ky_algorithm *out)
{
    if (a == NULL || ky_hash_len((uint8_t)a->hash) == 0 || /* 0: the scheme is left open */
        (a->scheme != 0 && ky_scheme_name((uint8_t)a->scheme) == NULL))
        return false;
    *out = (struct ky_algorithm){.scheme = (uint8_t)a->scheme, .hash = (uint8_t)a->hash};
    if (out->scheme != KY_RSA_PSS)
        return a->pss == NULL;
    if (a->pss == NULL || a->pss->salt_length > UINT16_MAX)
        return false;
    out->mgf_hash = (uint8_t)(a->pss->mgf_hash != 0 ? a->pss->mgf_hash : a->hash);
    out->salt_len = (uint16_t)a->pss->salt_length;
    return true;
}

static bool join_hashes(const Kyso__V1__PendingTransaction *tx, size_t len, struct ky_buf *out)
{
    if (tx->n_hashes == 0 || tx->n_hashes > KY_HASHES_MAX)
        return false;
    for (size_t i = 0; i < tx->n_hashes; i++) {
        if (tx->hashes[i].len != len)
            return false;
        ky_buf_put(out, tx->hashes[i].data, len);
    }
    return !out->failed;
}

/* The first field that cannot be, or NULL. */
static const char *first_wrong(const Kyso__V1__PendingTransaction *tx, struct ky_tx_fields *f,
                               struct ky_buf *hashes)
{
    const struct {
        const char *name;
        struct ky_span value;
    } names[] = {
        {"server_id", f->server_id},         {"client", f->client},
        {"relying_party", f->relying_party}, {"transaction_id", f->transaction_id},
        {"subject_id", f->subject_id},       {"credential_id", f->credential_id},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!ky_span_is_name(names[i].value, KY_NAME_MAX))
            return names[i].name;
    if (tx->key_spki_sha256.len != sizeof f->key_spki_sha256)
        return "key_spki_sha256";
    if (tx->nonce.len != sizeof f->nonce)
        return "nonce";
    if (tx->not_after <= 0)
        return "not_after";
    if (f->display_text.len > KY_DISPLAY_TEXT_MAX || !ky_span_is_display_text(f->display_text))
        return "display_text";
    if (!read_algorithm(tx->algorithm, &f->algorithm))
        return "algorithm";
    if (!join_hashes(tx, ky_hash_len(f->algorithm.hash), hashes))
        return "hashes";
    return NULL;
}

struct ky_status approve_digest(const Kyso__V1__PendingTransaction *tx, uint8_t out_digest[32],
                                const char **out_field)
{
    struct ky_buf hashes = KY_BUF_INIT(KY_HASHES_MAX * KY_DIGEST_MAX);
    struct ky_tx_fields f = {
        .server_id = ky_span_text(tx->server_id),
        .client = ky_span_text(tx->client),
        .relying_party = ky_span_text(tx->relying_party),
        .transaction_id = ky_span_text(tx->transaction_id),
        .subject_id = ky_span_text(tx->subject_id),
        .credential_id = ky_span_text(tx->credential_id),
        .credential_epoch = tx->credential_epoch,
        .display_text = ky_span_text(tx->display_text),
        .not_after_s = (uint64_t)tx->not_after,
    };

    *out_field = first_wrong(tx, &f, &hashes);
    if (*out_field == NULL) {
        memcpy(f.key_spki_sha256, tx->key_spki_sha256.data, sizeof f.key_spki_sha256);
        memcpy(f.nonce, tx->nonce.data, sizeof f.nonce);
        f.hashes = ky_buf_span(&hashes);
        ky_tx_digest(&f, out_digest);
    }
    ky_buf_free(&hashes);
    return *out_field == NULL ? KY_STATUS(KY_OK) : KY_STATUS(KY_INVALID);
}
