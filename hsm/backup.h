/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one time that the server's three keys leave a token: born as session objects, wrapped under
 * a backup key, and made token objects by unwrapping those very blobs. So a backup is proved at
 * birth, and restoring it is the same code. Only the ceremony calls this.
 */
#ifndef HSM_BACKUP_H
#define HSM_BACKUP_H

#include "keys.h"
#include "kyso/secret.h"

enum { HSM_BACKUP_KEY_LEN = 32, HSM_BACKUP_BLOB_MAX = 256 };

struct hsm_backup { /* nothing secret: whoever has the backup key as well has the keys */
    struct {
        uint8_t bytes[HSM_BACKUP_BLOB_MAX];
        size_t len;
    } blobs[HSM_OWN_COUNT];
    uint32_t kek;        /* generation of its KEK */
    uint8_t ledger_type; /* KY_KEY_ED25519 where the token wraps it, else KY_KEY_P256 */
    uint8_t ledger_spki[KY_SPKI_MAX];
    size_t ledger_spki_len;
};

/* A session object that wraps and unwraps. bytes: HSM_BACKUP_KEY_LEN of them. Errors: KY_TOKEN_*, KY_INVALID. */
KY_MUST_CHECK struct ky_status hsm_backup_key(const struct hsm_session *s,
                                              const struct ky_secret *bytes,
                                              CK_OBJECT_HANDLE *out_key);
/* Three new keys, as blobs; none of them stays in the token. Errors: KY_TOKEN_*, KY_UNSUPPORTED. */
KY_MUST_CHECK struct ky_status hsm_backup_make(const struct hsm_session *s,
                                               const struct hsm_caps *caps, CK_OBJECT_HANDLE key,
                                               struct hsm_backup *out);
/* Token objects of the blobs, each read back. Errors: KY_TOKEN_*, KY_CORRUPT. */
KY_MUST_CHECK struct ky_status hsm_backup_install(const struct hsm_session *s,
                                                  const struct hsm_caps *caps, CK_OBJECT_HANDLE key,
                                                  const struct hsm_backup *backup);
/* Another KEK in the place of the backup's, of the next generation. Errors: as hsm_backup_make. */
KY_MUST_CHECK struct ky_status hsm_backup_renew_kek(const struct hsm_session *s,
                                                    const struct hsm_caps *caps,
                                                    CK_OBJECT_HANDLE key, struct hsm_backup *backup);
/* Its KEK beside the token's other keys, unless it is there. Errors: as hsm_backup_install. */
KY_MUST_CHECK struct ky_status hsm_backup_install_kek(const struct hsm_session *s,
                                                      const struct hsm_caps *caps,
                                                      CK_OBJECT_HANDLE key,
                                                      const struct hsm_backup *backup);
/*
 * Its KEK as a session object without CKA_UNWRAP_TEMPLATE: what it unwraps may be extractable. The caller destroys it. KY_CORRUPT:
 * the token's KEK of that generation, if there is one, is another key.
 */
KY_MUST_CHECK struct ky_status hsm_backup_open_kek(const struct hsm_session *s,
                                                   const struct hsm_caps *caps,
                                                   CK_OBJECT_HANDLE key,
                                                   const struct hsm_backup *backup,
                                                   struct hsm_kek *out);
/* Each blob unwrapped to a session object and wrapped again: KY_CORRUPT unless the bytes are the same. */
KY_MUST_CHECK struct ky_status hsm_backup_compare(const struct hsm_session *s,
                                                  const struct hsm_caps *caps, CK_OBJECT_HANDLE key,
                                                  const struct hsm_backup *backup);

#endif
