/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map with open addressing; a removed slot stays as a tombstone until the
 * next growth. No token call is made while the lock is held.
 */
#include "resident.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "ckr.h"

enum slot_state { SLOT_EMPTY, SLOT_KEY, SLOT_TWICE, SLOT_GONE };
enum { FIND_CHUNK = 256, FIRST_CAP = 64 };

struct slot {
    uint8_t id[HSM_KEY_ID];
    CK_OBJECT_HANDLE key;
    uint8_t state;
    uint8_t verified[32];
};

struct hsm_residents {
    const char *label; /* borrowed for ever */
    pthread_mutex_t lock;
    struct slot *slots; /* owned; cap of them, a power of two */
    size_t cap;
    size_t used; /* not empty, tombstones included */
    size_t keys;
};

struct hsm_residents *hsm_residents_new(const char *label)
{
    struct hsm_residents *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->label = label;
    r->cap = FIRST_CAP;
    r->slots = calloc(r->cap, sizeof(*r->slots));
    if (r->slots == NULL || pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r->slots);
        free(r);
        return NULL;
    }
    return r;
}

void hsm_residents_free(struct hsm_residents *r)
{
    if (r == NULL)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    free(r->slots);
    free(r);
}

/* Ids are random, so their own bytes are the hash. Lock held from here to the public half. */
static struct slot *slot_for(struct hsm_residents *r, const uint8_t *id)
{
    uint64_t h = 0;
    struct slot *s = NULL;

    memcpy(&h, id, sizeof(h));
    for (size_t i = (size_t)h & (r->cap - 1);; i = (i + 1) & (r->cap - 1)) {
        s = &r->slots[i];
        if (s->state == SLOT_EMPTY ||
            ky_span_eq(KY_SPAN(s->id, HSM_KEY_ID), KY_SPAN(id, HSM_KEY_ID)))
            return s;
    }
}

static struct ky_status make_room(struct hsm_residents *r)
{
    struct slot *old = r->slots;
    size_t old_cap = r->cap;
    struct slot *grown = NULL;

    if (r->used * 4 < r->cap * 3)
        return KY_STATUS(KY_OK);
    grown = calloc(old_cap * 2, sizeof(*grown));
    if (grown == NULL)
        return KY_STATUS(KY_NOMEM);
    r->slots = grown;
    r->cap = old_cap * 2;
    r->used = 0;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].state == SLOT_KEY || old[i].state == SLOT_TWICE) {
            *slot_for(r, old[i].id) = old[i];
            r->used++;
        }
    }
    free(old);
    return KY_STATUS(KY_OK);
}

static struct ky_status add_locked(struct hsm_residents *r, const uint8_t *id, CK_OBJECT_HANDLE key)
{
    struct ky_status st = make_room(r);
    struct slot *s = NULL;

    if (!ky_ok(st))
        return st;
    s = slot_for(r, id);
    if (s->state == SLOT_TWICE || (s->state == SLOT_KEY && s->key == key))
        return st;
    if (s->state == SLOT_KEY) {
        s->state = SLOT_TWICE;
        return st;
    }
    if (s->state == SLOT_EMPTY)
        r->used++;
    r->keys++;
    *s = (struct slot){.key = key, .state = SLOT_KEY};
    memcpy(s->id, id, HSM_KEY_ID);
    return st;
}

/* Public half. */

struct ky_status hsm_residents_add(struct hsm_residents *r, struct ky_span id, CK_OBJECT_HANDLE key)
{
    struct ky_status st = KY_STATUS(KY_INVALID);

    if (id.len != HSM_KEY_ID)
        return st;
    (void)pthread_mutex_lock(&r->lock);
    st = add_locked(r, id.data, key);
    (void)pthread_mutex_unlock(&r->lock);
    return st;
}

void hsm_residents_forget(struct hsm_residents *r, struct ky_span id)
{
    struct slot *s = NULL;

    if (id.len != HSM_KEY_ID)
        return;
    (void)pthread_mutex_lock(&r->lock);
    s = slot_for(r, id.data);
    if (s->state == SLOT_KEY || s->state == SLOT_TWICE) {
        s->state = SLOT_GONE;
        r->keys--;
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static bool lookup(struct hsm_residents *r, const uint8_t *id, struct slot *out)
{
    (void)pthread_mutex_lock(&r->lock);
    *out = *slot_for(r, id);
    (void)pthread_mutex_unlock(&r->lock);
    return out->state == SLOT_KEY || out->state == SLOT_TWICE;
}

const char *hsm_residents_label(const struct hsm_residents *r)
{
    return r->label;
}

static void citizen_template(const struct hsm_residents *r, struct hsm_template *t,
                             const CK_OBJECT_CLASS *class, struct ky_span id)
{
    if (class != NULL)
        hsm_template_add(t, CKA_CLASS, class, sizeof(*class));
    hsm_template_add(t, CKA_LABEL, r->label, strlen(r->label));
    if (id.len > 0)
        hsm_template_add(t, CKA_ID, id.data, id.len);
}

static struct ky_status search(struct hsm_residents *r, const struct hsm_session *s,
                               struct ky_span id)
{
    static const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;
    struct hsm_template t = {.count = 0};
    struct ky_status st;

    citizen_template(r, &t, &class, id);
    st = hsm_session_find(s, t.attrs, t.count, found, 2, &count);
    for (CK_ULONG i = 0; ky_ok(st) && i < count; i++)
        st = hsm_residents_add(r, id, found[i]);
    return st;
}

struct ky_status hsm_residents_find(struct hsm_residents *r, const struct hsm_session *s,
                                    struct ky_span id, CK_OBJECT_HANDLE *out_key,
                                    uint8_t out_verified[32])
{
    struct slot found;

    if (id.len != HSM_KEY_ID)
        return KY_STATUS(KY_INVALID);
    if (!lookup(r, id.data, &found)) {
        struct ky_status st = search(r, s, id);

        if (!ky_ok(st))
            return st;
        if (!lookup(r, id.data, &found))
            return KY_STATUS(KY_NOT_FOUND);
    }
    if (found.state == SLOT_TWICE)
        return KY_STATUS_CAUSE(KY_CORRUPT, CKA_ID);
    *out_key = found.key;
    memcpy(out_verified, found.verified, sizeof(found.verified));
    return KY_STATUS(KY_OK);
}

void hsm_residents_set_verified(struct hsm_residents *r, struct ky_span id, CK_OBJECT_HANDLE key,
                                const uint8_t spki_sha256[32])
{
    struct slot *s = NULL;

    (void)pthread_mutex_lock(&r->lock);
    s = slot_for(r, id.data);
    if (s->state == SLOT_KEY && s->key == key)
        memcpy(s->verified, spki_sha256, sizeof(s->verified));
    (void)pthread_mutex_unlock(&r->lock);
}

/*
 * One C_FindObjects pass; the ids are read after it, because some tokens allow no other call during
 * a search.
 */
struct ky_status hsm_residents_enumerate(struct hsm_residents *r, const struct hsm_session *s)
{
    static const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    struct hsm_template t = {.count = 0};
    CK_OBJECT_HANDLE *found = NULL;
    CK_ULONG cap = FIND_CHUNK;
    CK_ULONG count = 0;
    struct ky_status st = KY_STATUS(KY_OK);

    citizen_template(r, &t, &class, KY_SPAN(NULL, 0));
    do { /* again with more room when it came back full */
        CK_OBJECT_HANDLE *more = realloc(found, (cap *= 4) * sizeof(*found));

        if (more == NULL) {
            st = KY_STATUS(KY_NOMEM);
            goto done;
        }
        found = more;
        st = hsm_session_find(s, t.attrs, t.count, found, cap, &count);
    } while (ky_ok(st) && count == cap);
    for (CK_ULONG i = 0; ky_ok(st) && i < count; i++) {
        uint8_t id[HSM_KEY_ID];
        size_t len = 0;

        /* One object that cannot be read costs that key, not the vault. */
        if (ky_ok(hsm_session_attr(s, found[i], CKA_ID, id, sizeof(id), &len)) && len == HSM_KEY_ID)
            st = hsm_residents_add(r, KY_SPAN_OF(id), found[i]);
    }
done:
    free(found);
    return st;
}

struct ky_status hsm_residents_destroy(struct hsm_residents *r, const struct hsm_session *s,
                                       struct ky_span id)
{
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 0;
    struct hsm_template t = {.count = 0};
    struct ky_status st;
    CK_RV rv = CKR_OK;

    if (id.len != HSM_KEY_ID)
        return KY_STATUS(KY_INVALID);
    citizen_template(r, &t, NULL, id);
    st = hsm_session_find(s, t.attrs, t.count, found, HSM_COUNT(found), &count);
    hsm_residents_forget(r, id);
    for (CK_ULONG i = 0; ky_ok(st) && i < count; i++) {
        rv = s->module->fn->C_DestroyObject(s->handle, found[i]);
        if (rv != CKR_OBJECT_HANDLE_INVALID)
            st = hsm_ckr_status(rv);
    }
    if (ky_ok(st) && count == 0)
        st = KY_STATUS(KY_NOT_FOUND);
    return st;
}

size_t hsm_residents_count(struct hsm_residents *r)
{
    size_t n = 0;

    (void)pthread_mutex_lock(&r->lock);
    n = r->keys;
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}
