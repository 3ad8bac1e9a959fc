/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on the people who sign operations: add, list, remove, give another role. The authority's thread, inside a turn.
 * Keeps: one person, one role, one key; a name is one person's for good, so no row's key or certificate is ever another; an auditor
 * never was anything else, under any name; as many are left as it takes to add one.
 */
#include "certificate.h"
#include "operate.h"

#define USERS_PAGE 20u /* with certificates as long as they may be, one page is one record */

bool operate_user_valid(const struct row_operator *u, uint64_t now_s)
{
    return !u->removed && (u->certificate.len == 0 || (now_s >= u->not_before_s && now_s <= u->not_after_s));
}

uint8_t operate_user_role(const struct row_operator *u)
{
    return u->role != 0 ? u->role : POLICY_ADMINISTRATOR;
}

/* The copy's spans are the arena's. */
static struct ky_status copy_user(struct operation *o, uint32_t number, struct row_operator *out)
{
    struct ky_status status = store_row_get(authority_store(o->a), ROW_OPERATOR, number, out);

    if (!ky_ok(status))
        return status;
    ProtobufCBinaryData id = operate_bytes(o, out->operator_id);
    ProtobufCBinaryData key = operate_bytes(o, out->public_key);
    ProtobufCBinaryData certificate = operate_bytes(o, out->certificate);
    out->operator_id = KY_SPAN(id.data, id.len);
    out->public_key = KY_SPAN(key.data, key.len);
    out->certificate = KY_SPAN(certificate.data, certificate.len);
    return o->arena->exhausted ? KY_STATUS(KY_BUSY) : status;
}

static bool same_person(const struct row_operator *a, const struct row_operator *b)
{
    return ky_span_eq(a->public_key, b->public_key) ||
           certificate_same_subject(a->certificate, b->certificate);
}

/* Rows from before certificates may have one key twice. */
struct ky_status operate_users_differ(struct operation *o, const uint32_t *rows, uint32_t n,
                                      bool *out_differ)
{
    struct row_operator users[OPERATE_SIGNERS_MAX];
    bool differ = true;

    for (uint32_t i = 0; i < n; i++) {
        struct ky_status status = copy_user(o, rows[i], &users[i]);

        if (!ky_ok(status))
            return status;
        for (uint32_t k = 0; k < i; k++)
            differ = differ && !same_person(&users[i], &users[k]);
    }
    *out_differ = differ;
    return KY_STATUS(KY_OK);
}

/* May this person help to add users now? Outside a demo a bare key, of a row from before certificates, tells nobody apart. */
static bool is_able(const struct authority *a, const struct row_operator *u)
{
    return operate_user_valid(u, authority_now_s(a)) &&
           (u->certificate.len > 0 || authority_is_demo(a)) &&
           (policy_operation("add-user")->roles & (1u << operate_user_role(u))) != 0;
}

uint32_t operate_users_missing(struct authority *a, uint32_t without)
{
    uint32_t count = store_row_count(authority_store(a), ROW_OPERATOR);
    uint32_t need = authority_dual_control(a) ? policy_operation("add-user")->people : 1;

    for (uint32_t row = 1; row <= count && need > 0; row++) {
        struct row_operator u;

        if (row != without && ky_ok(store_row_get(authority_store(a), ROW_OPERATOR, row, &u)))
            need -= is_able(a, &u);
    }
    return need;
}

const char *operate_user_conflict(struct authority *a, const struct row_operator *u)
{
    uint32_t count = store_row_count(authority_store(a), ROW_OPERATOR);

    if (authority_operator_by_id(a, u->operator_id) != 0)
        return "that name is or was somebody's";
    for (uint32_t row = 1; row <= count; row++) {
        struct row_operator other;

        if (!ky_ok(store_row_get(authority_store(a), ROW_OPERATOR, row, &other)))
            return "somebody's row does not hold";
        if (!same_person(u, &other))
            continue;
        if (!policy_role_change_allowed(operate_user_role(&other), operate_user_role(u)))
            return "an auditor has and had no other role";
        if (!other.removed && (other.certificate.len == 0 || authority_now_s(a) <= other.not_after_s))
            return "somebody has that key, or a certificate of that subject";
    }
    return NULL;
}

static struct ky_status put_user(struct operation *o, uint32_t number, const struct row_operator *u,
                                 const char *done)
{
    struct ky_status status = authority_row_put(o->a, ROW_OPERATOR, number, u, o->index, NULL);

    if (ky_ok(status))
        o->result.message = operate_message(o, "user %.*s %s", (int)u->operator_id.len,
                                            (const char *)u->operator_id.data, done);
    return status;
}

/* The certificate's key; a bare one only in a demo. */
static struct ky_status take_key(struct operation *o, const Kyso__V1__AddUser *m, struct row_operator *u)
{
    struct certificate_user facts;
    struct policy_device_key *key = NULL;
    const char *why = NULL;

    u->certificate = KY_SPAN(m->certificate.data, m->certificate.len);
    u->public_key = KY_SPAN(m->public_key.data, m->public_key.len);
    if (u->certificate.len > 0 && u->public_key.len > 0)
        return operate_no(o, KY_INVALID, "a certificate or a key, not both");
    if (u->certificate.len == 0) {
        if (!authority_is_demo(o->a))
            return operate_no(o, KY_INVALID, "outside a demo a person has a certificate");
        struct ky_status status =
            policy_device_key_load(policy_key_type(u->public_key), u->public_key, &key);
        policy_device_key_free(&key);
        return ky_ok(status) ? status : operate_no(o, KY_INVALID, "no P-256 or Ed25519 key");
    }
    if (!ky_ok(certificate_user(u->certificate, &facts, &why)))
        return operate_no(o, KY_INVALID, why);
    u->public_key = facts.spki;
    u->not_before_s = facts.not_before_s;
    u->not_after_s = facts.not_after_s;
    return facts.not_after_s > authority_now_s(o->a)
               ? KY_STATUS(KY_OK)
               : operate_no(o, KY_INVALID, "the certificate has expired");
}

static bool is_role(Kyso__V1__Role role)
{
    return role > KYSO__V1__ROLE__ROLE_UNSPECIFIED && (unsigned)role < POLICY_ROLE_END;
}

struct ky_status operate_add_user(struct operation *o)
{
    const Kyso__V1__AddUser *m = o->op->add_user;
    struct row_operator u = {.operator_id = ky_span_text(m->name), .role = (uint8_t)m->role};

    if (!ky_span_is_name(u.operator_id, KY_NAME_MAX) || !is_role(m->role))
        return operate_no(o, KY_INVALID, "name or role is none");
    struct ky_status status = take_key(o, m, &u);
    const char *why = ky_ok(status) ? operate_user_conflict(o->a, &u) : NULL;
    if (why != NULL)
        return operate_no(o, KY_CONFLICT, why);
    return ky_ok(status) ? put_user(o, 0, &u, "added") : status;
}

static struct ky_status find_present(struct operation *o, const char *name, uint32_t *out_number,
                                     struct row_operator *out)
{
    *out_number = authority_operator_by_id(o->a, ky_span_text(name));
    struct ky_status status =
        *out_number != 0 ? copy_user(o, *out_number, out) : KY_STATUS(KY_NOT_FOUND);

    return status.code == KY_NOT_FOUND || (ky_ok(status) && out->removed)
               ? operate_no(o, KY_NOT_FOUND, "no such user")
               : status;
}

static struct ky_status change_user(struct operation *o, uint32_t number,
                                    const struct row_operator *from, const struct row_operator *to,
                                    const char *done)
{
    if (is_able(o->a, from) && !is_able(o->a, to) && operate_users_missing(o->a, number) > 0)
        return operate_no(o, KY_CONFLICT, "too few would be left who may add users");
    return put_user(o, number, to, done);
}

struct ky_status operate_remove_user(struct operation *o)
{
    struct row_operator from, to;
    uint32_t number;
    struct ky_status status = find_present(o, o->op->remove_user->name, &number, &from);

    if (!ky_ok(status))
        return status;
    to = from;
    to.removed = true;
    return change_user(o, number, &from, &to, "removed");
}

struct ky_status operate_set_role(struct operation *o)
{
    const Kyso__V1__SetRole *m = o->op->set_role;
    struct row_operator from, to;
    uint32_t number;
    struct ky_status status = find_present(o, m->name, &number, &from);

    if (!ky_ok(status))
        return status;
    if (!is_role(m->role))
        return operate_no(o, KY_INVALID, "role is none");
    if (!policy_role_change_allowed(operate_user_role(&from), (uint8_t)m->role))
        return operate_no(o, KY_CONFLICT, "an auditor has and had no other role");
    to = from;
    to.role = (uint8_t)m->role;
    return change_user(o, number, &from, &to, "has the role now");
}

static Kyso__V1__User *user_message(struct operation *o, const struct row_operator *u)
{
    Kyso__V1__User *m = ky_arena_alloc(o->arena, sizeof(*m));

    if (m == NULL)
        return NULL;
    kyso__v1__user__init(m);
    m->name = operate_text(o, u->operator_id);
    m->role = (Kyso__V1__Role)operate_user_role(u);
    m->removed = u->removed;
    m->certificate = operate_bytes(o, u->certificate);
    m->not_before = (int64_t)u->not_before_s;
    m->not_after = (int64_t)u->not_after_s;
    return m;
}

struct ky_status operate_list_users(struct operation *o)
{
    const Kyso__V1__ListUsers *list = o->op->list_users;
    uint32_t count = store_row_count(authority_store(o->a), ROW_OPERATOR);
    uint32_t row = list->from;

    o->result.users = ky_arena_alloc(o->arena, USERS_PAGE * sizeof(*o->result.users));
    while (row < count && o->result.n_users < USERS_PAGE && o->result.users != NULL) {
        struct row_operator u;
        struct ky_status status = store_row_get(authority_store(o->a), ROW_OPERATOR, ++row, &u);

        if (!ky_ok(status))
            return status;
        if (!u.removed || list->removed)
            o->result.users[o->result.n_users++] = user_message(o, &u);
    }
    o->result.next_from = row < count ? row : 0;
    return KY_STATUS(KY_OK);
}
