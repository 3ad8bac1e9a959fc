/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller of the CSC API says of its algorithm: signAlgo, hash and the DER of signAlgoParams. Input: which signAlgo,
 * which hash, then the parameters' bytes. What is taken names a hash and, with PSS, a salt and a mask of ours.
 */
#include "base64.h"
#include "csc.h"
#include "fuzz.h"

static void check(const char *sign_algo, const char *params, uint8_t hash)
{
    struct csc_algorithm a = {0};
    bool missing = false;

    if (csc_algorithm_read(sign_algo, params, hash, &a, &missing) != NULL)
        return;
    FUZZ_CHECK(!missing && a.scheme != KY_SCHEME_NONE && a.scheme < KY_SCHEME_COUNT && ky_hash_len(a.hash) != 0);
    if (a.scheme == KY_RSA_PSS)
        FUZZ_CHECK(ky_hash_len(a.mgf_hash) != 0 && a.salt_len <= KY_SIG_MAX && (hash == 0 || hash == a.hash));
    else
        FUZZ_CHECK(a.mgf_hash == 0 && a.salt_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *algorithms = csc_key_algorithms(0);
    struct ky_buf text = KY_BUF_INIT(4096);

    if (size >= 2 && size < 1024) {
        const char *sign_algo = json_string_value(json_array_get(algorithms, data[0] % json_array_size(algorithms)));

        base64_put(&text, KY_SPAN(data + 2, size - 2));
        ky_buf_put(&text, "", 1);
        check(sign_algo, (const char *)text.data, data[1] % KY_HASH_COUNT);
        check(sign_algo, NULL, data[1] % KY_HASH_COUNT);
        ky_buf_reset(&text);
        ky_buf_put(&text, data + 2, size - 2); /* as it came: mostly no Base64 */
        ky_buf_put(&text, "", 1);
        check((const char *)text.data, (const char *)text.data, data[1] % KY_HASH_COUNT);
    }
    ky_buf_free(&text);
    json_decref(algorithms);
    return 0;
}
