/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token can really do, tried and printed as a table for people, and whether Kyso takes it. Main thread of a vault that
 * serves nobody. Every key it makes is destroyed again; those that must be token objects are so for milliseconds, under a
 * label of their own: what a probe that was killed has left is no citizen's key, and goes with the next one.
 */
#include "probe.h"

#include <stdio.h>
#include <string.h>

#include "ckr.h"

#define SESSIONS_TRIED 64u

struct probe {
    struct hsm_worker *w;
    FILE *out;
    const char *refused;   /* why Kyso does not take the token; NULL so far */
    const char *unwrapped; /* why it keeps no key in the database */
};

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
static const CK_ATTRIBUTE plain = {CKA_EXTRACTABLE, (void *)(uintptr_t)&no, sizeof(no)};
static const CK_ATTRIBUTE open_key = {CKA_EXTRACTABLE, (void *)(uintptr_t)&yes, sizeof(yes)};

static const char *word(CK_RV rv)
{
    return rv == CKR_OK ? "yes" : hsm_ckr_name(rv);
}

/* --- what an earlier one left ---------------------------------------------------------------------- */

static void sweep(struct probe *p)
{
    const struct hsm_session *s = &p->w->session;
    CK_OBJECT_HANDLE found[64];
    struct hsm_template t = {.count = 0};
    CK_ULONG count = 0, swept = 0, gone;

    hsm_template_add(&t, CKA_LABEL, HSM_LABEL_TRIAL, strlen(HSM_LABEL_TRIAL));
    do {
        gone = 0;
        if (!ky_ok(hsm_session_find(s, t.attrs, t.count, found, HSM_COUNT(found), &count)))
            break;
        for (CK_ULONG i = 0; i < count; i++)
            gone += s->module->fn->C_DestroyObject(s->handle, found[i]) == CKR_OK;
        swept += gone;
    } while (gone > 0);
    if (swept > 0)
        (void)fprintf(p->out, "removed    objects that an earlier probe has left: %lu\n", swept);
    if (count > 0)
        (void)fprintf(p->out, "left       objects of a probe that cannot be removed: %lu\n", count);
}

/* --- attributes --------------------------------------------------------------------------------- */

static CK_RV make_aes(const struct hsm_session *s, const CK_BBOOL *token, const CK_ATTRIBUTE *also,
                      CK_OBJECT_HANDLE *out)
{
    const CK_ULONG len = 32;
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    struct hsm_template t = {.count = 0};

    hsm_template_add(&t, CKA_LABEL, HSM_LABEL_TRIAL, strlen(HSM_LABEL_TRIAL));
    hsm_template_add(&t, CKA_VALUE_LEN, &len, sizeof(len));
    hsm_template_add(&t, CKA_TOKEN, token, sizeof(*token));
    hsm_template_add(&t, CKA_PRIVATE, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_SENSITIVE, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_WRAP, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_UNWRAP, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_DECRYPT, &no, sizeof(no));
    if (also->type != CKA_EXTRACTABLE)
        hsm_template_add(&t, CKA_EXTRACTABLE, &no, sizeof(no));
    hsm_template_add(&t, also->type, also->pValue, also->ulValueLen);
    return s->module->fn->C_GenerateKey(s->handle, &mechanism, t.attrs, t.count, out);
}

/* The attacks. `with` is the attribute that is set in the key or in its copy, or the mechanism that wraps. */

static CK_RV set(const struct hsm_session *s, CK_OBJECT_HANDLE key, CK_ULONG with)
{
    CK_ATTRIBUTE a = {with, (void *)(uintptr_t)&yes, sizeof(yes)};

    return s->module->fn->C_SetAttributeValue(s->handle, key, &a, 1);
}

static CK_RV copy(const struct hsm_session *s, CK_OBJECT_HANDLE key, CK_ULONG with)
{
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    CK_ATTRIBUTE a[] = {{CKA_TOKEN, (void *)(uintptr_t)&no, sizeof(no)},
                        {with, (void *)(uintptr_t)&yes, sizeof(yes)}};
    CK_RV rv = s->module->fn->C_CopyObject(s->handle, key, a, with == CKA_TOKEN ? 1 : 2, &made);

    hsm_session_destroy(s, &made);
    return rv;
}

/* Another key wrapped by this one and unwrapped as extractable. A token that cannot wrap has kept it closed. */
static CK_RV through_wrap(const struct hsm_session *s, CK_OBJECT_HANDLE key, CK_ULONG with)
{
    const CK_FUNCTION_LIST *fn = s->module->fn;
    const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    const CK_KEY_TYPE type = CKK_AES;
    CK_MECHANISM mechanism = {with, NULL, 0};
    CK_OBJECT_HANDLE inner = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE opened = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    uint8_t blob[128];
    CK_ULONG len = sizeof(blob);
    CK_RV rv = make_aes(s, &no, &open_key, &inner);

    if (rv == CKR_OK)
        rv = fn->C_WrapKey(s->handle, &mechanism, key, inner, blob, &len);
    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_KEY_TYPE, &type, sizeof(type));
    hsm_template_add(&t, CKA_EXTRACTABLE, &yes, sizeof(yes));
    if (rv == CKR_OK)
        rv = fn->C_UnwrapKey(s->handle, &mechanism, key, blob, len, t.attrs, t.count, &opened);
    hsm_session_destroy(s, &opened);
    hsm_session_destroy(s, &inner);
    return rv;
}

static const CK_MECHANISM_TYPE kwp = CKM_AES_KEY_WRAP_PAD;
static const CK_ATTRIBUTE closed[] = {
    {CKA_EXTRACTABLE, (void *)(uintptr_t)&no, sizeof(no)},
};

/* What a key is born with, what must then fail, and a key without it on which the same must work. */
static const struct attribute_row {
    const char *name;
    CK_ATTRIBUTE attribute;
    const CK_ATTRIBUTE *control;
    CK_RV (*attack)(const struct hsm_session *s, CK_OBJECT_HANDLE key, CK_ULONG with);
    CK_ULONG with;
} attribute_rows[] = {
#define ROW(name, type, value, control, attack, with)                                              \
    {name, {type, (void *)(uintptr_t)(value), sizeof(*(value))}, control, attack, with}
    ROW("EXTRACTABLE false, set again", CKA_EXTRACTABLE, &no, &open_key, set, CKA_EXTRACTABLE),
    ROW("EXTRACTABLE false, in a copy", CKA_EXTRACTABLE, &no, &open_key, copy, CKA_EXTRACTABLE),
    ROW("MODIFIABLE false", CKA_MODIFIABLE, &no, &plain, set, CKA_DECRYPT),
    ROW("COPYABLE false", CKA_COPYABLE, &no, &plain, copy, CKA_TOKEN),
    ROW("ALLOWED_MECHANISMS", CKA_ALLOWED_MECHANISMS, &kwp, &plain, through_wrap, CKM_AES_KEY_WRAP),
    ROW("UNWRAP_TEMPLATE", CKA_UNWRAP_TEMPLATE, &closed[0], &plain, through_wrap,
        CKM_AES_KEY_WRAP_PAD),
#undef ROW
};

/* How the attack ends on a key that is born with this. */
static CK_RV attacked(const struct hsm_session *s, const struct attribute_row *r,
                      const CK_ATTRIBUTE *attribute, CK_RV *out_born)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_RV rv = *out_born = make_aes(s, &yes, attribute, &key);

    if (rv == CKR_OK)
        rv = r->attack(s, key, r->with);
    hsm_session_destroy(s, &key);
    return rv;
}

static void try_attributes(struct probe *p)
{
    const struct hsm_session *s = &p->w->session;

    for (size_t i = 0; i < HSM_COUNT(attribute_rows); i++) {
        const struct attribute_row *r = &attribute_rows[i];
        CK_RV born, unused;
        bool held = attacked(s, r, &r->attribute, &born) != CKR_OK && born == CKR_OK;
        bool works = held && attacked(s, r, r->control, &unused) == CKR_OK;

        (void)fprintf(p->out, "  %-32s %s\n", r->name,
                      born != CKR_OK ? hsm_ckr_name(born)
                      : !held        ? "NOT KEPT"
                      : works        ? "kept"
                                     : "cannot tell: without it that fails too");
        if (r->attribute.type == CKA_COPYABLE && born != CKR_OK) {
            p->w->vault->caps.restricts = false;
            p->unwrapped = "whoever has the PIN can copy its keys (a demo, or token.unrestricted_keys)";
        } else if (r->attribute.type != CKA_EXTRACTABLE && !held && p->unwrapped == NULL) {
            p->refused = "a key that wraps could be given other rights";
        }
    }
}

/* --- keys ----------------------------------------------------------------------------------------- */

/* The whole of what a credential's key goes through: made, wrapped, unwrapped, signed with, verified. */
static struct ky_status try_key(struct probe *p, uint8_t type, uint8_t storage, size_t *out_blob)
{
    struct hsm_job job = {.type = JOB_GENERATE, .bytes = KY_BUF_INIT(16384)};
    struct ky_status st = KY_STATUS(KY_OK);

    job.in.generate.key_type = type;
    job.in.generate.storage = storage;
    if (storage == KY_STORE_RESIDENT)
        st = ky_random(job.in.generate.key_id, sizeof(job.in.generate.key_id));
    if (ky_ok(st))
        st = hsm_job_generate(p->w, &job);
    *out_blob = ky_ok(st) ? job.out.generate.blob.len : 0;
    if (ky_ok(st) && storage == KY_STORE_RESIDENT)
        st = hsm_residents_destroy(p->w->vault->residents, &p->w->session,
                                   KY_SPAN_OF(job.in.generate.key_id));
    ky_buf_free(&job.bytes);
    return st;
}

static const char *outcome(struct ky_status st)
{
    return ky_ok(st)                     ? "yes"
           : st.code == KY_UNSUPPORTED   ? "-"
           : st.code >= KY_TOKEN_REQUEST ? hsm_ckr_name(st.cause)
                                         : ky_code_info(st.code)->name;
}

static void try_keys(struct probe *p)
{
    struct hsm_vault *v = p->w->vault;
    bool wraps = v->caps.wrap != 0 && make_aes(&p->w->session, &no, &plain, &v->keys.keks[0].key) == CKR_OK;

    v->keys.keks[0].generation = wraps;
    v->caps.wrappable = wraps ? v->caps.key_types : 0;
    if (!wraps && p->unwrapped == NULL)
        p->unwrapped = "it has no AES key wrap with padding";
    (void)fprintf(p->out, "\n%-9s %-28s %s\n", "key", "wrapped, unwrapped and signed", "resident and signed");
    for (uint8_t t = 1; t < KY_KEY_TYPE_COUNT; t++) {
        size_t blob = 0;
        size_t id = 0;
        struct ky_status wrapped = try_key(p, t, KY_STORE_WRAPPED, &blob);
        struct ky_status resident = try_key(p, t, KY_STORE_RESIDENT, &id);
        char size[32] = "";

        if (blob > 0)
            (void)snprintf(size, sizeof(size), ", %zu bytes", blob);
        (void)fprintf(p->out, "%-9s %s%-*s %s\n", ky_key_info(t)->name, outcome(wrapped),
                      (int)(29 - strlen(outcome(wrapped))), size, outcome(resident));
        if (!ky_ok(resident) && (t == KY_KEY_P256 || t == KY_KEY_ED25519))
            v->caps.key_types &= ~(1u << t);
    }
    hsm_session_destroy(&p->w->session, &v->keys.keks[0].key);
    if (!(v->caps.key_types & (1u << KY_KEY_P256 | 1u << KY_KEY_ED25519)))
        p->refused = "neither P-256 nor Ed25519 for the ledger's key";
}

/* --- the rest -------------------------------------------------------------------------------------- */

static CK_RV try_data(const struct hsm_session *s)
{
    static const CK_OBJECT_CLASS class = CKO_DATA;
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    struct hsm_template t = {.count = 0};
    CK_RV rv;

    hsm_template_add(&t, CKA_CLASS, &class, sizeof(class));
    hsm_template_add(&t, CKA_TOKEN, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_PRIVATE, &yes, sizeof(yes));
    hsm_template_add(&t, CKA_LABEL, HSM_LABEL_TRIAL, strlen(HSM_LABEL_TRIAL));
    hsm_template_add(&t, CKA_VALUE, HSM_LABEL_TRIAL, strlen(HSM_LABEL_TRIAL));
    rv = s->module->fn->C_CreateObject(s->handle, t.attrs, t.count, &made);
    hsm_session_destroy(s, &made);
    return rv;
}

static void try_objects(struct probe *p)
{
    const struct hsm_session *s = &p->w->session;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_BBOOL local = CK_FALSE;
    uint8_t random[16];
    size_t len = 0;
    CK_RV rv = make_aes(s, &yes, &plain, &key);

    (void)fprintf(p->out, "\n%-34s %s\n", "data objects that stay", word(try_data(s)));
    (void)fprintf(p->out, "%-34s %s\n", "random",
                  word(s->module->fn->C_GenerateRandom(s->handle, random, sizeof(random))));
    if (rv == CKR_OK && ky_ok(hsm_session_attr(s, key, CKA_LOCAL, &local, sizeof(local), &len)))
        (void)fprintf(p->out, "%-34s %s\n", "CKA_LOCAL on its own keys", local ? "yes" : "no");
    if (rv == CKR_OK)
        (void)fprintf(p->out, "%-34s %s\n", "a token key copied to the session", word(copy(s, key, CKA_TOKEN)));
    hsm_session_destroy(s, &key);
}

/* Whether a search in one session is in the way of one in another. */
static bool is_per_token(const struct hsm_session *s, CK_SESSION_HANDLE other)
{
    const CK_FUNCTION_LIST *fn = s->module->fn;
    CK_RV rv = CKR_OK;

    if (fn->C_FindObjectsInit(s->handle, NULL, 0) != CKR_OK)
        return false;
    rv = fn->C_FindObjectsInit(other, NULL, 0);
    if (rv == CKR_OK)
        (void)fn->C_FindObjectsFinal(other);
    (void)fn->C_FindObjectsFinal(s->handle);
    return rv == CKR_OPERATION_ACTIVE;
}

static void try_sessions(struct probe *p)
{
    const struct hsm_session *s = &p->w->session;
    const CK_FUNCTION_LIST *fn = s->module->fn;
    CK_SESSION_HANDLE open[SESSIONS_TRIED];
    unsigned n = 0;
    bool per_token = false;

    while (n < SESSIONS_TRIED &&
           fn->C_OpenSession(s->module->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                             &open[n]) == CKR_OK)
        n++;
    per_token = n > 0 && is_per_token(s, open[0]);
    for (unsigned i = 0; i < n; i++)
        (void)fn->C_CloseSession(open[i]);
    (void)fprintf(p->out, "%-34s %u%s beside ours\n", "sessions", n,
                  n == SESSIONS_TRIED ? " and more" : "");
    (void)fprintf(p->out, "%-34s %s\n", "operation state",
                  per_token ? "per token: token.serialize" : "per session");
    if (per_token && !p->w->vault->config->serialize && p->w->vault->config->sessions > 1)
        p->refused = "it has one operation at a time: set token.serialize";
}

static void try_mechanisms(struct probe *p)
{
    const struct hsm_module *m = &p->w->vault->module;
    CK_ULONG count = 0;
    CK_INFO info;
    char token[160];
    char caps[200];

    hsm_module_describe(m, token, sizeof(token));
    hsm_caps_describe(&p->w->vault->caps, caps, sizeof(caps));
    (void)fprintf(p->out, "token      %s\n", token);
    if (m->fn->C_GetInfo(&info) == CKR_OK)
        (void)fprintf(p->out, "module     Cryptoki %u.%u\n", info.cryptokiVersion.major,
                      info.cryptokiVersion.minor);
    if (m->fn->C_GetMechanismList(m->slot, NULL, &count) == CKR_OK)
        (void)fprintf(p->out, "mechanisms %lu; says %s\n", count, caps);
    (void)fputs("\nattributes of token keys\n", p->out);
}

const char *hsm_probe(struct hsm_worker *w, FILE *out)
{
    struct probe p = {.w = w, .out = out};

    sweep(&p);
    w->vault->caps.restricts = true;
    try_mechanisms(&p);
    try_attributes(&p);
    try_keys(&p);
    try_objects(&p);
    try_sessions(&p);
    if (p.refused != NULL)
        (void)fprintf(p.out, "\nKyso refuses this token: %s\n", p.refused);
    else if (p.unwrapped != NULL)
        (void)fprintf(p.out, "\nKyso takes it for resident keys only: %s\n", p.unwrapped);
    else
        (void)fputs("\nKyso takes this token, for wrapped and for resident keys\n", p.out);
    (void)fflush(p.out);
    return p.refused != NULL ? p.refused : p.unwrapped;
}
