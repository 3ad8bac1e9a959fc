/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People, their keys and authenticators, clients: the rows that an enrolment would leave, and what
 * operators do to them later.
 */
#include "world.h"

#include <string.h>

#include "kyso/wire.h"
#include "seed.h"

const uint8_t world_seed[20] = "12345678901234567890"; /* RFC 6238's own */
const uint8_t spki_bank[32] = {1}, spki_approver[32] = {2}, spki_other[32] = {3},
              spki_nobody[32] = {9};

static void lookup_u32(struct world *w, enum store_lookup kind, uint32_t of, uint32_t row)
{
    uint8_t key[4] = {(uint8_t)of, (uint8_t)(of >> 8), (uint8_t)(of >> 16), (uint8_t)(of >> 24)};

    assert_true(ky_ok(store_lookup_add(w->a->store, kind, KY_SPAN_OF(key), row)));
}

static uint32_t put(struct world *w, enum row_table table, const void *msg)
{
    uint32_t row = 0;

    assert_true(ky_ok(authority_row_put(w->a, table, 0, msg, 0, &row)));
    return row;
}

uint32_t add_subject(struct world *w, const char *id)
{
    struct row_subject s = {.subject_id = text(id), .name = text("Nguyen Van A")};
    uint32_t row = put(w, ROW_SUBJECT, &s);

    assert_true(ky_ok(store_lookup_add(w->a->store, STORE_BY_SUBJECT_ID, text(id), row)));
    return row;
}

uint32_t add_credential(struct world *w, uint32_t subject, const char *relying_party,
                        char id[AUTHORITY_ID_MAX])
{
    struct ky_buf parties = KY_BUF_INIT(256);
    struct row_credential c = {
        .subject_row = subject,
        .state = CREDENTIAL_ACTIVE,
        .storage = KY_STORE_WRAPPED,
        .key_type = KY_KEY_P256,
        .epoch = 1,
        .blob = text("a wrapped key"),
        .public_key = text("a public key"),
        .not_before_s = WORLD_START_S - 86400,
        .not_after_s = WORLD_START_S + 30 * 86400,
    };

    ky_put_bytes(&parties, text(relying_party));
    c.relying_parties = ky_buf_span(&parties);
    assert_true(
        ky_ok(authority_id_make('c', store_row_count(w->a->store, ROW_CREDENTIAL) + 1, id)));
    c.credential_id = text(id);
    uint32_t row = put(w, ROW_CREDENTIAL, &c);
    lookup_u32(w, STORE_CREDENTIALS_OF, subject, row);
    ky_buf_free(&parties);
    return row;
}

uint32_t add_totp(struct world *w, uint32_t subject, struct ky_span seed, char id[AUTHORITY_ID_MAX])
{
    uint8_t sealed[SEED_SEALED_MAX];
    struct row_authenticator x = {.subject_row = subject,
                                  .kind = ROW_AUTH_TOTP,
                                  .state = ROW_AUTH_ACTIVE,
                                  .epoch = 1,
                                  .otp_hash = 0,
                                  .otp_digits = 6};
    size_t n = 0;

    assert_true(
        ky_ok(authority_id_make('a', store_row_count(w->a->store, ROW_AUTHENTICATOR) + 1, id)));
    x.authenticator_id = text(id);
    assert_true(ky_ok(seed_seal(&w->a->seed_key, x.authenticator_id, 1, seed, sealed, &n)));
    x.sealed_seed = KY_SPAN(sealed, n);
    uint32_t row = put(w, ROW_AUTHENTICATOR, &x);
    lookup_u32(w, STORE_AUTHENTICATORS_OF, subject, row);
    return row;
}

uint32_t add_device(struct world *w, uint32_t subject, char id[AUTHORITY_ID_MAX])
{
    struct row_authenticator x = {.subject_row = subject,
                                  .kind = ROW_AUTH_DEVICE,
                                  .state = ROW_AUTH_ACTIVE,
                                  .epoch = 1,
                                  .device_key_type = POLICY_DEVICE_ES256};

    assert_true(
        ky_ok(authority_id_make('a', store_row_count(w->a->store, ROW_AUTHENTICATOR) + 1, id)));
    x.authenticator_id = text(id);
    x.device_key = KY_SPAN(w->device_spki, w->device_spki_len);
    uint32_t row = put(w, ROW_AUTHENTICATOR, &x);
    lookup_u32(w, STORE_AUTHENTICATORS_OF, subject, row);
    return row;
}

static uint32_t add_client(struct world *w, const char *name, const uint8_t spki[32],
                           uint32_t rights)
{
    struct row_client c = {.name = text(name), .spkis = KY_SPAN(spki, 32), .rights = rights};

    return put(w, ROW_CLIENT, &c);
}

void world_add_person(struct world *w, const char *id, char credential[AUTHORITY_ID_MAX])
{
    char totp[AUTHORITY_ID_MAX];
    uint32_t subject = add_subject(w, id);

    add_credential(w, subject, "*", credential);
    add_totp(w, subject, KY_SPAN_OF(world_seed), totp);
}

void world_add_client(struct world *w, const char *name, uint8_t key)
{
    const uint8_t spki[32] = {key};

    add_client(w, name, spki, ROW_RIGHT_SIGN | ROW_RIGHT_TOTP);
}

void world_add_everyone(struct world *w)
{
    const uint32_t signs = ROW_RIGHT_SIGN | ROW_RIGHT_TOTP | ROW_RIGHT_APPROVAL;

    w->client_row = add_client(w, WORLD_RP, spki_bank, signs);
    add_client(w, "devices", spki_approver, ROW_RIGHT_APPROVE);
    add_client(w, "other", spki_other, signs);
    w->subject_row = add_subject(w, "079000000001");
    uint32_t stranger = add_subject(w, "079000000002");
    w->credential_row = add_credential(w, w->subject_row, WORLD_RP, w->credential);
    add_credential(w, w->subject_row, WORLD_RP, w->credential2);
    add_credential(w, stranger, "other", w->foreign);
    w->totp_row = add_totp(w, w->subject_row, KY_SPAN_OF(world_seed), w->totp);
    add_device(w, w->subject_row, w->device_id);
    add_device(w, stranger, w->other_device);
}

/* --- later ----------------------------------------------------------------------------------- */

void world_set_credential(struct world *w, uint8_t credential_state, uint64_t not_after_s)
{
    struct row_credential c = cache_get(w->a, ROW_CREDENTIAL, w->credential_row)->credential;

    c.state = credential_state;
    c.epoch++;
    if (not_after_s != 0)
        c.not_after_s = not_after_s;
    assert_true(ky_ok(authority_row_put(w->a, ROW_CREDENTIAL, w->credential_row, &c, 0, NULL)));
    world_turn(w);
}

void world_remove(struct world *w, const char *authenticator_id)
{
    struct cache_entry *e = authenticator_by_id(w->a, text(authenticator_id));
    uint32_t row = e->row;
    struct row_authenticator x = e->authenticator;

    x.state = ROW_AUTH_REMOVED;
    x.epoch++;
    assert_true(ky_ok(authority_row_put(w->a, ROW_AUTHENTICATOR, row, &x, 0, NULL)));
    world_turn(w);
}

void world_endless_tries(struct world *w)
{
    w->a->state->limits.lockout.tries = w->a->state->limits.lockout.total_tries = UINT32_MAX;
    w->a->state->limits.client.failures_per_minute = UINT32_MAX;
}
