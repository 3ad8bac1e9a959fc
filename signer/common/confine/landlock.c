/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: of the file system only some folders are left. The C library has no calls for it. A kernel without it,
 * or one where it is switched off, is no error: file rights and the filter still hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#define READ   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define CHANGE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define EVERY  (LANDLOCK_ACCESS_FS_EXECUTE | READ | CHANGE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
                LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static bool leave(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    int added = -1;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT; /* whoever needs it will say so */
    added = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(rule.parent_fd);
    return added == 0;
}

struct ky_status confine_files(const struct confine *c, uint32_t *out_abi)
{
    const struct landlock_ruleset_attr handled = {.handled_access_fs = EVERY};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int rules = -1;
    bool ok = true;

    *out_abi = abi < 0 ? 0 : (uint32_t)abi;
    if (abi < 1)
        return KY_STATUS(KY_OK);
    rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    for (int i = 0; i < 2; i++)
        ok = ok && (c->folders[i] == NULL || leave(rules, c->folders[i], READ | CHANGE)) &&
             (c->readable[i] == NULL || leave(rules, c->readable[i], READ));
    /* SQLite seeds itself from there. */
    if (c->folders[0] != NULL)
        ok = ok && leave(rules, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
    ok = ok && rules >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    struct ky_status st = ok ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
    if (rules >= 0)
        (void)close(rules);
    return st;
}
