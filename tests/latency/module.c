/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module for tests: SoftHSM2 (or another) with the delay of an HSM at the other end of a
 * network.
 *
 * Simulated: every delayed call occupies one of K places for its delay; all K taken, it queues,
 * first come, first served. The call returns when its delay is over and the real module has done
 * it, whichever is later. The real work happens while the delay runs and holds no place, so K /
 * delay calls a second are reachable as long as the real module, under its own locks, keeps up. A
 * call that the real module refuses takes its time as well. Not simulated: round trips of the other
 * calls (C_SignInit is free), bandwidth, lost connections, the HSM's own CPU.
 *
 *   KYSO_LATENCY_MODULE     the real module's path                                  [SoftHSM2]
 *   KYSO_LATENCY_MS         delay of a call, fractions allowed                      [4]
 *   KYSO_LATENCY_JITTER_MS  each delay lies that much above or below it, uniformly  [0]
 *   KYSO_LATENCY_PARALLEL   K                                                       [32]
 *   KYSO_LATENCY_SHARED     a file, made when absent: all processes that name it share the K places
 *                           (one network HSM, several vaults). Absent: each process has K of its
 *                           own. A file serves one boot.
 *   KYSO_LATENCY_CALLS      which calls: a list of sign, unwrap, generate           [sign]
 *
 * Read once, at C_GetFunctionList; what cannot be read fails it with CKR_ARGUMENTS_BAD and a line
 * on stderr.
 */
#include <dlfcn.h>
#include <errno.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slots.h"

#ifndef LATENCY_DEFAULT_MODULE
#error "LATENCY_DEFAULT_MODULE: path of libsofthsm2.so"
#endif

enum call { SIGN, UNWRAP, GENERATE, CALL_COUNT };
static const char *const call_names[CALL_COUNT] = {"sign", "unwrap", "generate"};

/* Written by the first C_GetFunctionList, which comes before any thread; read afterwards. */
static struct {
    CK_FUNCTION_LIST *real;
    CK_FUNCTION_LIST list;
    struct slots *slots;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    bool delayed[CALL_COUNT];
} latency;

static uint64_t begin(enum call c)
{
    return latency.delayed[c] ? slots_book(latency.slots, latency.delay_ns, latency.jitter_ns) : 0;
}

static CK_RV end(uint64_t end_ns, CK_RV rv)
{
    if (end_ns != 0)
        slots_sleep_until(end_ns);
    return rv;
}

static CK_RV latency_sign(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *sig,
                          CK_ULONG *sig_len)
{
    uint64_t until = 0;

    if (sig == NULL) /* asks for a length: any client library answers that by itself */
        return latency.real->C_Sign(s, in, in_len, sig, sig_len);
    until = begin(SIGN);
    return end(until, latency.real->C_Sign(s, in, in_len, sig, sig_len));
}

static CK_RV latency_unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE kek,
                            CK_BYTE *blob, CK_ULONG blob_len, CK_ATTRIBUTE *t, CK_ULONG n,
                            CK_OBJECT_HANDLE *out)
{
    uint64_t until = begin(UNWRAP);

    return end(until, latency.real->C_UnwrapKey(s, m, kek, blob, blob_len, t, n, out));
}

static CK_RV latency_generate(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pub,
                              CK_ULONG pub_n, CK_ATTRIBUTE *priv, CK_ULONG priv_n,
                              CK_OBJECT_HANDLE *out_pub, CK_OBJECT_HANDLE *out_priv)
{
    uint64_t until = begin(GENERATE);

    return end(until,
               latency.real->C_GenerateKeyPair(s, m, pub, pub_n, priv, priv_n, out_pub, out_priv));
}

static bool refuse(const char *name, const char *why)
{
    (void)fprintf(stderr, "latency token: %s: %s\n", name, why);
    return false;
}

static bool read_ms(const char *name, double standard, uint64_t *out_ns)
{
    const char *text = getenv(name);
    char *rest = NULL;
    double ms = text != NULL ? strtod(text, &rest) : standard;

    if (text != NULL && (rest == text || *rest != '\0'))
        return refuse(name, "not a number");
    if (!(ms >= 0 && ms <= 600000))
        return refuse(name, "not between 0 and 600000");
    *out_ns = (uint64_t)(ms * 1e6);
    return true;
}

static bool read_calls(void)
{
    const char *text = getenv("KYSO_LATENCY_CALLS");
    char copy[64];
    char *save = NULL;

    (void)snprintf(copy, sizeof(copy), "%s", text != NULL ? text : "sign");
    for (char *p = strtok_r(copy, ", ", &save); p != NULL; p = strtok_r(NULL, ", ", &save)) {
        enum call c = SIGN;

        while (c < CALL_COUNT && strcmp(call_names[c], p) != 0)
            c++;
        if (c == CALL_COUNT)
            return refuse("KYSO_LATENCY_CALLS", "sign, unwrap, generate are known");
        latency.delayed[c] = true;
    }
    return true;
}

static bool open_slots(void)
{
    const char *text = getenv("KYSO_LATENCY_PARALLEL");
    char *rest = NULL;
    unsigned long count = text != NULL ? strtoul(text, &rest, 10) : 32;

    if (text != NULL && (rest == text || *rest != '\0' || count == 0 || count > SLOTS_MAX))
        return refuse("KYSO_LATENCY_PARALLEL", "not between 1 and 1024");
    latency.slots = slots_open(getenv("KYSO_LATENCY_SHARED"), (uint32_t)count);
    return latency.slots != NULL || refuse("KYSO_LATENCY_SHARED", strerror(errno));
}

static CK_RV load_real(void)
{
    const char *path = getenv("KYSO_LATENCY_MODULE");
    CK_C_GetFunctionList get_list = NULL;
    void *dl = dlopen(path != NULL ? path : LATENCY_DEFAULT_MODULE, RTLD_NOW | RTLD_LOCAL);

    if (dl != NULL)
        *(void **)&get_list = dlsym(dl, "C_GetFunctionList");
    if (get_list == NULL) {
        (void)refuse("KYSO_LATENCY_MODULE", "no PKCS#11 module");
        return CKR_ARGUMENTS_BAD;
    }
    return get_list(&latency.real);
}

static CK_RV load(void)
{
    CK_RV rv = CKR_ARGUMENTS_BAD;

    if (!read_ms("KYSO_LATENCY_MS", 4, &latency.delay_ns) ||
        !read_ms("KYSO_LATENCY_JITTER_MS", 0, &latency.jitter_ns) || !read_calls() || !open_slots())
        return rv;
    rv = load_real();
    if (rv != CKR_OK)
        return rv;
    latency.list = *latency.real;
    latency.list.C_GetFunctionList = C_GetFunctionList;
    latency.list.C_Sign = latency_sign;
    latency.list.C_UnwrapKey = latency_unwrap;
    latency.list.C_GenerateKeyPair = latency_generate;
    return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    CK_RV rv = latency.real == NULL ? load() : CKR_OK;

    if (rv == CKR_OK)
        *out = &latency.list;
    return rv;
}
