/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-ceremony plan, check and bench: what can be done before anybody's share is needed. check and bench put a
 * blank token on trial, so they take no PIN and touch no token that is in use.
 */
#include <string.h>
#include <time.h>

#include "ckr.h"
#include "sign.h"
#include "sitting.h"
#include "terminal.h"
#include "wrap.h"

int cmd_plan(struct cli *cli)
{
    struct sitting s;
    int rc = sitting_open(cli, 0, &s);

    if (rc == CLI_OK)
        plan_print(s.plan, cli->out);
    sitting_close(&s);
    return rc;
}

int cmd_check(struct cli *cli)
{
    struct sitting s;
    int rc = sitting_open(cli, SITTING_TOKEN, &s);

    if (rc == CLI_OK)
        rc = sitting_try_token(&s);
    sitting_close(&s);
    return rc;
}

/* --- bench ----------------------------------------------------------------------------------------- */

struct bench {
    struct hsm_worker *w;
    uint8_t type;
    uint8_t blob[KY_BLOB_MAX];
    size_t blob_len;
    CK_OBJECT_HANDLE key; /* unwrapped */
    uint8_t digest[32];
};

static struct ky_status generate(struct bench *b)
{
    struct hsm_job job = {.type = JOB_GENERATE, .bytes = KY_BUF_INIT(16384)};
    struct ky_status st;

    job.in.generate.key_type = b->type;
    job.in.generate.storage = KY_STORE_WRAPPED;
    st = hsm_job_generate(b->w, &job);
    if (ky_ok(st) && job.out.generate.blob.len <= sizeof(b->blob)) {
        b->blob_len = job.out.generate.blob.len;
        memcpy(b->blob, job.out.generate.blob.data, b->blob_len);
    }
    ky_buf_free(&job.bytes);
    return st;
}

static struct ky_status sign(struct bench *b)
{
    const struct ky_algorithm a = {.scheme = ky_key_info(b->type)->scheme, .hash = KY_SHA256};
    uint8_t sig[KY_SIG_MAX];

    return hsm_sign(&b->w->session, b->key, b->type, &a, KY_SPAN_OF(b->digest), sig);
}

static struct ky_status open_key(struct bench *b)
{
    return hsm_unwrap(&b->w->session, &b->w->vault->keys, &b->w->vault->caps, b->type,
                      KY_SPAN(b->blob, b->blob_len), &b->key);
}

static struct ky_status unwrap_and_sign(struct bench *b)
{
    struct ky_status st = open_key(b);

    if (ky_ok(st))
        st = sign(b);
    hsm_session_destroy(&b->w->session, &b->key);
    return st;
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How often a second, over at least one run and about `seconds`. */
static struct ky_status rate(struct bench *b, struct ky_status (*what)(struct bench *),
                             double seconds, double *out)
{
    const double from = now_s();
    double took = 0;
    unsigned n = 0;
    struct ky_status st;

    do {
        st = what(b);
        n++;
        took = now_s() - from;
    } while (ky_ok(st) && took < seconds);
    *out = n / (took > 0 ? took : 1e-9);
    return st;
}

static struct ky_status bench_type(struct bench *b, double seconds, FILE *out)
{
    double made = 0;
    double hot = 0;
    double cold = 0;
    struct ky_status st = rate(b, generate, seconds, &made);

    if (ky_ok(st))
        st = open_key(b);
    if (ky_ok(st))
        st = rate(b, sign, seconds, &hot);
    hsm_session_destroy(&b->w->session, &b->key);
    if (ky_ok(st))
        st = rate(b, unwrap_and_sign, seconds, &cold);
    if (ky_ok(st))
        (void)fprintf(out, "%-10s %14.1f %14.0f %14.0f\n", ky_key_info(b->type)->name, made, hot,
                      cold);
    return st;
}

static int bench(struct sitting *s, double seconds)
{
    struct hsm_vault *v = &s->token.vault;
    struct bench b = {.w = &s->token.worker, .key = CK_INVALID_HANDLE};
    struct hsm_template t = {.count = 0};
    struct ky_status st;

    hsm_own_key_newborn(HSM_OWN_KEK, &t); /* of this session only */
    st = hsm_ckr_status(hsm_own_secret_generate(&b.w->session, HSM_OWN_KEK, &t, &v->keys.keks[0].key));
    v->keys.keks[0].generation = 1;
    (void)fprintf(s->cli->out, "\nOne session, one thread, per second\n%-10s %14s %14s %14s\n",
                  "key", "generated", "signed, hot", "signed, cold");
    for (uint32_t i = 0; ky_ok(st) && i < s->plan->key_type_count; i++) {
        b.type = ky_key_type_by_name(s->plan->key_types[i]);
        st = bench_type(&b, seconds, s->cli->out);
    }
    hsm_session_destroy(&b.w->session, &v->keys.keks[0].key);
    return ky_ok(st) ? CLI_OK : sitting_fail(s, "bench", st);
}

int cmd_bench(struct cli *cli)
{
    struct sitting s;
    int rc = sitting_open(cli, SITTING_TOKEN, &s);

    if (rc == CLI_OK)
        rc = sitting_try_token(&s);
    if (rc == CLI_OK)
        rc = bench(&s, cli_number(cli, "--seconds", 2));
    sitting_close(&s);
    return rc;
}
