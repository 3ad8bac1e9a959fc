/* SPDX-License-Identifier: Apache-2.0 */
/* A run as one line of JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "run.h"

bool report(const struct load *load, const struct tally *t, size_t verified, size_t bad);

#endif
