/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's anchor: two data objects, written in turn by the authority, so
 * that one is whole whatever happens to the other. A value cannot be changed in
 * place: the new object is made before the old one goes, and CKA_APPLICATION
 * carries a serial number that tells which is newer after a crash in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckr.h"
#include "vault.h"

enum { ANCHORS_MAX = 16, ANCHOR_SERIAL_DIGITS = 20, ANCHOR_MAX = 1024 };

static const struct hsm_flag anchor_flags[] = {
    {CKA_TOKEN, CK_TRUE},
    {CKA_PRIVATE, CK_TRUE},
    {CKA_MODIFIABLE, CK_FALSE},
};
static const CK_OBJECT_CLASS class_data = CKO_DATA;

struct anchors { /* the objects of one slot */
    CK_OBJECT_HANDLE found[ANCHORS_MAX];
    CK_ULONG count;
    CK_ULONG newest; /* index; meaningless when count is 0 */
    uint64_t serial; /* of the newest */
};

static void anchor_label(uint8_t slot, char out[32])
{
    (void)snprintf(out, 32, "%s-%u", HSM_LABEL_ANCHOR, slot);
}

static uint64_t anchor_serial(const struct hsm_session *s, CK_OBJECT_HANDLE object)
{
    char text[ANCHOR_SERIAL_DIGITS + 1] = {0};
    size_t len = 0;

    if (!ky_ok(hsm_session_attr(s, object, CKA_APPLICATION, text, ANCHOR_SERIAL_DIGITS, &len)))
        return 0;
    return strtoull(text, NULL, 10);
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
    hsm_template_add(&t, CKA_CLASS, &class_data, sizeof(class_data));
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    st = hsm_session_find(s, t.attrs, t.count, out->found, ANCHORS_MAX, &out->count);
    for (CK_ULONG i = 0; ky_ok(st) && i < out->count; i++) {
        uint64_t serial = anchor_serial(s, out->found[i]);

        if (serial >= out->serial) {
            out->newest = i;
            out->serial = serial;
        }
    }
    return st;
}

struct ky_status hsm_job_anchor_write(struct hsm_worker *w, struct hsm_job *job)
{
    const struct job_anchor *in = &job->in.anchor;
    const struct hsm_session *s = &w->session;
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    struct anchors old;
    char label[32];
    char serial[ANCHOR_SERIAL_DIGITS + 1];
    struct ky_status st = anchors_find(s, in->slot, &old);

    if (!ky_ok(st))
        return st;
    if (in->value.len == 0)
        return KY_STATUS(KY_INVALID);
    anchor_label(in->slot, label);
    (void)snprintf(serial, sizeof(serial), "%0*llu", ANCHOR_SERIAL_DIGITS,
                   (unsigned long long)old.serial + 1);
    hsm_template_add(&t, CKA_CLASS, &class_data, sizeof(class_data));
    hsm_template_flags(&t, anchor_flags, HSM_COUNT(anchor_flags));
    hsm_template_add(&t, CKA_LABEL, label, strlen(label));
    hsm_template_add(&t, CKA_APPLICATION, serial, strlen(serial));
    hsm_template_add(&t, CKA_VALUE, in->value.data, in->value.len);
    st = hsm_ckr_status(s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, &made));
    for (CK_ULONG i = 0; ky_ok(st) && i < old.count; i++)
        hsm_session_destroy(s, &old.found[i]); /* one that stays behind has the lower serial */
    job->reply = &job_r_done_schema;
    return st;
}

struct ky_status hsm_job_anchor_read(struct hsm_worker *w, struct hsm_job *job)
{
    struct anchors found;
    uint8_t value[ANCHOR_MAX];
    size_t len = 0;
    struct ky_status st = anchors_find(&w->session, job->in.anchor.slot, &found);

    if (ky_ok(st) && found.count > 0)
        st = hsm_session_attr(&w->session, found.found[found.newest], CKA_VALUE, value,
                              sizeof(value), &len);
    if (!ky_ok(st))
        return st;
    ky_buf_put(&job->bytes, value, len);
    job->out.bytes = (struct job_r_bytes){.value = ky_buf_span(&job->bytes)};
    job->reply = &job_r_bytes_schema;
    return job->bytes.failed ? KY_STATUS(KY_NOMEM) : st;
}
