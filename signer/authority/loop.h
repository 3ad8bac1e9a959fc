/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop around the turn: readiness in, one turn per iteration, and the supervisor's messages. The only file of the
 * authority that knows libevent.
 */
#ifndef KYSO_LOOP_H
#define KYSO_LOOP_H

#include "authority_private.h"

/*
 * Serves until drained, provisioned or told to stop; the process's exit code. control_fd is borrowed.
 *   operators  to be added: repeated ky_put_bytes name, ky_put_bytes DER certificate or SubjectPublicKeyInfo; empty = it serves
 *   ceremony   for create: SHA-256 of the key ceremony's transcript, or empty
 */
struct loop_options {
    const struct config *config;
    int control_fd;
    bool create;
    struct ky_span operators;
    struct ky_span ceremony;
};
int loop_run(const struct loop_options *options);

#endif
