/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pays with a token in software only (token.software_tuning): it makes the
 * module's own use of OpenSSL 3 shorter, and changes no result.
 */
#ifndef HSM_TUNING_H
#define HSM_TUNING_H

#include "kyso/status.h"

/*
 * Narrows what this process's default OpenSSL context offers, for good. Main thread, once per
 * process, before the module is loaded and before any other use of that context. Afterwards nothing
 * in that context reads or writes keys as DER or PEM (d2i_PUBKEY fails): import numbers, as
 * verify.c does, or use an OSSL_LIB_CTX of one's own.
 *   out_effective  false: the machine's openssl.cnf has loaded the default provider itself;
 *                  nothing gained, nothing lost
 * Errors: KY_NOMEM, KY_INTERNAL: the context may serve nothing now; end the process.
 */
KY_MUST_CHECK struct ky_status hsm_tuning_apply(bool *out_effective);

#endif
