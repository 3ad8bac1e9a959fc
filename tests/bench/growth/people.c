/* SPDX-License-Identifier: Apache-2.0 */
/* A copy's certificate is its original's: it is not entered among the unique ones. */
#include "people.h"

#include <string.h>

#include "enroll.h"
#include "kyso/alg.h"
#include "kyso/record.h"
#include "seed.h"

#define CREDENTIAL_STATE_ACTIVE 2u /* numbers of kyso.v1.CredentialState */
#define ID_MAX                  32u
#define SEED_LEN                20u

struct person {
    uint32_t number;
    uint32_t subject_row;
    uint64_t now_us;
    char subject_id[ID_MAX];
    char credential_id[ID_MAX];
    char totp_ids[TOTPS_MAX][ID_MAX];
    uint8_t seeds[TOTPS_MAX][SEED_LEN];
};

static struct ky_status template_keep(struct template *t, const struct row_credential *row)
{
    t->bytes = KY_BUF_INIT(256u * 1024u);
    struct ky_status st = ky_msg_encode(&row_credential_schema, row, &t->bytes);

    return ky_ok(st) ? ky_msg_decode(&row_credential_schema, ky_buf_span(&t->bytes), &t->row) : st;
}

struct ky_status templates_load(struct store *s, struct templates *out)
{
    struct ky_status st = KY_STATUS(KY_OK);
    uint32_t rows = store_row_count(s, ROW_CREDENTIAL);

    out->count = 0;
    for (uint32_t row = 1; ky_ok(st) && row <= rows && out->count < TEMPLATES_MAX; row++) {
        struct row_credential c;

        st = store_row_get(s, ROW_CREDENTIAL, row, &c);
        if (ky_ok(st) && c.state == CREDENTIAL_STATE_ACTIVE && c.storage == KY_STORE_WRAPPED)
            st = template_keep(&out->of[out->count++], &c);
    }
    return ky_ok(st) && out->count == 0 ? KY_STATUS(KY_NOT_FOUND) : st;
}

void templates_free(struct templates *t)
{
    for (size_t i = 0; i < t->count; i++)
        ky_buf_free(&t->of[i].bytes);
    t->count = 0;
}

/* The form of the authority's public ids. */
static struct ky_status make_id(char kind, uint32_t row, char out[ID_MAX])
{
    uint64_t digits = 0;
    struct ky_status st = ky_random(&digits, sizeof(digits));

    (void)snprintf(out, ID_MAX, "%c%x-%016llx", kind, row, (unsigned long long)digits);
    return st;
}

static void subject_key(uint32_t row, uint8_t out[4])
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(row >> (8 * i));
}

static struct ky_status add_subject(struct store *s, struct person *p)
{
    (void)snprintf(p->subject_id, ID_MAX, "grown-%u", p->number);
    struct row_subject row = {.subject_id = ky_span_text(p->subject_id),
                              .name = ky_span_text(p->subject_id)};
    struct ky_status st = ky_random(row.salt, sizeof(row.salt));

    if (ky_ok(st))
        st = store_row_put(s, ROW_SUBJECT, 0, &row, 0, p->now_us, &p->subject_row);
    return ky_ok(st) ? store_lookup_add(s, STORE_BY_SUBJECT_ID, row.subject_id, p->subject_row)
                     : st;
}

static struct ky_status add_credential(struct store *s, struct person *p,
                                       const struct template *after)
{
    struct row_credential row = after->row;
    uint32_t number = store_row_count(s, ROW_CREDENTIAL) + 1;
    uint8_t key[4];
    struct ky_status st = make_id('c', number, p->credential_id);

    row.credential_id = ky_span_text(p->credential_id);
    row.subject_row = p->subject_row;
    subject_key(p->subject_row, key);
    if (ky_ok(st))
        st = store_row_put(s, ROW_CREDENTIAL, 0, &row, 0, p->now_us, NULL);
    return ky_ok(st) ? store_lookup_add(s, STORE_CREDENTIALS_OF, KY_SPAN_OF(key), number) : st;
}

static struct ky_status add_totp(struct store *s, const struct people_keys *keys, struct person *p,
                                 unsigned i)
{
    uint32_t number = store_row_count(s, ROW_AUTHENTICATOR) + 1;
    struct ky_span seed = KY_SPAN(p->seeds[i], SEED_LEN);
    uint8_t sealed[SEED_SEALED_MAX];
    uint8_t fingerprint[32];
    uint8_t key[4];
    size_t sealed_len = 0;
    struct row_authenticator row = {.subject_row = p->subject_row,
                                    .kind = ROW_AUTH_TOTP,
                                    .state = ROW_AUTH_ACTIVE,
                                    .epoch = 1,
                                    .otp_digits = 6,
                                    .enrolled_s = p->now_us / 1000000u};
    struct ky_status st = make_id('a', number, p->totp_ids[i]);

    row.authenticator_id = ky_span_text(p->totp_ids[i]);
    if (ky_ok(st))
        st = ky_random(p->seeds[i], SEED_LEN);
    if (ky_ok(st))
        st = seed_seal(keys->seed, row.authenticator_id, row.epoch, seed, sealed, &sealed_len);
    row.sealed_seed = KY_SPAN(sealed, sealed_len);
    if (ky_ok(st))
        st = store_row_put(s, ROW_AUTHENTICATOR, 0, &row, 0, p->now_us, NULL);
    if (ky_ok(st))
        st = enroll_seed_fingerprint(keys->state, seed, fingerprint);
    if (ky_ok(st))
        st = store_lookup_add(s, STORE_BY_SEED, KY_SPAN_OF(fingerprint), number);
    subject_key(p->subject_row, key);
    return ky_ok(st) ? store_lookup_add(s, STORE_AUTHENTICATORS_OF, KY_SPAN_OF(key), number) : st;
}

static void put_hex(FILE *f, const char *name, struct ky_span bytes)
{
    (void)fprintf(f, "\"%s\": \"", name);
    for (size_t i = 0; i < bytes.len; i++)
        (void)fprintf(f, "%02x", bytes.data[i]);
    (void)fputc('"', f);
}

static struct ky_status write_line(FILE *f, const struct person *p, const struct row_credential *c,
                                   unsigned totps)
{
    (void)fprintf(f, "{\"subject_id\": \"%s\", \"credential_id\": \"%s\", \"key_type\": \"%s\", ",
                  p->subject_id, p->credential_id, ky_key_info(c->key_type)->name);
    put_hex(f, "public_key", c->public_key);
    (void)fputs(", \"totps\": [", f);
    for (unsigned i = 0; i < totps; i++) {
        (void)fprintf(f, "%s{\"authenticator_id\": \"%s\", ", i > 0 ? ", " : "", p->totp_ids[i]);
        put_hex(f, "seed", KY_SPAN(p->seeds[i], SEED_LEN));
        (void)fputc('}', f);
    }
    return KY_STATUS(fputs("]}\n", f) >= 0 ? KY_OK : KY_IO);
}

struct ky_status people_add(struct store *s, const struct people_keys *keys,
                            const struct template *after, uint32_t number, unsigned totps,
                            FILE *line)
{
    struct person p = {.number = number, .now_us = ky_wall_us()};
    struct ky_status st = add_subject(s, &p);

    if (ky_ok(st))
        st = add_credential(s, &p, after);
    for (unsigned i = 0; ky_ok(st) && i < totps; i++)
        st = add_totp(s, keys, &p, i);
    if (ky_ok(st) && line != NULL)
        st = write_line(line, &p, &after->row, totps);
    ky_wipe(p.seeds, sizeof(p.seeds));
    return st;
}
