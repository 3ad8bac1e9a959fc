/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transaction digest, the content digest, the approval challenge and the request digest, in the canonical
 * form that tx.h publishes. Clients in other languages compute the same bytes: nothing here may
 * change without a new domain tag. Pure, any thread.
 */
#include "kyso/tx.h"

#include "endian_le.h"
#include "sha256.h"

static void add_tag(struct ky_sha256_state *h, const char *tag)
{
    ky_sha256_add(h, KY_SPAN((const uint8_t *)tag, strlen(tag) + 1)); /* with its 0x00 */
}

static void add_field(struct ky_sha256_state *h, struct ky_span field)
{
    uint8_t len[4];
    be32_put(len, (uint32_t)field.len);
    ky_sha256_add(h, KY_SPAN_OF(len));
    ky_sha256_add(h, field);
}

static void add_u32(struct ky_sha256_state *h, uint32_t v)
{
    uint8_t bytes[4];
    be32_put(bytes, v);
    add_field(h, KY_SPAN_OF(bytes));
}

static void add_u64(struct ky_sha256_state *h, uint64_t v)
{
    uint8_t bytes[8];
    be64_put(bytes, v);
    add_field(h, KY_SPAN_OF(bytes));
}

/*
 * Two spellings of one algorithm digest alike: "the same MGF hash" is written out, and what has no
 * effect is 0.
 */
static void add_algorithm(struct ky_sha256_state *h, const struct ky_algorithm *a)
{
    uint8_t bytes[5] = {a->scheme, a->hash, 0, 0, 0};
    if (a->scheme == KY_RSA_PSS) {
        bytes[2] = a->mgf_hash == 0 ? a->hash : a->mgf_hash;
        be16_put(bytes + 3, a->salt_len);
    }
    add_field(h, KY_SPAN_OF(bytes));
}

/*
 * Callers have checked that the hashes fill whole digests; bytes that do not still count, as one
 * short field.
 */
static void add_hashes(struct ky_sha256_state *h, struct ky_span hashes, uint8_t hash)
{
    size_t each = ky_hash_len(hash);
    if (each == 0)
        each = hashes.len == 0 ? 1 : hashes.len;
    add_u32(h, (uint32_t)((hashes.len + each - 1) / each));
    while (hashes.len > 0) {
        size_t n = hashes.len < each ? hashes.len : each;
        add_field(h, KY_SPAN(hashes.data, n));
        hashes.data += n;
        hashes.len -= n;
    }
}

static void add_display(struct ky_sha256_state *h, struct ky_span text)
{
    uint8_t digest[32];
    ky_sha256(text, digest);
    add_field(h, KY_SPAN_OF(digest));
}

void ky_tx_digest(const struct ky_tx_fields *tx, uint8_t out[32])
{
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    add_tag(&h, "kyso.v1.tx");
    add_field(&h, tx->server_id);
    add_field(&h, tx->client);
    add_field(&h, tx->relying_party);
    add_field(&h, tx->transaction_id);
    add_field(&h, tx->subject_id);
    add_field(&h, tx->credential_id);
    add_u32(&h, tx->credential_epoch);
    add_field(&h, KY_SPAN_OF(tx->key_spki_sha256));
    add_algorithm(&h, &tx->algorithm);
    add_hashes(&h, tx->hashes, tx->algorithm.hash);
    add_display(&h, tx->display_text);
    add_u64(&h, tx->not_after_s);
    add_field(&h, KY_SPAN_OF(tx->nonce));
    ky_sha256_end(&h, out);
}

void ky_tx_content_digest(const struct ky_tx_fields *tx, uint8_t out[32])
{
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    add_tag(&h, "kyso.v1.content");
    add_field(&h, tx->relying_party);
    add_field(&h, tx->credential_id);
    add_algorithm(&h, &tx->algorithm);
    add_hashes(&h, tx->hashes, tx->algorithm.hash);
    add_display(&h, tx->display_text);
    ky_sha256_end(&h, out);
}

static void add_u8(struct ky_sha256_state *h, uint8_t v)
{
    add_field(h, KY_SPAN(&v, 1));
}

void ky_request_digest(const struct ky_tx_fields *tx, const struct ky_request_fields *r,
                       uint8_t out[32])
{
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    add_tag(&h, "kyso.v1.request");
    add_field(&h, tx->server_id);
    add_field(&h, tx->client);
    add_u8(&h, r->type);
    add_field(&h, r->request_id);
    add_field(&h, tx->relying_party);
    add_field(&h, tx->transaction_id);
    add_field(&h, tx->credential_id);
    add_algorithm(&h, &tx->algorithm);
    add_hashes(&h, tx->hashes, tx->algorithm.hash);
    add_display(&h, tx->display_text);
    add_u32(&h, r->ttl_s);
    add_u8(&h, r->proof);
    add_field(&h, r->authenticator_id);
    add_field(&h, r->proof_secret);
    add_field(&h, r->matching_code);
    add_field(&h, r->proof_signature);
    add_u64(&h, r->expires_s);
    ky_sha256_end(&h, out);
}

void ky_approval_challenge(const uint8_t tx_digest[32], uint8_t decision,
                           struct ky_span matching_code, uint8_t out[32])
{
    struct ky_sha256_state h;
    ky_sha256_init(&h);
    add_tag(&h, "kyso.v1.approval");
    const uint8_t head[2] = {decision, (uint8_t)matching_code.len};
    ky_sha256_add(&h, KY_SPAN(tx_digest, 32));
    ky_sha256_add(&h, KY_SPAN_OF(head));
    ky_sha256_add(&h, matching_code);
    ky_sha256_end(&h, out);
}
