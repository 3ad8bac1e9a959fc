/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fault script as data. README.md has the grammar; this is what a text becomes. Pure: no file, no
 * clock, no module.
 */
#ifndef KYSO_FAULT_SCRIPT_H
#define KYSO_FAULT_SCRIPT_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "functions.h"

enum { RULES_MAX = 32, DATA_MAX = 32, MODULE_PATH_MAX = 256 };

enum action {
    ACT_RETURN,   /* rv instead of the call */
    ACT_AFTER,    /* rv after the call was made */
    ACT_DELAY,    /* number: milliseconds */
    ACT_THROTTLE, /* number: calls a second, of this process */
    ACT_HANG,
    ACT_CRASH,
    ACT_ABORT,
    ACT_EXIT, /* number: the status */
    ACT_FLIP,
    ACT_LENGTH, /* number: added to the length */
    ACT_STALE,
    ACT_ALIAS,
    ACT_PERMUTE,
    ACT_FORK,
    ACT_LOSE_SESSION,
    ACT_LOSE_SESSIONS,
    ACT_COUNT
};

struct range { /* both ends belong to it; numbers begin at 1 */
    uint64_t first;
    uint64_t last;
};

struct rule {
    enum fn fn;
    struct range nth;   /* of this process, since it read the script */
    struct range total; /* of all processes, since the first of them read it */
    struct range life;  /* of processes, in the order in which they first read it */
    uint64_t every;     /* 1: each */
    uint64_t times;     /* how often it may fire in all processes together */
    uint8_t data[DATA_MAX];
    size_t data_len; /* what the signed data begins with; 0: whatever it is */
    bool unwrapped;  /* only on keys that this process has unwrapped */
    enum action action;
    long number;
    CK_RV rv;
};

struct settings { /* 0: as the real module has it */
    uint32_t sessions;
    uint32_t objects;
    uint32_t pin_tries;
    uint32_t leak;
    bool operations_per_token;
    bool not_local;
    char module[MODULE_PATH_MAX];
};

struct script {
    struct rule rules[RULES_MAX];
    size_t rule_count;
    struct settings set;
};

extern const char *const fn_names[FN_COUNT];
extern const char *const action_names[ACT_COUNT];

/* false: out_why is one line that begins with "line N:". */
bool script_parse(const char *text, struct script *out, char *out_why, size_t cap);

/* Does the rule hold for a call with these numbers? `times` is the caller's to check. */
bool rule_counts(const struct rule *r, uint64_t nth, uint64_t total, uint64_t life);

#endif
