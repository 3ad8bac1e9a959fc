/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of digests, as a request gives them and as an authorization holds them. The loop's thread. */
#include "csc.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"

static uint8_t hash_by_len(size_t len)
{
    for (uint8_t h = 1; h < KY_HASH_COUNT; h++)
        if (ky_hash_len(h) == len)
            return h;
    return KY_HASH_NONE;
}

/* NULL, or what is wrong with the list. */
static const char *read_list(const json_t *list, uint8_t *hash, struct ky_buf *out)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        const size_t before = out->len;

        if (!json_is_string(one) || !ky_ok(base64_get(ky_span_text(json_string_value(one)), out)))
            return "Invalid Base64 hash string parameter";
        if (*hash == KY_HASH_NONE)
            *hash = hash_by_len(out->len - before);
        if (*hash == KY_HASH_NONE || out->len - before != ky_hash_len(*hash))
            return "Invalid digest value length";
    }
    return NULL;
}

/* No digest twice, none all zero: the signer's door would not say which it was. */
static bool is_set(const uint8_t *hashes, size_t count, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (ky_span_all_zero(KY_SPAN(hashes + i * len, len)))
            return false;
        for (size_t j = 0; j < i; j++)
            if (ky_span_eq(KY_SPAN(hashes + i * len, len), KY_SPAN(hashes + j * len, len)))
                return false;
    }
    return true;
}

bool csc_get_hashes(struct csc_call *c, uint8_t hash)
{
    const char *name = c->version == 1 ? "hash" : "hashes";
    const json_t *list = json_object_get(c->in, name);
    struct ky_buf bytes = KY_BUF_INIT(KY_HASHES_MAX * KY_DIGEST_MAX);
    const size_t count = json_array_size(list);
    const char *wrong = NULL;
    bool good = false;

    if (!json_is_array(list))
        csc_missing(c, "array", name);
    else if (count == 0)
        csc_fail(c, 400, "invalid_request", "Empty hash array");
    else if (count > KY_HASHES_MAX)
        csc_fail(c, 400, "invalid_request", "Numbers of signatures is too high");
    else if ((wrong = read_list(list, &hash, &bytes)) != NULL)
        csc_fail(c, 400, "invalid_request", "%s", wrong);
    else if (!is_set(bytes.data, count, ky_hash_len(hash)))
        csc_invalid(c, name);
    else if ((c->grant = calloc(1, sizeof(*c->grant) + bytes.len)) == NULL)
        csc_reply(c, 503, NULL);
    else
        good = true;
    if (good) {
        c->grant->hash = hash;
        c->grant->count = (uint32_t)count;
        memcpy(c->grant->hashes, bytes.data, bytes.len);
    }
    ky_buf_free(&bytes);
    return good;
}

bool csc_grant_lists(const struct grant *g, const struct grant *asked)
{
    const size_t len = ky_hash_len(g->hash);

    if (g->hash != asked->hash)
        return false;
    for (uint32_t i = 0; i < asked->count; i++) {
        uint32_t at = 0;

        while (at < g->count && !ky_span_eq(KY_SPAN(g->hashes + at * len, len), KY_SPAN(asked->hashes + i * len, len)))
            at++;
        if (at == g->count)
            return false;
    }
    return true;
}

void csc_put_hashes(const struct grant *g, ProtobufCBinaryData out[KY_HASHES_MAX])
{
    const size_t len = ky_hash_len(g->hash);

    for (uint32_t i = 0; i < g->count; i++)
        out[i] = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)g->hashes + i * len};
}

bool csc_get_hash(struct csc_call *c, bool needed, uint8_t *out)
{
    const char *oid = NULL;

    *out = KY_HASH_NONE;
    if (!csc_get_text(c, CSC_HASH_NAME(c), needed, &oid))
        return false;
    if (oid == NULL || (*out = csc_hash(oid)) != KY_HASH_NONE)
        return true;
    csc_invalid(c, CSC_HASH_NAME(c));
    return false;
}
