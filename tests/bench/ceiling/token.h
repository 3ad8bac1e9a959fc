/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare PKCS#11 side of a measurement: one module, one login, one session per thread, keys that
 * are session objects and die with it. No server and none of its code: what this reaches is the
 * ceiling.
 */
#ifndef BENCH_TOKEN_H
#define BENCH_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <p11-kit/pkcs11.h>

#define TOKEN_BLOB_MAX 2048u
#define TOKEN_SIG_MAX  512u

enum token_key { TOKEN_P256, TOKEN_RSA2048 };

struct token { /* of one process */
    CK_FUNCTION_LIST *fn;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE anchor; /* keeps the login; never closed */
};

struct token_session {         /* of one thread */
    const struct token *token; /* borrowed for the session's life */
    CK_SESSION_HANDLE handle;
    CK_OBJECT_HANDLE kek;
    enum token_key key_type;
};

struct token_blob {
    uint8_t bytes[TOKEN_BLOB_MAX];
    CK_ULONG len;
};

/* Each says on stderr what failed and with which CK_RV, and returns false. */
bool token_open(struct token *t, const char *module, const char *label, const char *pin);
void token_close(struct token *t);
bool token_session_open(struct token_session *s, const struct token *t, enum token_key key_type);
bool token_kek_make(struct token_session *s);

/*
 * A key pair; the private half is kept, the public one destroyed. on_token: a token object, to be
 * destroyed by the caller.
 */
bool token_key_make(const struct token_session *s, bool on_token, bool extractable,
                    CK_OBJECT_HANDLE *out_key);
bool token_key_wrap(const struct token_session *s, CK_OBJECT_HANDLE key,
                    struct token_blob *out_blob);
bool token_key_unwrap(const struct token_session *s, const struct token_blob *blob,
                      CK_OBJECT_HANDLE *out_key);
bool token_key_destroy(const struct token_session *s, CK_OBJECT_HANDLE key);
/* One C_SignInit and one C_Sign over a digest made of the counter. */
bool token_sign(const struct token_session *s, CK_OBJECT_HANDLE key, uint64_t counter);

#endif
