/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private SoftHSM2 token in a temporary folder, and vaults run against it as the
 * supervisor runs them: fork and exec (of the test program itself, with --vault),
 * control and channel socketpairs, the PIN through a pipe. Single-threaded.
 */
#ifndef HSM_TEST_HARNESS_H
#define HSM_TEST_HARNESS_H

#include <p11-kit/pkcs11.h>
#include <sys/types.h>

#include "kyso/hsm.h"
#include "kyso/record.h"

#define TEST_PIN       "271828"
#define TEST_TOKEN_URI "pkcs11:token=kyso-test"

/* First thing in main: runs a vault and does not return when the program was started as one. */
void harness_maybe_vault(int argc, char **argv);

/* cmocka group fixtures: make and remove the token; provision it. */
int harness_token_setup(void **state);
int harness_token_teardown(void **state);

struct vault_options {
    const char *uri;     /* NULL: TEST_TOKEN_URI */
    const char *pin;     /* NULL: TEST_PIN */
    uint32_t sessions;   /* 0: 1 */
    uint32_t cache_keys; /* 0: 100 */
    bool provision;
    bool serialize;
    bool unrestricted;
    bool tuned;    /* software_tuning */
    bool no_token; /* the configured module does not exist */
    bool narrow;   /* few replies fit its socket */
    bool shim;     /* through shim.c; faults in the environment, see there */
};

struct vault {
    pid_t pid;
    int control;
    int fd;
    struct ky_channel channel;
    uint64_t next_tag;
};

struct vault vault_spawn(const struct vault_options *o);
struct control_msg
vault_control(struct vault *v); /* the next message; fails the test after 30 s or at end of file */
void vault_send_pin(struct vault *v, const char *pin);
struct vault vault_start(const struct vault_options *o); /* spawn, hello, PIN, logged in, ready */
int vault_exit_code(struct vault *v);                    /* closes both ends and waits */
int vault_wait_exit(struct vault *v);                    /* waits without closing first */
void vault_stop(struct vault *v);                        /* drains; asserts exit 0 */

void vault_post(struct vault *v, const struct ky_schema *s, const void *msg, uint64_t tag);
void vault_flush(struct vault *v);
/* The next reply; the payload lives until the next one is asked for. */
struct ky_record vault_next(struct vault *v);
/*
 * One job and its reply: KY_OK and *out filled when it is of `reply`, else the code and cause of
 * its JOB_R_DONE.
 */
struct ky_status vault_call(struct vault *v, const struct ky_schema *s, const void *msg,
                            const struct ky_schema *reply, void *out);

struct test_key {
    uint8_t key_type;
    uint8_t storage;
    uint32_t row;
    size_t blob_len;
    size_t spki_len;
    uint8_t blob[KY_BLOB_MAX];
    uint8_t spki[KY_SPKI_MAX];
};

struct ky_status vault_generate(struct vault *v, uint8_t key_type, uint8_t storage,
                                struct test_key *out);
struct job_sign sign_job(const struct test_key *k, const struct ky_algorithm *a,
                         struct ky_span digests);
/* The default algorithm of a key type. */
struct ky_algorithm plain_algorithm(uint8_t key_type, uint8_t hash);
/* OpenSSL alone, from the DER key: nothing of hsm/ takes part. */
bool independently_verified(struct ky_span spki, uint8_t key_type, const struct ky_algorithm *a,
                            struct ky_span digest, struct ky_span raw_sig);

/* A raw login of the test's own: what someone with the PIN can do. */
struct raw {
    CK_FUNCTION_LIST *fn;
    CK_SESSION_HANDLE session;
};
struct raw raw_open(void);
void raw_close(struct raw *r);
CK_OBJECT_HANDLE raw_find(const struct raw *r, CK_OBJECT_CLASS class, const char *label);

#endif
