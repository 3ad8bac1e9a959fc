/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault's life: load, say hello, take the PIN, log in, find and check the keys,
 * serve, finalize. Main thread. The PIN is tried once, then wiped, whatever comes
 * of it; a vault that cannot go on ends, and the supervisor decides what is next.
 */
#include "vault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ckr.h"
#include "loop.h"
#include "probe.h"
#include "tuning.h"

static struct ky_status tell(uint32_t type, uint64_t arg)
{
    const struct control_msg m = {.type = type, .arg = arg};

    return control_send(KY_CONTROL_FD, &m, -1);
}

static void log_status(const struct hsm_config *config, const char *event, const char *what,
                       struct ky_status st)
{
    char detail[160];

    (void)snprintf(
        detail, sizeof(detail), "%s: %s %s", what, ky_code_info(st.code)->name,
        st.code >= KY_TOKEN_REQUEST && st.code <= KY_TOKEN_MODULE ? hsm_ckr_name(st.cause) : "");
    hsm_log(config, event, detail, st.cause);
}

/* Straight into the locked page: the PIN has no other copy here. KY_INVALID when it is too long. */
static struct ky_status pin_read(int fd, struct ky_secret *out)
{
    static const uint8_t room[KY_SECRET_MAX];
    size_t len = 0;
    ssize_t got = 0;
    struct ky_status st = ky_secret_set(out, KY_SPAN_OF(room));

    if (!ky_ok(st))
        return st;
    do {
        got = read(fd, out->bytes + len, KY_SECRET_MAX - len);
        if (got > 0)
            len += (size_t)got;
    } while ((got > 0 && len < KY_SECRET_MAX) || (got < 0 && errno == EINTR));
    if (got < 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    if (len > 0 && out->bytes[len - 1] == '\n')
        len--;
    out->len = len;
    return len < KY_SECRET_MAX ? KY_STATUS(KY_OK) : KY_STATUS(KY_INVALID);
}

/* KY_CANCELLED: told to go before any PIN came. */
static struct ky_status pin_receive(struct ky_secret *out)
{
    for (;;) {
        struct control_msg m;
        int fd = -1;
        struct ky_status st = control_recv(KY_CONTROL_FD, &m, &fd);

        if (ky_ok(st) && m.type == CONTROL_PIN && fd >= 0) {
            st = pin_read(fd, out);
            (void)close(fd);
            return st;
        }
        if (fd >= 0)
            (void)close(fd);
        if (!ky_ok(st) || m.type == CONTROL_DRAIN)
            return KY_STATUS(KY_CANCELLED);
    }
}

static int login(struct hsm_vault *v)
{
    struct ky_secret pin = {.bytes = NULL};
    struct ky_status st = tell(CONTROL_HELLO, 0);

    if (ky_ok(st))
        st = pin_receive(&pin);
    if (!ky_ok(st) && st.code != KY_INVALID) {
        ky_secret_wipe(&pin);
        return st.code == KY_CANCELLED ? HSM_EXIT_OK : HSM_EXIT_CHANNEL;
    }
    if (ky_ok(st))
        st = hsm_module_login(&v->module, &pin);
    else
        st = KY_STATUS_CAUSE(KY_TOKEN_LOGIN,
                             CKR_PIN_LEN_RANGE); /* too long: never reached the token */
    ky_secret_wipe(&pin);
    if (ky_ok(st) && ky_ok(tell(CONTROL_LOGGED_IN, 0)))
        return -1;
    if (ky_ok(st))
        return HSM_EXIT_CHANNEL;
    log_status(v->config, "login-failed", "login", st);
    /* Only what C_Login said itself may be taken for the token's verdict on the PIN. */
    (void)tell(CONTROL_LOGIN_FAILED, st.code == KY_TOKEN_LOGIN ? st.cause : CKR_OK);
    return HSM_EXIT_LOGIN;
}

static struct ky_status tune(const struct hsm_config *config)
{
    bool effective = false;
    struct ky_status st = hsm_tuning_apply(&effective);

    if (ky_ok(st) && !effective)
        hsm_log(config, "vault",
                "software-tuning is void: openssl.cnf activates the default provider", 0);
    return st;
}

/* KY_STATUS of the start; *out_what names the step that failed. */
static struct ky_status open_token(struct hsm_vault *v, const char **out_what)
{
    struct ky_status st;

    if (v->config->software_tuning) {
        *out_what = "software-tuning";
        st = tune(v->config);
        if (!ky_ok(st))
            return st;
    }
    *out_what = "module";
    st = hsm_module_open(v->config, &v->module);
    if (ky_ok(st)) {
        *out_what = "token-uri";
        st = hsm_module_find_token(&v->module, v->config->token_uri);
    }
    return st;
}

static struct ky_status open_keys(struct hsm_vault *v, struct hsm_worker *w, const char **out_what)
{
    struct ky_status st = KY_STATUS(KY_OK);

    hsm_caps_probe(&v->module, &v->caps);
    v->caps.unrestricted = v->config->unrestricted_keys;
    if (v->config->provision) {
        *out_what = "provision";
        st = hsm_keys_provision(&w->session, &v->caps);
    }
    if (ky_ok(st)) {
        *out_what = "keys";
        st = hsm_keys_load(&w->session, &v->caps, &v->keys);
    }
    if (ky_ok(st)) {
        *out_what = "resident-keys";
        st = hsm_residents_enumerate(v->residents, &w->session);
    }
    return st;
}

static void announce(const struct hsm_vault *v)
{
    char token[160];
    char caps[200];
    char line[440];

    hsm_module_describe(&v->module, token, sizeof(token));
    hsm_caps_describe(&v->caps, caps, sizeof(caps));
    (void)snprintf(line, sizeof(line), "%s %s ledger-key=%s kek=%u older-kek=%u resident-keys=%zu", token,
                   caps, ky_key_info(v->keys.ledger_type)->name, v->keys.keks[0].generation,
                   v->keys.keks[1].generation, hsm_residents_count(v->residents));
    hsm_log(v->config, "token", line, 0);
    if (!v->caps.restricts)
        hsm_log(v->config, "token-unrestricted", "whoever has the PIN can copy this token's keys: it is for tests", 0);
}

/* A token whose state is per token gets one worker: then no two operations can meet. */
static uint32_t worker_count(const struct hsm_config *config)
{
    if (config->serialize || config->provision || config->probe || config->sessions < 1)
        return 1;
    return config->sessions;
}

static int serve(struct hsm_vault *v, struct hsm_worker *workers, uint32_t n)
{
    struct hsm_pool *pool = NULL;
    char detail[64];
    int code = HSM_EXIT_START;

    for (uint32_t i = 1; i < n; i++) {
        workers[i].vault = v;
        if (!ky_ok(hsm_session_open(&v->module, i, &workers[i].session)))
            return HSM_EXIT_MODULE;
    }
    pool = hsm_pool_new(workers, n);
    if (pool == NULL)
        return code;
    code = ky_ok(tell(CONTROL_READY, 0)) ? hsm_loop_run(v, pool) : HSM_EXIT_CHANNEL;
    hsm_pool_free(pool);
    (void)snprintf(detail, sizeof(detail), "unwraps=%llu cached=%u",
                   (unsigned long long)atomic_load_explicit(&v->unwraps, memory_order_relaxed),
                   hsm_cache_count(v->cache));
    hsm_log(v->config, "stopped", detail, (uint32_t)code);
    return code;
}

static int work(struct hsm_vault *v, struct hsm_worker *workers, uint32_t n)
{
    const char *what = "session";
    struct ky_status st = KY_STATUS(KY_OK);

    workers[0].vault = v;
    st = hsm_session_open(&v->module, 0, &workers[0].session);
    if (ky_ok(st) && v->config->probe) {
        hsm_caps_probe(&v->module, &v->caps);
        (void)hsm_probe(&workers[0], stdout);
        return ky_ok(tell(CONTROL_DONE, 0)) ? HSM_EXIT_OK : HSM_EXIT_CHANNEL;
    }
    if (ky_ok(st))
        st = open_keys(v, &workers[0], &what);
    if (!ky_ok(st)) {
        log_status(v->config, "key-refused", what, st);
        if (st.code == KY_UNSUPPORTED && st.cause == CKA_COPYABLE)
            hsm_log(v->config, "key-refused",
                    "whoever has the PIN can copy this token's keys: it is for tests, with token.unrestricted_keys: true", st.cause);
        return v->config->provision && st.cause == CKR_DEVICE_MEMORY ? HSM_EXIT_FULL : HSM_EXIT_KEYS;
    }
    announce(v);
    if (v->config->provision)
        return ky_ok(tell(CONTROL_DONE, 0)) ? HSM_EXIT_OK : HSM_EXIT_CHANNEL;
    return serve(v, workers, n);
}

int hsm_vault_run(const struct hsm_config *config)
{
    struct hsm_vault v = {.config = config};
    uint32_t n = worker_count(config);
    struct hsm_worker *workers = calloc(n, sizeof(*workers));
    const char *what = "memory";
    int code = HSM_EXIT_START;
    struct ky_status st = KY_STATUS(KY_NOMEM);

    /* Room for a key that each thread is using, whatever is configured. */
    v.cache = hsm_cache_new(config->cache_keys > 2 * n ? config->cache_keys : 2 * n);
    v.residents = hsm_residents_new(config->probe ? HSM_LABEL_TRIAL : HSM_LABEL_CITIZEN);
    if (workers == NULL || v.cache == NULL || v.residents == NULL)
        goto done;
    st = open_token(&v, &what);
    if (!ky_ok(st))
        goto done;
    code = login(&v);
    if (code < 0)
        code = work(&v, workers, n);
done:
    if (!ky_ok(st))
        log_status(config, "token-error", what, st);
    for (uint32_t i = 0; workers != NULL && i < n; i++)
        hsm_verifier_wipe(&workers[i].verifier);
    hsm_module_close(&v.module);
    hsm_cache_free(v.cache);
    hsm_residents_free(v.residents);
    free(workers);
    return code;
}
