/* SPDX-License-Identifier: Apache-2.0 */
/* One session of hsm/'s own, opened as a vault opens its first. The program's only thread. */
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sign.h"
#include "vault.h"

#define PIN_MAX 256u

struct token {
    struct hsm_config config; /* borrows from the server's configuration */
    struct hsm_vault vault;
    struct hsm_worker worker;
};

static struct ky_status read_pin(const char *path, struct ky_secret *out)
{
    char pin[PIN_MAX] = "";
    struct ky_status st = KY_STATUS(KY_IO);
    FILE *f = path != NULL ? fopen(path, "r") : NULL;

    if (f != NULL && fgets(pin, sizeof(pin), f) != NULL) {
        pin[strcspn(pin, "\r\n")] = '\0';
        st = ky_secret_set(out, ky_span_text(pin));
    }
    if (f != NULL)
        (void)fclose(f);
    ky_wipe(pin, sizeof(pin));
    return st;
}

static struct ky_status log_in(struct token *t, const char *pin_file)
{
    struct ky_secret pin = {.bytes = NULL};
    struct ky_status st = read_pin(pin_file, &pin);

    if (ky_ok(st))
        st = hsm_module_login(&t->vault.module, &pin);
    ky_secret_wipe(&pin);
    return st;
}

static struct ky_status open_all(struct token *t, const char *pin_file, const char **out_what)
{
    *out_what = "the module";
    struct ky_status st = hsm_module_open(&t->config, &t->vault.module);
    if (ky_ok(st)) {
        *out_what = "the token";
        st = hsm_module_find_token(&t->vault.module, t->config.token_uri);
    }
    if (ky_ok(st)) {
        *out_what = "the login";
        st = log_in(t, pin_file);
    }
    if (ky_ok(st)) {
        *out_what = "the server's keys";
        st = hsm_session_open(&t->vault.module, 0, &t->worker.session);
    }
    if (ky_ok(st)) {
        hsm_caps_probe(&t->vault.module, &t->vault.caps);
        st = hsm_keys_load(&t->worker.session, &t->vault.caps, &t->vault.keys);
    }
    return st;
}

struct token *token_open(const struct config_token *config)
{
    struct token *t = calloc(1, sizeof(*t));
    const char *what = "";

    if (t == NULL)
        return NULL;
    t->config = (struct hsm_config){
        .module = config->module, .token_uri = config->uri, .init_args = config->init_args};
    t->vault.config = &t->config;
    t->worker.vault = &t->vault;
    struct ky_status st = open_all(t, config->pin_file, &what);
    if (ky_ok(st))
        return t;
    (void)fprintf(stderr, "kyso-bench-grow: %s: %s, cause %u\n", what, ky_code_info(st.code)->name,
                  st.cause);
    token_close(&t);
    return NULL;
}

void token_close(struct token **t)
{
    if (*t != NULL)
        hsm_module_close(&(*t)->vault.module);
    free(*t);
    *t = NULL;
}

static struct ky_status derive(struct token *t, const char *label, struct ky_secret *out)
{
    uint8_t mac[32];
    struct ky_status st =
        hsm_hmac(&t->worker.session, t->vault.keys.root, ky_span_text(label), mac);

    if (ky_ok(st))
        st = ky_secret_set(out, KY_SPAN_OF(mac));
    ky_wipe(mac, sizeof(mac));
    return st;
}

struct ky_status token_derive(struct token *t, struct token_keys *out_keys)
{
    struct token_keys keys = {.row_mac = {.bytes = NULL}};
    struct ky_status st = derive(t, "row-mac", &keys.row_mac);

    if (ky_ok(st))
        st = derive(t, "seed-enc", &keys.seed);
    if (ky_ok(st))
        st = derive(t, "state", &keys.state);
    if (ky_ok(st))
        *out_keys = keys;
    else
        token_keys_wipe(&keys);
    return st;
}

void token_keys_wipe(struct token_keys *keys)
{
    ky_secret_wipe(&keys->row_mac);
    ky_secret_wipe(&keys->seed);
    ky_secret_wipe(&keys->state);
}

static struct ky_status read_slot(struct token *t, uint8_t slot, const struct ky_secret *state_key,
                                  struct anchor *out)
{
    struct hsm_job job = {.in.anchor = {.slot = slot}, .bytes = KY_BUF_INIT(4096)};
    struct ky_status st = hsm_job_anchor_read(&t->worker, &job);

    if (ky_ok(st))
        st = anchor_decode(job.out.bytes.value, state_key, out);
    ky_buf_free(&job.bytes);
    return st;
}

struct ky_status token_anchor_read(struct token *t, const struct ky_secret *state_key,
                                   struct anchor *out)
{
    struct anchor found[2] = {{.sequence = 0}, {.sequence = 0}};
    struct ky_status st[2];

    for (uint8_t slot = 0; slot < 2; slot++)
        st[slot] = read_slot(t, slot, state_key, &found[slot]);
    int best = ky_ok(st[1]) && (!ky_ok(st[0]) || found[1].sequence > found[0].sequence);
    if (ky_ok(st[best]))
        *out = found[best];
    return st[best];
}

struct ky_status token_anchor_write(struct token *t, const struct ky_secret *state_key,
                                    const struct anchor *anchor)
{
    struct ky_buf value = KY_BUF_INIT(ANCHOR_LEN);
    struct hsm_job job = {.in.anchor = {.slot = (uint8_t)(anchor->sequence & 1)},
                          .bytes = KY_BUF_INIT(4096)};
    struct ky_status st = hsm_job_anchor_read(&t->worker, &job);

    anchor_encode(anchor, state_key, &value);
    job.in.anchor.value = ky_buf_span(&value);
    job.in.anchor.expect = job.out.bytes.value;
    if (ky_ok(st))
        st = value.failed ? KY_STATUS(KY_NOMEM) : hsm_job_anchor_write(&t->worker, &job);
    ky_buf_free(&value);
    ky_buf_free(&job.bytes);
    return st;
}
