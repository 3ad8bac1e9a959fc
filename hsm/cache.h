/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwrapped handles, bounded and least recently used first, named by (credential
 * row, epoch). A newer epoch drops the older ones. Shared by the vault's threads
 * behind one leaf lock; a handle in use is pinned, and a dropped one is destroyed
 * in the token when its last pin goes.
 */
#ifndef HSM_CACHE_H
#define HSM_CACHE_H

#include "session.h"

struct hsm_cache;
struct hsm_cached; /* a pinned entry */

/* cap >= 1 beyond what may be pinned at once. NULL: out of memory. */
struct hsm_cache *hsm_cache_new(uint32_t cap);
void hsm_cache_free(struct hsm_cache *c); /* the token's objects end with their sessions */

/* Pins and returns the entry, or NULL. */
struct hsm_cached *hsm_cache_get(struct hsm_cache *c, uint32_t row, uint32_t epoch);
/*
 * Takes over a handle that this session made, pinned. NULL when every entry is pinned: the caller
 * keeps the handle. Another thread's handle of the same name is replaced.
 */
struct hsm_cached *hsm_cache_put(struct hsm_cache *c, const struct hsm_session *s, uint32_t row,
                                 uint32_t epoch, CK_OBJECT_HANDLE handle);
CK_OBJECT_HANDLE hsm_cached_handle(const struct hsm_cached *e);
/* False once its session was given up: the number may by now name another key. Asked after signing it covers all that was signed. */
bool hsm_cached_alive(struct hsm_cache *c, const struct hsm_cached *e);
/* First use: under which public key (its SHA-256) this handle was already seen to sign. */
bool hsm_cached_verified(struct hsm_cache *c, const struct hsm_cached *e,
                         const uint8_t spki_sha256[32]);
void hsm_cached_set_verified(struct hsm_cache *c, struct hsm_cached *e,
                             const uint8_t spki_sha256[32]);
/* Unpins; drop = never hand it out again. */
void hsm_cache_release(struct hsm_cache *c, const struct hsm_session *s, struct hsm_cached *e,
                       bool drop);

void hsm_cache_forget_row(struct hsm_cache *c, const struct hsm_session *s, uint32_t row);
/* The session with that serial is closed, and its objects with it. */
void hsm_cache_forget_session(struct hsm_cache *c, uint64_t serial);
/* Destroys half of what is not in use. */
void hsm_cache_shrink(struct hsm_cache *c, const struct hsm_session *s);
uint32_t hsm_cache_count(struct hsm_cache *c);

#endif
