/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a role can still ask of the kernel after its start: a seccomp filter for each, and Landlock
 * where the kernel has it. Called once by a role's main thread, before its first hostile byte and
 * before any other thread; nothing takes it back.
 */
#ifndef KYSO_CONFINE_H
#define KYSO_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "kyso/status.h"

enum confine_role {
    CONFINE_DOOR,      /* fronts, status and the web processes: descriptors that are open, memory and clocks; no file, no new socket */
    CONFINE_AUTHORITY, /* the same without accepting, and files below `folders` */
    CONFINE_VAULT,     /* what a PKCS#11 module may want, without programs, other processes and sockets */
};

struct confine {
    enum confine_role role;
    bool sockets;           /* a vault's: its module talks to a daemon or a network; a door's: it connects over TCP */
    const char *folders[2];  /* the authority's, absolute; NULL = none */
    const char *readable[2]; /* folders that it only reads */
};

/* Also logs once what holds from here on. KY_IO: the kernel refused the filter, and the role must not go on. */
KY_MUST_CHECK struct ky_status confine_process(const struct confine *c);

/* landlock.c: nothing below / may be opened or changed but in the folders. out_abi: 0 = this kernel has no Landlock. */
KY_MUST_CHECK struct ky_status confine_files(const struct confine *c, uint32_t *out_abi);

#endif
