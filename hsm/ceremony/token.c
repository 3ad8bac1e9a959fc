/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token set-up in plain PKCS#11. C_InitToken takes the SO's PIN that a token has and keeps it, so PINs are
 * changed before a token is wiped and named: at any moment a token has either the trial PIN or the derived one.
 */
#include "token.h"

#include <stdio.h>
#include <string.h>

#include "ckr.h"

static const char trial_pin[] = "kyso-trial-pin";

struct ky_status token_open(const struct plan *plan, struct token *t)
{
    *t = (struct token){.config = {.module = plan->token.module,
                                   .token_uri = plan->token.uri,
                                   .init_args = plan->token.init_args,
                                   .sessions = 1}};
    t->worker.session.handle = CK_INVALID_HANDLE;
    t->worker.vault = &t->vault;
    t->vault.config = &t->config;
    t->vault.residents = hsm_residents_new(HSM_LABEL_TRIAL);
    if (t->vault.residents == NULL)
        return KY_STATUS(KY_NOMEM);
    return hsm_module_open(&t->config, &t->vault.module);
}

void token_close(struct token *t)
{
    hsm_verifier_wipe(&t->worker.verifier);
    hsm_module_close(&t->vault.module);
    hsm_residents_free(t->vault.residents);
    *t = (struct token){.vault.residents = NULL};
}

static struct ky_status find(struct token *t, const char *label)
{
    return label != NULL ? hsm_module_find_other(&t->vault.module, t->config.token_uri, label, 0)
                         : hsm_module_find_token(&t->vault.module, t->config.token_uri);
}

bool token_is_there(struct token *t, const char *label)
{
    struct ky_status st = find(t, label);

    return ky_ok(st) || (st.code == KY_NOT_FOUND && st.cause > 1);
}

void token_serial(const struct token *t, char out[TOKEN_SERIAL])
{
    const struct hsm_module *m = &t->vault.module;
    size_t len = sizeof(m->token.serialNumber);

    while (len > 0 && (m->token.serialNumber[len - 1] == ' ' || m->token.serialNumber[len - 1] == '\0'))
        len--;
    (void)snprintf(out, TOKEN_SERIAL, "%.*s", (int)len, (const char *)m->token.serialNumber);
}

static bool has_serial(const struct token *t, const char *serial)
{
    char own[TOKEN_SERIAL];

    token_serial(t, own);
    return own[0] != '\0' && strcmp(own, serial) == 0;
}

bool token_is(struct token *t, const char *label, const char *serial)
{
    return ky_ok(find(t, label)) && has_serial(t, serial);
}

static struct ky_secret trial(void)
{
    return (struct ky_secret){.bytes = (uint8_t *)(uintptr_t)trial_pin,
                              .len = sizeof(trial_pin) - 1};
}

static void leave(struct token *t)
{
    struct hsm_module *m = &t->vault.module;

    (void)m->fn->C_CloseAllSessions(m->slot);
    m->anchor = CK_INVALID_HANDLE;
    t->worker.session.handle = CK_INVALID_HANDLE;
}

/* A session of the security officer's. */
static CK_RV so_session(const struct hsm_module *m, const struct ky_secret *pin,
                        CK_SESSION_HANDLE *out)
{
    CK_RV rv = m->fn->C_OpenSession(m->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, out);

    return rv == CKR_OK ? m->fn->C_Login(*out, CKU_SO, pin->bytes, pin->len) : rv;
}

static struct ky_status user_login(struct token *t, const struct ky_secret *pin)
{
    struct hsm_module *m = &t->vault.module;
    struct ky_status st = hsm_module_login(m, pin);

    if (ky_ok(st))
        st = hsm_session_open(m, 0, &t->worker.session);
    if (ky_ok(st))
        hsm_caps_probe(m, &t->vault.caps);
    t->vault.caps.restricts = true; /* a token that does not restrict keys is not taken at all */
    return st;
}

struct ky_status token_login(struct token *t, const struct token_pins *pins)
{
    struct ky_status st = find(t, NULL);

    return ky_ok(st) ? user_login(t, &pins->user) : st;
}

/* Wipes the token, names it, sets the user's PIN, logs the user in. */
static struct ky_status init(struct token *t, const uint8_t label[32], const struct ky_secret *so,
                             const struct ky_secret *user)
{
    struct hsm_module *m = &t->vault.module;
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_RV rv;

    leave(t);
    rv = m->fn->C_InitToken(m->slot, so->bytes, so->len, (CK_UTF8CHAR_PTR)(uintptr_t)label);
    if (rv == CKR_OK)
        rv = so_session(m, so, &s);
    if (rv == CKR_OK)
        rv = m->fn->C_InitPIN(s, user->bytes, user->len);
    leave(t);
    if (rv == CKR_OK) /* the name that it has now */
        rv = m->fn->C_GetTokenInfo(m->slot, &m->token);
    return rv == CKR_OK ? user_login(t, user) : hsm_ckr_status(rv);
}

static void pad(const char *label, uint8_t out[32])
{
    memset(out, ' ', 32);
    memcpy(out, label, strnlen(label, 32));
}

struct ky_status token_try(struct token *t)
{
    static const char *const kinds[] = {TOKEN_TRIAL, NULL};
    struct hsm_module *m = &t->vault.module;
    const struct ky_secret pin = trial();
    uint8_t label[32];
    struct ky_status st = KY_STATUS(KY_NOT_FOUND);

    pad(TOKEN_TRIAL, label);
    /* One on trial that an earlier kill has damaged is passed over. */
    for (size_t i = 0; !ky_ok(st) && i < HSM_COUNT(kinds); i++)
        for (unsigned skip = 0; !ky_ok(st); skip++) {
            struct ky_status found = hsm_module_find_other(m, t->config.token_uri, kinds[i], skip);

            if (!ky_ok(found))
                break;
            st = m->token.ulMinPinLen > PIN_LEN || m->token.ulMaxPinLen < PIN_LEN
                     ? KY_STATUS_CAUSE(KY_TOKEN_LOGIN, CKR_PIN_LEN_RANGE)
                     : init(t, label, &pin, &pin);
        }
    return st;
}

/*
 * Gives the SO of a token on trial another PIN. A token that has it already was left between this and its
 * naming: the trial PIN is wrong there, once, and that is no error.
 */
static struct ky_status change_so(struct token *t, const struct ky_secret *from,
                                  const struct ky_secret *to)
{
    struct hsm_module *m = &t->vault.module;
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_RV rv;

    leave(t);
    rv = so_session(m, from, &s);
    if (rv == CKR_OK)
        rv = m->fn->C_SetPIN(s, from->bytes, from->len, to->bytes, to->len);
    else if (rv == CKR_PIN_INCORRECT)
        rv = CKR_OK;
    leave(t);
    return hsm_ckr_status(rv);
}

struct ky_status token_make(struct token *t, const struct token_pins *pins, const char *label,
                            const char *serial)
{
    struct hsm_module *m = &t->vault.module;
    const struct ky_secret pin = trial();
    uint8_t name[32];
    struct ky_status st = KY_STATUS(KY_OK);

    if (label != NULL)
        pad(label, name);
    else
        st = hsm_module_label(t->config.token_uri, name);
    if (!ky_ok(st))
        return st;
    if (token_is(t, label, serial))
        return init(t, name, &pins->so, &pins->user);
    st = KY_STATUS(KY_NOT_FOUND);
    for (unsigned skip = 0; !ky_ok(st); skip++) {
        struct ky_status found = hsm_module_find_other(m, t->config.token_uri, TOKEN_TRIAL, skip);

        if (!ky_ok(found))
            return st;
        if (!has_serial(t, serial))
            continue;
        st = change_so(t, &pin, &pins->so);
        if (ky_ok(st))
            st = init(t, name, &pins->so, &pins->user);
    }
    return st;
}

struct ky_status token_unmake(struct token *t, const struct token_pins *pins)
{
    const struct ky_secret pin = trial();
    uint8_t label[32];
    struct ky_status st;

    pad(TOKEN_TRIAL, label);
    st = init(t, label, &pins->so, &pins->user); /* no key is left before the PIN is no secret */
    if (ky_ok(st))
        st = change_so(t, &pins->so, &pin);
    return ky_ok(st) ? init(t, label, &pin, &pin) : st;
}
