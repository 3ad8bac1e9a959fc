/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One JSON object a line: credential_id, key_type, public_key (hex, DER SubjectPublicKeyInfo),
 * totps [{authenticator_id, seed (hex)}], device {authenticator_id, key (hex, DER)}.
 */
#include "population.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>

#define STEP_S      30u
#define STEP_LATE_S 26u /* from here on the step before may be gone when the request arrives */
#define BYTES_MAX   4096u

static bool take_text(const json_t *o, const char *name, char *out, size_t cap)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && ky_span_to_cstr(ky_span_text(s), out, cap);
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes written, 0 = not hex or too long. */
static size_t take_hex(const json_t *o, const char *name, uint8_t *out, size_t cap)
{
    const char *s = json_string_value(json_object_get(o, name));
    size_t n = s != NULL ? strlen(s) / 2 : 0;

    if (s == NULL || strlen(s) % 2 != 0 || n > cap)
        return 0;
    for (size_t i = 0; i < n; i++) {
        int high = nibble(s[2 * i]);
        int low = nibble(s[2 * i + 1]);

        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return n;
}

static bool take_totps(struct citizen *c, const json_t *list)
{
    size_t n = json_array_size(list);

    if (n > AUTHENTICATORS)
        return false;
    c->totps = calloc(n > 0 ? n : 1, sizeof *c->totps);
    if (c->totps == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct totp_source *t = &c->totps[i];
        const json_t *o = json_array_get(list, i);

        t->seed_len = (uint8_t)take_hex(o, "seed", t->seed, sizeof t->seed);
        if (t->seed_len == 0 || !take_text(o, "authenticator_id", t->authenticator_id, ID_MAX))
            return false;
    }
    c->totp_count = (unsigned)n;
    return true;
}

static bool take_device(struct citizen *c, const json_t *o)
{
    uint8_t der[BYTES_MAX];
    const uint8_t *p = der;
    size_t n = 0;

    if (o == NULL)
        return true;
    n = take_hex(o, "key", der, sizeof der);
    if (n == 0 || !take_text(o, "authenticator_id", c->device_id, ID_MAX))
        return false;
    c->device = d2i_AutoPrivateKey(NULL, &p, (long)n);
    return c->device != NULL;
}

static bool take_citizen(struct citizen *c, const json_t *o)
{
    uint8_t der[BYTES_MAX];
    char key_type[ID_MAX];
    size_t n = take_hex(o, "public_key", der, sizeof der);

    if (n == 0 || !take_text(o, "credential_id", c->credential_id, ID_MAX) ||
        !take_text(o, "key_type", key_type, sizeof key_type))
        return false;
    c->key_type = ky_key_type_by_name(key_type);
    if (ky_key_info(c->key_type) == NULL)
        return false;
    c->algorithm =
        (struct ky_algorithm){.scheme = ky_key_info(c->key_type)->scheme, .hash = KY_SHA256};
    c->spki = malloc(n);
    if (c->spki == NULL)
        return false;
    memcpy(c->spki, der, n);
    c->spki_len = n;
    return take_totps(c, json_object_get(o, "totps")) &&
           take_device(c, json_object_get(o, "device"));
}

static bool add_line(struct population *p, const char *line, size_t *cap)
{
    json_t *o = json_loads(line, 0, NULL);
    bool ok = o != NULL;

    if (ok && p->count == *cap) {
        size_t wider = *cap == 0 ? 256 : 2 * *cap;
        struct citizen *grown = realloc(p->citizens, wider * sizeof *grown);

        ok = grown != NULL;
        if (ok) {
            p->citizens = grown;
            *cap = wider;
        }
    }
    if (ok) {
        struct citizen *c = &p->citizens[p->count++];

        memset(c, 0, sizeof *c);
        ok = take_citizen(c, o);
        if (c->totp_count > p->totps_max)
            p->totps_max = c->totp_count;
    }
    json_decref(o);
    return ok;
}

bool population_load(struct population *p, const char *path, size_t skip, size_t limit)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0, cap = 0;
    bool ok = f != NULL;

    *p = (struct population){.count = 0};
    while (ok && (limit == 0 || p->count < limit) && getline(&line, &size, f) > 0) {
        if (skip > 0)
            skip--;
        else
            ok = add_line(p, line, &cap);
    }
    ok = ok && p->count > 0;
    if (!ok)
        (void)fprintf(stderr, "kyso-load: %s, line %zu: cannot be read as a citizen\n", path,
                      p->count);
    free(line);
    if (f != NULL)
        (void)fclose(f);
    return ok;
}

void population_free(struct population *p)
{
    for (size_t i = 0; i < p->count; i++) {
        EVP_PKEY_free(p->citizens[i].public_key);
        free(p->citizens[i].spki);
        EVP_PKEY_free(p->citizens[i].device);
        free(p->citizens[i].totps);
    }
    free(p->citizens);
    *p = (struct population){.count = 0};
}

EVP_PKEY *population_public_key(struct citizen *c)
{
    const uint8_t *p = c->spki;

    if (c->public_key == NULL)
        c->public_key = d2i_PUBKEY(NULL, &p, (long)c->spki_len);
    return c->public_key;
}

/* RFC 4226 s.5.3 over the step (RFC 6238), SHA-1, six digits */
static void code_of(const struct totp_source *t, uint64_t step, char out[CODE_MAX])
{
    uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    uint32_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        counter[i] = (uint8_t)(step >> (56 - 8 * i));
    (void)HMAC(EVP_sha1(), t->seed, t->seed_len, counter, sizeof counter, mac, &n);
    for (unsigned i = 0; i < 4; i++)
        value = value << 8 | mac[(mac[n - 1] & 15u) + i];
    (void)snprintf(out, CODE_MAX, "%06u", (value & 0x7fffffffu) % 1000000u);
}

static bool take_step(struct totp_source *t, uint64_t now_s, uint64_t *out_step)
{
    uint64_t now = now_s / STEP_S;
    uint64_t first = now_s % STEP_S < STEP_LATE_S ? now - 1 : now;
    uint64_t next = t->last_step + 1 > first ? t->last_step + 1 : first;

    if (next > now + 1)
        return false;
    t->last_step = next;
    *out_step = next;
    return true;
}

bool population_code(struct population *p, uint64_t now_s, struct totp_code *out)
{
    size_t all = p->count * p->totps_max;

    for (size_t tried = 0; tried < all; tried++) {
        size_t citizen = p->cursor % p->count;
        size_t totp = p->cursor / p->count;
        struct citizen *c = &p->citizens[citizen];
        uint64_t step = 0;

        p->cursor = (p->cursor + 1) % all;
        if (totp >= c->totp_count || !take_step(&c->totps[totp], now_s, &step))
            continue;
        out->citizen = (uint32_t)citizen;
        out->authenticator_id = c->totps[totp].authenticator_id;
        out->source = &c->totps[totp];
        out->step = step;
        code_of(&c->totps[totp], step, out->code);
        return true;
    }
    return false;
}

void population_take_back(const struct totp_code *code)
{
    if (code->source->last_step == code->step)
        code->source->last_step--;
}

bool population_steps_load(struct population *p, const char *path)
{
    FILE *f = fopen(path, "r");
    bool ok = true;

    if (f == NULL)
        return true;
    for (size_t i = 0; ok && i < p->count; i++)
        for (unsigned t = 0; ok && t < p->citizens[i].totp_count; t++)
            ok = fscanf(f, "%" SCNu64, &p->citizens[i].totps[t].last_step) == 1;
    (void)fclose(f);
    if (!ok)
        (void)fprintf(stderr, "kyso-load: %s is of another population\n", path);
    return ok;
}

bool population_steps_save(const struct population *p, const char *path)
{
    FILE *f = fopen(path, "w");
    bool ok = f != NULL;

    for (size_t i = 0; ok && i < p->count; i++)
        for (unsigned t = 0; t < p->citizens[i].totp_count; t++)
            ok = fprintf(f, "%" PRIu64 "\n", p->citizens[i].totps[t].last_step) > 0 && ok;
    return f != NULL && fclose(f) == 0 && ok;
}
