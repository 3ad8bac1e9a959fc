/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on the people who sign operations: add, list, remove, give another role. The authority's thread, inside a turn.
 * Keeps: one person, one role, one key; an auditor never was anything else, under any name; as many are left as it
 * takes to add one.
 */
#include "certificate.h"
#include "operate.h"

bool operate_user_valid(const struct row_operator *u, uint64_t now_s)
{
    return !u->removed && (u->certificate.len == 0 || (now_s >= u->not_before_s && now_s <= u->not_after_s));
}

uint8_t operate_user_role(const struct row_operator *u)
{
    return u->role != 0 ? u->role : POLICY_ADMINISTRATOR;
}

/* The row by name, whether or not it is removed; 0 = none. The copy's spans are the arena's. */
static struct ky_status find_user(struct operation *o, const char *name, uint32_t *out_number,
                                  struct row_operator *out)
{
    *out = (struct row_operator){.operator_id = ky_span_text(name)};
    *out_number = authority_operator_by_id(o->a, out->operator_id);
    if (*out_number == 0)
        return KY_STATUS(KY_OK);
    struct ky_status status = store_row_get(authority_store(o->a), ROW_OPERATOR, *out_number, out);
    if (!ky_ok(status))
        return status;
    ProtobufCBinaryData key = operate_bytes(o, out->public_key);
    ProtobufCBinaryData certificate = operate_bytes(o, out->certificate);
    out->operator_id = ky_span_text(name);
    out->public_key = KY_SPAN(key.data, key.len);
    out->certificate = KY_SPAN(certificate.data, certificate.len);
    return o->arena->exhausted ? KY_STATUS(KY_BUSY) : status;
}

/* NULL, or how the two are one person in two places. */
static const char *conflict(const struct row_operator *u, const struct row_operator *other)
{
    bool same_key = ky_span_eq(u->public_key, other->public_key);
    bool same = same_key || certificate_same_subject(u->certificate, other->certificate);

    if (same && !policy_role_change_allowed(operate_user_role(other), operate_user_role(u)))
        return "an auditor has and had no other role";
    if (same && !other->removed)
        return same_key ? "somebody has that key" : "somebody has a certificate of that subject";
    return NULL;
}

/* Against everybody else, and how many would be left who may add users. */
static struct ky_status check_user(struct operation *o, uint32_t number, const struct row_operator *u)
{
    const struct policy_operation *add = policy_operation("add-user");
    uint32_t count = store_row_count(authority_store(o->a), ROW_OPERATOR);
    uint32_t able = 0;

    for (uint32_t row = 1; row <= count; row++) {
        struct row_operator other;
        struct ky_status status = store_row_get(authority_store(o->a), ROW_OPERATOR, row, &other);

        if (!ky_ok(status))
            return status;
        if (row == number)
            continue;
        const char *why = u->removed ? NULL : conflict(u, &other);
        if (why != NULL)
            return operate_no(o, KY_CONFLICT, why);
        able += operate_user_valid(&other, authority_now_s(o->a)) &&
                (add->roles & (1u << operate_user_role(&other))) != 0;
    }
    able += !u->removed && (add->roles & (1u << operate_user_role(u))) != 0;
    if (able < (authority_dual_control(o->a) ? add->people : 1u))
        return operate_no(o, KY_CONFLICT, "too few would be left who may add users");
    return KY_STATUS(KY_OK);
}

static struct ky_status put_user(struct operation *o, uint32_t number, const struct row_operator *u,
                                 const char *done)
{
    struct ky_status status = check_user(o, number, u);

    if (ky_ok(status))
        status = authority_row_put(o->a, ROW_OPERATOR, number, u, o->index, NULL);
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
    u->not_before_s = 0;
    u->not_after_s = 0;
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

/* A removed person's name takes a new certificate: that is how one is renewed. */
struct ky_status operate_add_user(struct operation *o)
{
    const Kyso__V1__AddUser *m = o->op->add_user;
    struct row_operator u;
    uint32_t number = 0;

    if (!ky_span_is_name(ky_span_text(m->name), KY_NAME_MAX) || !is_role(m->role))
        return operate_no(o, KY_INVALID, "name or role is none");
    struct ky_status status = find_user(o, m->name, &number, &u);
    if (!ky_ok(status))
        return status;
    if (number != 0 && !u.removed)
        return operate_no(o, KY_CONFLICT, "that name is taken");
    if (number != 0 && !policy_role_change_allowed(operate_user_role(&u), (uint8_t)m->role))
        return operate_no(o, KY_CONFLICT, "an auditor has and had no other role");
    u.role = (uint8_t)m->role;
    u.removed = false;
    status = take_key(o, m, &u);
    return ky_ok(status) ? put_user(o, number, &u, "added") : status;
}

static struct ky_status find_present(struct operation *o, const char *name, uint32_t *out_number,
                                     struct row_operator *out)
{
    struct ky_status status = find_user(o, name, out_number, out);

    return ky_ok(status) && (*out_number == 0 || out->removed)
               ? operate_no(o, KY_NOT_FOUND, "no such user")
               : status;
}

struct ky_status operate_remove_user(struct operation *o)
{
    struct row_operator u;
    uint32_t number = 0;
    struct ky_status status = find_present(o, o->op->remove_user->name, &number, &u);

    u.removed = true;
    return ky_ok(status) ? put_user(o, number, &u, "removed") : status;
}

struct ky_status operate_set_role(struct operation *o)
{
    const Kyso__V1__SetRole *m = o->op->set_role;
    struct row_operator u;
    uint32_t number = 0;
    struct ky_status status = find_present(o, m->name, &number, &u);

    if (!ky_ok(status))
        return status;
    if (!is_role(m->role))
        return operate_no(o, KY_INVALID, "role is none");
    if (!policy_role_change_allowed(operate_user_role(&u), (uint8_t)m->role))
        return operate_no(o, KY_CONFLICT, "an auditor has and had no other role");
    u.role = (uint8_t)m->role;
    return put_user(o, number, &u, "has the role now");
}

struct ky_status operate_list_users(struct operation *o)
{
    uint32_t count = store_row_count(authority_store(o->a), ROW_OPERATOR);
    Kyso__V1__User *users = ky_arena_alloc(o->arena, (count + 1) * sizeof(*users));

    o->result.users = ky_arena_alloc(o->arena, (count + 1) * sizeof(*o->result.users));
    for (uint32_t row = 1; row <= count && users != NULL && o->result.users != NULL; row++) {
        Kyso__V1__User *m = &users[row - 1];
        struct row_operator u;
        struct ky_status status = store_row_get(authority_store(o->a), ROW_OPERATOR, row, &u);

        if (!ky_ok(status))
            return status;
        kyso__v1__user__init(m);
        m->name = operate_text(o, u.operator_id);
        m->role = (Kyso__V1__Role)operate_user_role(&u);
        m->removed = u.removed;
        m->certificate = operate_bytes(o, u.certificate);
        m->not_before = (int64_t)u.not_before_s;
        m->not_after = (int64_t)u.not_after_s;
        o->result.users[o->result.n_users++] = m;
    }
    o->result.message = operate_message(o, "%u user(s)", count);
    return KY_STATUS(KY_OK);
}
