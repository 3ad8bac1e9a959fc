/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of the anchor, the head of the ledger that the token remembers. A pure function of its
 * arguments, any thread. A MAC keeps whoever can write token objects from making one.
 */
#include "anchor.h"

#include <string.h>

#include "kyso/alg.h"
#include "kyso/wire.h"

static const char ANCHOR_TAG[] = "kyso.anchor";
#define ANCHOR_FORM    1u
#define ANCHOR_MAC_LEN 32u

void anchor_encode(const struct anchor *a, const struct ky_secret *state_key, struct ky_buf *out)
{
    uint8_t mac[ANCHOR_MAC_LEN];
    struct ky_buf b = KY_BUF_INIT(ANCHOR_LEN);
    ky_buf_put(&b, ANCHOR_TAG, sizeof(ANCHOR_TAG) - 1);
    ky_put_u8(&b, ANCHOR_FORM);
    ky_put_u64(&b, a->size);
    ky_buf_put(&b, a->root, sizeof(a->root));
    ky_put_u64(&b, a->sequence);
    ky_put_u8(&b, a->clean);
    ky_hmac_sha256(ky_secret_span(state_key), ky_buf_span(&b), mac);
    ky_buf_put(&b, mac, sizeof(mac));
    if (b.failed) {
        out->failed = true;
    }
    ky_buf_put(out, b.data, b.len);
    ky_buf_free(&b);
}

struct ky_status anchor_decode(struct ky_span in, const struct ky_secret *state_key,
                               struct anchor *out)
{
    struct anchor a = {0};
    uint8_t mac[ANCHOR_MAC_LEN];
    struct ky_reader r = ky_reader(in);
    struct ky_span tag = ky_get_raw(&r, sizeof(ANCHOR_TAG) - 1);
    uint8_t form = ky_get_u8(&r);
    a.size = ky_get_u64(&r);
    struct ky_span root = ky_get_raw(&r, sizeof(a.root));
    a.sequence = ky_get_u64(&r);
    a.clean = ky_get_u8(&r);
    struct ky_span want = ky_get_raw(&r, sizeof(mac));
    if (!ky_reader_done(&r) || form != ANCHOR_FORM || !ky_span_eq(tag, ky_span_text(ANCHOR_TAG))) {
        return KY_STATUS(KY_INVALID);
    }
    ky_hmac_sha256(ky_secret_span(state_key), KY_SPAN(in.data, in.len - sizeof(mac)), mac);
    if (!ky_span_eq_ct(KY_SPAN_OF(mac), want)) {
        return KY_STATUS(KY_CORRUPT);
    }
    memcpy(a.root, root.data, sizeof(a.root));
    *out = a;
    return KY_STATUS(KY_OK);
}
