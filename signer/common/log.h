/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log lines on standard error: time, role, event, key=value pairs, as text or JSON.
 * Events come from one table (log.c). Logs are never evidence: the ledger is.
 *   log_event(LOG_INFO, "vault-joined", LOG_U64("vault", i), LOG_STR("token", label));
 */
#ifndef KYSO_LOG_H
#define KYSO_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "kyso/status.h"

enum log_level { LOG_DEBUG = 0, LOG_INFO = 1, LOG_WARN = 2, LOG_ERROR = 3 };

struct log_pair {
    const char *key;
    const char *text; /* NULL: number */
    uint64_t number;
};
#define LOG_STR(k, v) ((struct log_pair){.key = (k), .text = (v)})
#define LOG_U64(k, v) ((struct log_pair){.key = (k), .number = (uint64_t)(v)})
#define LOG_CODE(s)                                                                                \
    ((struct log_pair){.key = "status", .text = ky_code_info((s).code)->name}),                    \
        ((struct log_pair){.key = "cause", .number = (s).cause})

/*
 * `event` is a kebab-case name listed in log_events (log.c); an unlisted one aborts in dev builds.
 */
void log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n);
#define log_event(level, event, ...)                                                               \
    log_emit(level, event, (const struct log_pair[]){__VA_ARGS__},                                 \
             (int)(sizeof((const struct log_pair[]){__VA_ARGS__}) / sizeof(struct log_pair)))

void log_setup(const char *role, const char *format, const char *level);

#endif
