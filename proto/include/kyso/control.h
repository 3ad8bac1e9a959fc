/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the supervisor and each role, one per datagram of a
 * SOCK_SEQPACKET pair that a role finds at descriptor KY_CONTROL_FD; the
 * configuration's text is at KY_CONFIG_FD (a sealed memory file: every role reads
 * the same bytes); a front's listening socket is at KY_LISTEN_FD, and a front's or
 * vault's channel to the authority at KY_CHANNEL_FD; kyso-custody has the ceremony's transcript there.
 *
 * Start of a vault:  HELLO -> (supervisor writes the login-pending marker, then)
 * PIN with a pipe's read end -> LOGGED_IN or LOGIN_FAILED -> READY.
 */
#ifndef KYSO_CONTROL_H
#define KYSO_CONTROL_H

#include <stdint.h>

#include "kyso/status.h"

enum { KY_CONTROL_FD = 3, KY_CONFIG_FD = 4, KY_CHANNEL_FD = 5, KY_LISTEN_FD = 6 };

enum control_type {
    /* to a role */
    /* vault, and from custody (with what CONTROL_ACTIVATED has); carries the read end of a pipe with the PIN's bytes, then end of file */
    CONTROL_PIN = 1,
    /* authority; carries a channel: door (front) or 0 (vault), index, generation */
    CONTROL_PEER,
    CONTROL_PEER_DEAD, /* authority; waitpid has seen the peer (door, index, generation) end */
    CONTROL_DRAIN,     /* finish what is accepted, then exit 0 */
    /* authority; no more jobs for vault (index, generation); close its channel when it has none */
    CONTROL_RETIRE,
    /*
     * authority; role table for the status screen: door, index, generation = restarts, arg = state
     */
    CONTROL_STATUS,
    /* authority; custodians (arg, bit i: the i+1st) have given the PIN; text: 32 bytes that name the key they sealed to */
    CONTROL_ACTIVATED,
    /* from a role */
    CONTROL_HELLO = 20, /* vault: C_Initialize is done, send the PIN */
    CONTROL_LOGGED_IN,
    CONTROL_LOGIN_FAILED, /* arg = CK_RV, 0: not tried; the vault exits after it */
    CONTROL_READY,        /* arg = port for a front; shares that are missing, for custody */
    CONTROL_KILL,         /* authority: SIGKILL vault (index, generation); it missed a deadline */
    CONTROL_SEALED,       /* authority: seals itself, text says why */
    CONTROL_DONE,         /* provisioning finished (kysod --init) */
    /* vault: it has unwrapped its share of keys (token.recycle_after), start its replacement */
    CONTROL_WORN,
};

struct control_msg {
    uint32_t type;
    uint32_t door; /* enum ky_door, 0 for a vault */
    uint32_t index;
    uint32_t generation;
    uint64_t arg;
    char text[96];
};

/* fd < 0: none. The sender keeps its fd. Errors: KY_IO. */
KY_MUST_CHECK struct ky_status control_send(int control_fd, const struct control_msg *m, int fd);
/*
 * Blocks unless the descriptor is non-blocking. *out_fd is -1 or a descriptor the caller owns
 * (close-on-exec). KY_UNAVAILABLE at end of file, KY_BUSY when nothing is there.
 */
KY_MUST_CHECK struct ky_status control_recv(int control_fd, struct control_msg *out, int *out_fd);

#endif
