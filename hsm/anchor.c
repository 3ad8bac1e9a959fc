/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's anchor: two objects, written in turn by the authority, so that one
 * is whole whatever happens to the other. A value cannot be changed in place: the
 * new object is made before the old one goes, and a serial number tells which is
 * newer after a crash in between. Data objects; where the token keeps none, keys
 * of no use whose CKA_ID carries serial and value. The authority's MAC is what
 * makes either an anchor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckr.h"
#include "vault.h"

enum { ANCHORS_MAX = 16, SERIAL_LEN = 20, ANCHOR_MAX = 1024 }; /* the serial is decimal text */

static const struct hsm_flag anchor_flags[] = {
    {CKA_TOKEN, CK_TRUE},
    {CKA_PRIVATE, CK_TRUE},
    {CKA_MODIFIABLE, CK_FALSE},
};
static const struct hsm_flag anchor_key_flags[] = {
    {CKA_SENSITIVE, CK_TRUE}, {CKA_EXTRACTABLE, CK_FALSE}, {CKA_SIGN, CK_FALSE},
    {CKA_VERIFY, CK_FALSE},   {CKA_ENCRYPT, CK_FALSE},     {CKA_DECRYPT, CK_FALSE},
    {CKA_WRAP, CK_FALSE},     {CKA_UNWRAP, CK_FALSE},      {CKA_DERIVE, CK_FALSE},
};

struct anchors { /* the objects of one slot */
    CK_OBJECT_HANDLE found[ANCHORS_MAX];
    CK_ULONG count;
    uint64_t serial; /* of the newest that could be read, and its value */
    uint8_t value[ANCHOR_MAX];
    size_t value_len; /* 0: none could */
};

static void anchor_label(uint8_t slot, char out[32])
{
    (void)snprintf(out, 32, "%s-%u", HSM_LABEL_ANCHOR, slot);
}

/* Serial, then value, as the key's CKA_ID has them; a data object has them in two attributes. */
static struct ky_status anchor_bytes(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                     uint8_t *out, size_t cap, size_t *out_len)
{
    CK_OBJECT_CLASS class = 0;
    size_t len = 0;
    struct ky_status st = hsm_session_attr(s, object, CKA_CLASS, &class, sizeof(class), &len);

    if (!ky_ok(st))
        return st;
    if (class != CKO_DATA)
        return hsm_session_attr(s, object, CKA_ID, out, cap, out_len);
    st = hsm_session_attr(s, object, CKA_APPLICATION, out, SERIAL_LEN, &len);
    if (ky_ok(st) && len != SERIAL_LEN)
        st = KY_STATUS(KY_CORRUPT);
    if (ky_ok(st))
        st = hsm_session_attr(s, object, CKA_VALUE, out + SERIAL_LEN, cap - SERIAL_LEN, &len);
    *out_len = SERIAL_LEN + len;
    return st;
}

/* An object that is not whole is passed over; a token that fails is not. */
static struct ky_status keep_newest(const struct hsm_session *s, CK_OBJECT_HANDLE object, struct anchors *a)
{
    uint8_t bytes[SERIAL_LEN + ANCHOR_MAX];
    char text[SERIAL_LEN + 1] = {0};
    uint64_t serial = 0;
    size_t len = 0;

    struct ky_status st = anchor_bytes(s, object, bytes, sizeof(bytes), &len);
    if (!ky_ok(st))
        return st.code == KY_CORRUPT || st.code == KY_INVALID ? KY_STATUS(KY_OK) : st;
    if (len <= SERIAL_LEN)
        return st;
    memcpy(text, bytes, SERIAL_LEN);
    serial = strtoull(text, NULL, 10);
    if (serial < a->serial)
        return st;
    a->serial = serial;
    a->value_len = len - SERIAL_LEN;
    memcpy(a->value, bytes + SERIAL_LEN, a->value_len);
    return st;
}

static struct ky_status anchors_find(const struct hsm_session *s, uint8_t slot, struct anchors *out)
{
    struct hsm_template t = {.count = 0};
    struct ky_status st;
    char label[32];

    *out = (struct anchors){.count = 0};
    if (slot > 1)
        return KY_STATUS(KY_INVALID);
    anchor_label(slot, label);
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    st = hsm_session_find(s, t.attrs, t.count, out->found, ANCHORS_MAX, &out->count);
    if (ky_ok(st) && out->count == ANCHORS_MAX)
        return KY_STATUS_CAUSE(KY_TOKEN_REQUEST, CKR_DEVICE_MEMORY); /* the newest may be among those that were cut off */
    for (CK_ULONG i = 0; ky_ok(st) && i < out->count; i++)
        st = keep_newest(s, out->found[i], out);
    return st;
}

static CK_RV make_data(const struct hsm_session *s, const char *label, struct ky_span bytes)
{
    static const CK_OBJECT_CLASS class = CKO_DATA;
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_flags(&t, anchor_flags, HSM_COUNT(anchor_flags));
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    hsm_template_add(&t, CKA_APPLICATION, bytes.data, SERIAL_LEN);
    hsm_template_add(&t, CKA_VALUE, bytes.data + SERIAL_LEN, bytes.len - SERIAL_LEN);
    return s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, &made);
}

static CK_RV make_key(const struct hsm_session *s, const char *label, struct ky_span bytes)
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    static const uint8_t nothing[16];
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &type, sizeof(type));
    hsm_template_flags(&t, anchor_flags, HSM_COUNT(anchor_flags));
    hsm_template_flags(&t, anchor_key_flags, HSM_COUNT(anchor_key_flags));
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    hsm_template_add(&t, CKA_ID, bytes.data, bytes.len);
    hsm_template_add(&t, CKA_VALUE, nothing, sizeof(nothing));
    return s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, &made);
}

struct ky_status hsm_job_anchor_write(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_anchor *in = &job->in.anchor;
    const struct hsm_session *s = &w->session;
    uint8_t bytes[SERIAL_LEN + ANCHOR_MAX];
    struct anchors old;
    char label[32];
    CK_RV rv = CKR_OK;
    struct ky_status st = anchors_find(s, in->slot, &old);

    if (!ky_ok(st))
        return st;
    if (in->value.len == 0 || in->value.len > ANCHOR_MAX)
        return KY_STATUS(KY_INVALID);
    job->reply = &job_r_done_schema;
    if (ky_span_eq(KY_SPAN(old.value, old.value_len), in->value))
        return st; /* an earlier try of the same */
    if (!ky_span_eq(KY_SPAN(old.value, old.value_len), in->expect))
        return KY_STATUS(KY_CONFLICT);
    anchor_label(in->slot, label);
    (void)snprintf((char *)bytes, sizeof(bytes), "%0*llu", SERIAL_LEN,
                   (unsigned long long)old.serial + 1);
    memcpy(bytes + SERIAL_LEN, in->value.data, in->value.len);
    rv = make_data(s, label, KY_SPAN(bytes, SERIAL_LEN + in->value.len));
    /* What NSS softokn says of any data object that shall stay. */
    if (rv == CKR_ATTRIBUTE_VALUE_INVALID)
        rv = make_key(s, label, KY_SPAN(bytes, SERIAL_LEN + in->value.len));
    st = hsm_ckr_status(rv);
    for (CK_ULONG i = 0; ky_ok(st) && i < old.count; i++)
        hsm_session_destroy(s, &old.found[i]); /* one that stays behind has the lower serial */
    return st;
}

struct ky_status hsm_job_anchor_read(struct hsm_worker *w, struct hsm_job *job)
{
    struct anchors a;
    struct ky_status st = anchors_find(&w->session, job->in.anchor.slot, &a);

    if (ky_ok(st) && a.count > 0 && a.value_len == 0)
        st = KY_STATUS(KY_CORRUPT); /* there, but it cannot be read */
    if (!ky_ok(st))
        return st;
    ky_buf_put(&job->bytes, a.value, a.value_len);
    job->out.bytes = (struct job_r_bytes){.value = ky_buf_span(&job->bytes)};
    job->reply = &job_r_bytes_schema;
    return job->bytes.failed ? KY_STATUS(KY_NOMEM) : st;
}
