/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault 57: makes the n-th allocation from now fail, of our own code and of OpenSSL, SQLite, libevent and nghttp2 as it uses them. Linked
 * into a test, or into a role in place of nothing else: then the eight bytes of the file $KYSO_STARVE are the count, which another
 * process may set while the role runs.
 */
#ifndef KYSO_TEST_STARVE_H
#define KYSO_TEST_STARVE_H

#include <stdint.h>

/* The n-th from now, 0 = none. Returns how many were left of the count before: 0 = that one was refused, or there was none. */
uint64_t starve(uint64_t n);

#endif
