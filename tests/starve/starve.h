/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault 57: makes the n-th allocation from now fail, of our own code and of OpenSSL, SQLite,
 * libevent and nghttp2 as it uses them. Linked into a test; or into a role, whose count another
 * process sets in the file $KYSO_STARVE (three u64) while it runs. Beside it stands what is
 * allocated, and the most that it ever was (P14).
 */
#ifndef KYSO_TEST_STARVE_H
#define KYSO_TEST_STARVE_H

#include <stdatomic.h>
#include <stdint.h>

struct starve_page {
    _Atomic uint64_t count;
    _Atomic uint64_t live, peak; /* bytes */
};

/*
 * The n-th from now, 0 = none. Returns how many were left of the count before: 0 = that one was
 * refused, or there was none.
 */
uint64_t starve(uint64_t n);

#endif
