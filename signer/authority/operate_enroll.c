/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment of authenticators, the soft spot, and of those that make codes. A first one is added only while no credential of the
 * person is active; later it takes an existing device's approval, or two operators and a day (policy/enrolment). The authority's thread,
 * inside a turn. Keeps: one seed, one authenticator; a seed leaves sealed to one reader, or where the state is marked demo.
 */
#include <stdio.h>
#include <string.h>

#include "operate_enroll.h"
#include "seed.h"

#define AUTHENTICATORS_LISTED_MAX 16u /* as the core's row cache keeps of one person */

static struct ky_status note_authenticator(struct operation *o, uint32_t number, void *ctx)
{
    struct enrolment *e = ctx;
    struct row_authenticator d;
    struct ky_status status = store_row_get(authority_store(o->a), ROW_AUTHENTICATOR, number, &d);

    if (!ky_ok(status))
        return status;
    e->listed++;
    if (d.state == ROW_AUTH_ACTIVE)
        e->facts.has_active_authenticator = true;
    if (d.state == ROW_AUTH_REMOVED && e->old_removed == 0)
        e->old_removed = number;
    if (d.state != ROW_AUTH_REMOVED && d.kind == ROW_AUTH_TOTP)
        e->totp = number;
    return status;
}

/* Decisions look at a bounded list per person: a removed one makes room, and the ledger remembers it. */
static struct ky_status make_room(struct operation *o, const struct enrolment *e)
{
    uint8_t key[4];

    if (e->listed < AUTHENTICATORS_LISTED_MAX)
        return KY_STATUS(KY_OK);
    if (e->old_removed == 0)
        return operate_no(o, KY_BUSY,
                          "the person has as many authenticators as there may be: remove one");
    operate_subject_key(e->subject_row, key);
    return store_lookup_remove(authority_store(o->a), STORE_AUTHENTICATORS_OF, KY_SPAN_OF(key),
                               e->old_removed);
}

struct ky_status enrolment_begin(struct operation *o, const char *subject_id, struct enrolment *e)
{
    struct row_subject subject;
    struct ky_status status = operate_subject(o, subject_id, &e->subject_row, &subject);

    e->subject_id = ky_span_text(subject_id);
    e->facts.signers = o->signers;
    if (ky_ok(status))
        status = operate_can_sign(o, e->subject_row, &e->facts.has_active_credential);
    if (ky_ok(status))
        status = operate_each_of(o, STORE_AUTHENTICATORS_OF, e->subject_row, note_authenticator, e);
    if (!ky_ok(status))
        return status;
    e->row.subject_row = e->subject_row;
    e->row.state = ROW_AUTH_UNCONFIRMED;
    e->row.epoch = 1;
    e->row.enrolled_s = authority_now_s(o->a);
    status = authority_id_make('a', store_row_count(authority_store(o->a), ROW_AUTHENTICATOR) + 1,
                               e->id);
    e->row.authenticator_id = ky_span_text(e->id);
    return status;
}

struct ky_status enrolment_allowed(struct operation *o, struct enrolment *e)
{
    struct ky_status status =
        policy_enrolment_allowed(&e->facts, authority_now_s(o->a), &e->row.usable_from_s);

    return ky_ok(status)
               ? status
               : operate_no(o, status.code,
                            "a credential is active: an existing device or two operators");
}

struct ky_status enrolment_set_code(struct operation *o, struct enrolment *e)
{
    if (e->facts.approved_by_authenticator) {
        e->row.state = ROW_AUTH_ACTIVE;
        return KY_STATUS(KY_OK);
    }
    struct ky_status status =
        enroll_code(authority_state_key(o->a), e->row.authenticator_id, e->code);
    if (ky_ok(status))
        status = enroll_code_mac(authority_state_key(o->a), e->row.authenticator_id,
                                 ky_span_text(e->code), e->row.confirm_sha256);
    return status;
}

struct ky_status enrolment_write(struct operation *o, struct enrolment *e, enum store_lookup unique,
                                 struct ky_span key)
{
    uint8_t subject_key[4];
    uint32_t number = 0;
    struct store *store = authority_store(o->a);
    struct ky_status status = make_room(o, e);

    operate_subject_key(e->subject_row, subject_key);
    if (ky_ok(status))
        status = authority_row_put(o->a, ROW_AUTHENTICATOR, 0, &e->row, o->index, &number);
    if (ky_ok(status) && key.len > 0)
        status = store_lookup_add(store, unique, key, number);
    if (ky_ok(status))
        status = store_lookup_add(store, STORE_AUTHENTICATORS_OF, KY_SPAN_OF(subject_key), number);
    return status;
}

void enrolment_give(struct operation *o, const struct enrolment *e)
{
    operate_give_authenticator(o, &e->row, e->subject_id);
    if (authority_is_demo(o->a) && e->code[0] != '\0')
        o->result.confirmation_code = operate_text(o, ky_span_text(e->code));
    o->result.message =
        operate_message(o, "authenticator %s enrolled, %s", e->id,
                        e->row.state == ROW_AUTH_ACTIVE ? "active" : "to be confirmed");
}

struct ky_status enrolment_unused(struct operation *o, enum store_lookup unique, struct ky_span key)
{
    uint32_t other = 0;
    struct ky_status status = operate_unique(o, unique, key, &other);

    if (ky_ok(status) && other != 0)
        return operate_no(o, KY_CONFLICT, "it is enrolled already");
    return status;
}

/* --- TOTP ---------------------------------------------------------------------------------------------------- */

static const char *totp_problem(const Kyso__V1__EnrollTotp *m)
{
    if (m->digits != 0 && (m->digits < 6 || m->digits > 8))
        return "digits: 6, 7 or 8";
    if (enroll_seed_len((uint8_t)m->hash) == 0)
        return "hash: SHA-1, SHA-256 or SHA-512";
    if (m->seed.len != 0 && (m->seed.len < SEED_MIN || m->seed.len > SEED_MAX))
        return "a seed has 16 to 64 bytes";
    return m->seed.len != 0 && ky_span_all_zero(KY_SPAN(m->seed.data, m->seed.len))
               ? "the seed is all zero"
               : NULL;
}

static const char *seed_leaves(struct operation *o, const Kyso__V1__EnrollTotp *m)
{
    if (authority_is_demo(o->a))
        return NULL;
    if (m->show_seed)
        return "a seed is shown only where the state is marked demo";
    return m->seed.len == 0 && m->seal_to.len == 0
               ? "a seed of ours leaves only sealed: name the reader, or give the seed of the "
                 "token that the person holds"
               : NULL;
}

static struct ky_status show_seed(struct operation *o, const struct enrolment *e,
                                  struct ky_span seed)
{
    char uri[ENROLL_URI_MAX];
    struct ky_status status =
        enroll_otpauth_uri(e->subject_id, seed, e->row.otp_hash, e->row.otp_digits, uri);

    if (ky_ok(status)) {
        o->result.seed = operate_bytes(o, seed);
        o->result.otpauth_uri = operate_text(o, ky_span_text(uri));
    }
    ky_wipe(uri, sizeof(uri));
    return status;
}

/* What the person is to get: the URI, whose codes these are, and by which code to confirm that it came. */
static struct ky_status seal_seed(const struct enrolment *e, struct ky_span seed,
                                  const struct envelope_reader *reader, struct ky_buf *out)
{
    char uri[ENROLL_URI_MAX];
    char text[ENROLL_URI_MAX + 128];
    struct ky_status status =
        enroll_otpauth_uri(e->subject_id, seed, e->row.otp_hash, e->row.otp_digits, uri);

    if (ky_ok(status)) {
        int n = snprintf(text, sizeof(text), "%s\nauthenticator: %s\nconfirmation: %s\n", uri,
                         e->id, e->code);
        status = envelope_seal(reader, KY_SPAN((const uint8_t *)text, (size_t)n), out);
    }
    ky_wipe(uri, sizeof(uri));
    ky_wipe(text, sizeof(text));
    return status;
}

static struct ky_status put_seed(struct operation *o, struct enrolment *e, struct ky_span seed)
{
    uint8_t sealed[SEED_SEALED_MAX];
    size_t sealed_len = 0;
    uint8_t fingerprint[32];
    struct ky_status status = enroll_seed_fingerprint(authority_state_key(o->a), seed, fingerprint);

    if (ky_ok(status))
        status = enrolment_unused(o, STORE_BY_SEED, KY_SPAN_OF(fingerprint));
    if (ky_ok(status))
        status = seed_seal(authority_seed_key(o->a), e->row.authenticator_id, e->row.epoch, seed,
                           sealed, &sealed_len);
    if (ky_ok(status))
        status = enrolment_set_code(o, e);
    e->row.sealed_seed = KY_SPAN(sealed, sealed_len);
    if (ky_ok(status))
        status = enrolment_write(o, e, STORE_BY_SEED, KY_SPAN_OF(fingerprint));
    e->row.sealed_seed = KY_SPAN(NULL, 0);
    return status;
}

static struct ky_status choose_seed(struct ky_span given, uint8_t hash, struct ky_secret *out_seed)
{
    uint8_t fresh[SEED_MAX];
    struct ky_status status = ky_random(fresh, sizeof(fresh));

    if (ky_ok(status))
        status =
            ky_secret_set(out_seed, given.len > 0 ? given : KY_SPAN(fresh, enroll_seed_len(hash)));
    ky_wipe(fresh, sizeof(fresh));
    return status;
}

/* A new TOTP authenticator of a person that enrolment_begin() has looked at. */
static struct ky_status enroll_seed(struct operation *o, struct enrolment *e, uint8_t hash,
                                    uint32_t digits, struct ky_span given,
                                    struct ky_secret *out_seed)
{
    struct ky_status status = enrolment_allowed(o, e);

    e->row.kind = ROW_AUTH_TOTP;
    e->row.otp_hash = hash;
    e->row.otp_digits = digits != 0 ? (uint8_t)digits : 6;
    if (ky_ok(status))
        status = choose_seed(given, hash, out_seed);
    return ky_ok(status) ? put_seed(o, e, ky_secret_span(out_seed)) : status;
}

static struct ky_status give_seed(struct operation *o, const struct enrolment *e,
                                  struct ky_span seed, bool show,
                                  const struct envelope_reader *reader)
{
    struct ky_buf envelope = KY_BUF_INIT(ENVELOPE_MAX);
    struct ky_status status = show ? show_seed(o, e, seed) : KY_STATUS(KY_OK);

    if (ky_ok(status) && reader->certificate != NULL)
        status = seal_seed(e, seed, reader, &envelope);
    if (ky_ok(status)) {
        o->result.sealed_seed = operate_bytes(o, ky_buf_span(&envelope));
        enrolment_give(o, e);
    }
    ky_buf_free(&envelope);
    return status;
}

struct ky_status operate_enroll_totp(struct operation *o)
{
    const Kyso__V1__EnrollTotp *m = o->op->enroll_totp;
    struct enrolment e = {.subject_row = 0};
    struct ky_secret seed = {NULL, 0};
    struct envelope_reader reader = {.certificate = NULL};
    struct ky_status status = KY_STATUS(KY_OK);
    const char *why = totp_problem(m);

    if (why != NULL)
        return operate_no(o, KY_INVALID, why);
    why = seed_leaves(o, m);
    if (why != NULL)
        return operate_no(o, KY_OPERATOR_REFUSED, why);
    if (m->seal_to.len > 0)
        status = envelope_reader_load(KY_SPAN(m->seal_to.data, m->seal_to.len),
                                      authority_now_s(o->a), &reader, &o->why);
    if (ky_ok(status))
        status = enrolment_begin(o, m->subject_id, &e);
    if (reader.certificate != NULL && m->seed.len == 0) /* a seed of somebody else's is told once */
        e.row.reader_sha256 = KY_SPAN_OF(reader.sha256);
    if (ky_ok(status))
        status = enroll_seed(o, &e, (uint8_t)m->hash, m->digits, KY_SPAN(m->seed.data, m->seed.len),
                             &seed);
    if (ky_ok(status))
        status = give_seed(o, &e, ky_secret_span(&seed), m->show_seed, &reader);
    ky_wipe(e.code, sizeof(e.code));
    ky_secret_wipe(&seed);
    X509_free(reader.certificate);
    return status;
}

/*
 * The person has one that makes codes. The letter is written once more for whom it was written, while the code in it holds; nothing
 * leaves for one that is confirmed, or where there is something to sign with. In all other cases it makes way for a new one.
 */
static struct ky_status again_or_anew(struct operation *o, struct enrolment *e,
                                      const struct envelope_reader *reader, bool *out_open,
                                      struct ky_secret *out_seed)
{
    struct row_authenticator old;
    struct ky_status status =
        store_row_get(authority_store(o->a), ROW_AUTHENTICATOR, e->totp, &old);

    if (ky_ok(status))
        status = enroll_code(authority_state_key(o->a), old.authenticator_id, e->code);
    if (!ky_ok(status))
        return status;
    *out_open = old.state == ROW_AUTH_UNCONFIRMED && !e->facts.has_active_credential;
    if (*out_open && (!ky_span_eq(old.reader_sha256, KY_SPAN_OF(reader->sha256)) ||
                      !operate_code_holds(o, &old, e->code))) {
        e->old_removed = e->totp;
        e->totp = 0;
        return operate_put_removed(o, e->old_removed, &old);
    }
    (void)ky_span_to_cstr(old.authenticator_id, e->id, sizeof(e->id));
    e->row = old;
    return *out_open ? seed_open(authority_seed_key(o->a), old.authenticator_id, old.epoch,
                                 old.sealed_seed, out_seed)
                     : status;
}

struct ky_status operate_sealed_totp(struct operation *o, const char *subject_id, uint8_t hash,
                                     uint8_t digits, const struct envelope_reader *reader,
                                     char out_id[AUTHORITY_ID_MAX], struct ky_buf *out_envelope)
{
    struct enrolment e = {.subject_row = 0};
    struct ky_secret seed = {NULL, 0};
    bool open = true;
    struct ky_status status = enrolment_begin(o, subject_id, &e);

    e.row.reader_sha256 = KY_SPAN_OF(reader->sha256);
    if (ky_ok(status) && e.totp != 0)
        status = again_or_anew(o, &e, reader, &open, &seed);
    if (ky_ok(status) && e.totp == 0)
        status = enroll_seed(o, &e, hash, digits, KY_SPAN(NULL, 0), &seed);
    if (ky_ok(status) && open)
        status = seal_seed(&e, ky_secret_span(&seed), reader, out_envelope);
    if (ky_ok(status))
        memcpy(out_id, e.id, sizeof(e.id));
    ky_wipe(e.code, sizeof(e.code));
    ky_secret_wipe(&seed);
    return status;
}
