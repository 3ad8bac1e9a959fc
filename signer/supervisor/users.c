/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the roles run as. A kysod that root starts gives each kind of role a user of its own; one that anybody else
 * starts cannot, and all run as itself. Never all as root, except in a demo, which says so in its log.
 * The state's folder is then root's, sticky and writable for the authority's group: the authority makes and renames its
 * own files there and cannot touch kysod's, the latch's markers among them. Before the loop, and in a role's child.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor.h"

#define NUMBER_MAX 4294967294u

static const char *const standard_names[ROLE_USERS] = {
    [ROLE_AUTHORITY] = "kyso-authority",
    [ROLE_VAULT] = "kyso-vault",
    [ROLE_FRONT] = "kyso-front",
    [ROLE_STATUS] = "kyso-status",
};

/* What of the state belongs to whom; what is not there is looked at when it is. */
static const struct part {
    const char *name;
    bool authority;
} parts[] = {
    { "run", false }, { "kyso.db", true }, { "kyso.db-wal", true }, { "kyso.db.lock", true }, { "checkpoint", true },
    { "backup.db", true }, { "backup.checkpoint", true },
    { "login-pending", false }, { "login-failures", false },
};

/* A number is a user and a group without an account. A named account keeps its groups: a token's may be among them. */
static bool find(const char *name, struct role_user *out)
{
    const struct passwd *account;
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    *out = (struct role_user){ .group_count = 0 };
    if (*name >= '0' && *name <= '9' && *end == '\0' && number <= NUMBER_MAX) {
        out->uid = (uid_t)number;
        out->gid = (gid_t)number;
        return true;
    }
    account = getpwnam(name);
    if (!account)
        return false;
    out->uid = account->pw_uid;
    out->gid = account->pw_gid;
    out->group_count = ROLE_GROUPS_MAX;
    (void)getgrouplist(name, out->gid, out->groups, &out->group_count); /* more than the room: the count says so */
    return true;
}

static int refuse(const char *why, const char *name)
{
    fprintf(stderr, "kysod: %s: %s\n", name, why);
    return 1;
}

static bool in_group(const struct role_user *u, gid_t group)
{
    bool in = u->gid == group;

    for (int i = 0; i < u->group_count && !in; i++)
        in = u->groups[i] == group;
    return in;
}

/* The authority's group may write in the state's folder. */
static int check_apart(const struct supervisor *s, const char *const *names)
{
    for (int i = 0; i < ROLE_USERS; i++) {
        const struct role_user *u = &s->users[i];

        if (u->group_count > ROLE_GROUPS_MAX)
            return refuse("this user is in too many groups", names[i]);
        if (u->uid == 0 || in_group(u, 0))
            return refuse("a role must not run as root, nor in root's group", names[i]);
        if (i != ROLE_AUTHORITY && in_group(u, s->users[ROLE_AUTHORITY].gid))
            return refuse("no other role may be in the authority's group", names[i]);
        for (int j = 0; j < i; j++)
            if (u->uid == s->users[j].uid)
                return refuse("each role needs a user of its own", names[i]);
    }
    return 0;
}

int users_choose(struct supervisor *s)
{
    const struct config_users *u = &s->config->users;
    const char *names[ROLE_USERS] = { [ROLE_AUTHORITY] = u->authority, [ROLE_VAULT] = u->vault,
                                      [ROLE_FRONT] = u->front, [ROLE_STATUS] = u->status };
    const char *missing = NULL;
    bool configured = false;

    for (int i = 0; i < ROLE_USERS; i++) {
        configured = configured || names[i];
        names[i] = names[i] ? names[i] : standard_names[i];
    }
    if (geteuid() != 0)
        return configured ? refuse("only root can start the roles as others", "users") : 0;
    for (int i = 0; i < ROLE_USERS && !missing; i++)
        if (!find(names[i], &s->users[i]))
            missing = names[i];
    s->apart = !missing;
    if (!missing)
        return check_apart(s, names);
    if (configured || !s->config->demo)
        return refuse("no such user. Root starts each role as a user of its own: make kyso-front, kyso-authority, "
                      "kyso-vault and kyso-status, or name others under users in the configuration", missing);
    return 0; /* and serve() says so */
}

bool users_become(const struct role_user *u)
{
    return setgroups((size_t)u->group_count, u->groups) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
           setresuid(u->uid, u->uid, u->uid) == 0;
}

/* --- the state's folder ------------------------------------------------------------------------ */

int users_give_state(const struct supervisor *s)
{
    const char *dir = s->config->state_dir;

    if (s->apart && (chown(dir, 0, s->users[ROLE_AUTHORITY].gid) != 0 || chmod(dir, 01770) != 0))
        return refuse(strerror(errno), dir);
    return 0;
}

/* false: it is not there */
static bool owner_of(const struct supervisor *s, const struct part *p, char *out_path, size_t cap, uid_t *out_owner)
{
    struct stat info;

    (void)snprintf(out_path, cap, "%s/%s", s->config->state_dir, p->name);
    if (lstat(out_path, &info) != 0)
        return false;
    *out_owner = info.st_uid;
    return true;
}

static int refuse_owner(const struct supervisor *s, const char *path)
{
    const struct role_user *a = &s->users[ROLE_AUTHORITY];
    const char *dir = s->config->state_dir;
    char name[1024];
    uid_t owner;

    fprintf(stderr, "kysod: %s has another owner or other rights than a server has that root starts. To make it so:\n"
                    "  chown -R 0:0 %s",
            path, dir);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].authority && owner_of(s, &parts[i], name, sizeof(name), &owner))
            fprintf(stderr, " && chown -hR %u:%u %s", (unsigned)a->uid, (unsigned)a->gid, name);
    fprintf(stderr, " && chown 0:%u %s && chmod 1770 %s\n", (unsigned)a->gid, dir, dir);
    return 1;
}

int users_check_state(const struct supervisor *s)
{
    const struct role_user *a = &s->users[ROLE_AUTHORITY];
    char path[1024];
    struct stat info;
    uid_t owner;

    if (!s->apart)
        return 0;
    if (stat(s->config->state_dir, &info) != 0 || info.st_uid != 0 || info.st_gid != a->gid ||
        (info.st_mode & (S_ISVTX | S_IWGRP | S_IWOTH)) != (S_ISVTX | S_IWGRP))
        return refuse_owner(s, s->config->state_dir);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (owner_of(s, &parts[i], path, sizeof(path), &owner) && owner != (parts[i].authority ? a->uid : 0))
            return refuse_owner(s, path);
    return 0;
}
