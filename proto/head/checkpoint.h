/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signed checkpoint: a C2SP tlog-checkpoint in a C2SP signed note. Forms only, no I/O, any
 * thread.
 *
 * A key's type byte and identity, as they enter key id and vkey:
 *   KY_KEY_ED25519  0x01, then the 32 raw bytes of the public key; signs the body itself
 *   KY_KEY_P256     0xff (a type of our own), then the text "kyso-ecdsa-p256", then the DER
 *                   SubjectPublicKeyInfo; the note carries a DER ECDSA signature over SHA-256(body)
 * key id = the first 4 bytes of SHA-256(name || LF || type byte || identity).
 */
#ifndef KYSO_CHECKPOINT_H
#define KYSO_CHECKPOINT_H

#include "kyso/span.h"
#include "kyso/status.h"

#define CHECKPOINT_NOTE_MAX 8192u

/* origin LF decimal size LF base64(root) LF: the bytes that are signed. */
void checkpoint_body(struct ky_span origin, uint64_t size, const uint8_t root[32],
                     struct ky_buf *out);

/*
 * body, an empty line, U+2014 SP name SP base64(key id || signature) LF.
 *   name       without space or plus; usually the origin
 *   signature  64 raw bytes of either key type, as a vault returns them
 * What does not fit together (key type, SPKI, lengths, name) sets out->failed.
 */
void checkpoint_note(struct ky_span body, struct ky_span name, uint8_t key_type,
                     struct ky_span spki, struct ky_span signature, struct ky_buf *out);

/*
 * Checks a note under the key and takes it apart. Signatures by other keys are ignored; one by this
 * name and key must be there and hold. Lines after the root are allowed and ignored. Errors:
 * KY_INVALID (not a checkpoint note, no signature by this key, bad SPKI), KY_CORRUPT (the
 * signature).
 */
KY_MUST_CHECK struct ky_status checkpoint_verify(struct ky_span note, struct ky_span name,
                                                 uint8_t key_type, struct ky_span spki,
                                                 uint64_t *out_size, uint8_t out_root[32]);
/* The first line of a note or body, for a caller that expects one. Empty when there is none. */
struct ky_span checkpoint_origin(struct ky_span note);

/*
 * The verifier key name+hex(key id)+base64(type byte || identity), without LF. Errors: KY_INVALID.
 */
KY_MUST_CHECK struct ky_status checkpoint_vkey(struct ky_span name, uint8_t key_type,
                                               struct ky_span spki, struct ky_buf *out);

#endif
