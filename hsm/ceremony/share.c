/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libgfshare does the polynomial; what it lacks (an index that cannot be mistaken, a checksum, a
 * commitment) is here. Secrets stay in locked pages; the library wipes its own buffers.
 */
#include "share.h"

#include <libgfshare.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/alg.h"

/*
 * A line in symbols of five bits: kind, custodian, line, four of the nonce, 26 of 16 bytes, seven of
 * SHA-256 over the 33 before. Crockford's alphabet: no I, L, O, U.
 */
enum {
    HALF = SHARE_LEN / SHARE_LINES,
    TAG = 4,
    HEAD = 3 + TAG,
    DATA = 26,
    BODY = HEAD + DATA,
    SUM = 7
};
enum { SYMBOLS = BODY + SUM };
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const char *const share_kinds[SHARE_KINDS] = {"activation", "backup"};
const char *const share_faults[SHARE_FAULTS] = {
    [SHARE_FINE] = "right",
    [SHARE_MISTYPED] = "mistyped: it does not match its own checksum",
    [SHARE_OTHER_CEREMONY] = "of another ceremony, or of a custody that was given up",
    [SHARE_OTHER_LINE] = "not the line that was asked for",
    [SHARE_OTHER_PERSON] = "another custodian's",
    [SHARE_NOT_COMMITTED] =
        "well formed, but not the share that was given out: its commitment differs",
};

static void fill(unsigned char *out, unsigned int n)
{
    if (!ky_ok(ky_random(out, n)))
        abort(); /* the library cannot be told that there is no randomness */
}

static struct ky_status room(struct ky_secret *out)
{
    static const uint8_t zeros[SHARE_LEN];

    return ky_secret_set(out, KY_SPAN_OF(zeros));
}

struct ky_status share_split(const struct ky_secret *secret, uint32_t m, uint32_t n,
                             struct ky_secret out[])
{
    unsigned char numbers[SHARE_MAX];
    gfshare_ctx *g = NULL;
    struct ky_status st = KY_STATUS(KY_OK);

    if (m < 2 || m > n || n > SHARE_MAX || secret->len != SHARE_LEN)
        return KY_STATUS(KY_INVALID);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = (unsigned char)(i + 1);
    gfshare_fill_rand = fill;
    g = gfshare_ctx_init_enc(numbers, n, (unsigned char)m, SHARE_LEN);
    if (g == NULL)
        return KY_STATUS(KY_NOMEM);
    gfshare_ctx_enc_setsecret(g, secret->bytes);
    for (uint32_t i = 0; ky_ok(st) && i < n; i++) {
        st = room(&out[i]);
        if (ky_ok(st))
            gfshare_ctx_enc_getshare(g, (unsigned char)i, out[i].bytes);
    }
    gfshare_ctx_free(g);
    return st;
}

struct ky_status share_join(const uint8_t index[], const struct ky_secret *const shares[],
                            uint32_t count, struct ky_secret *out)
{
    unsigned char numbers[SHARE_MAX] = {0};
    gfshare_ctx *g = NULL;
    struct ky_status st = KY_STATUS(KY_INVALID);

    for (uint32_t i = 0; i < count; i++) {
        if (i >= SHARE_MAX || index[i] == 0 || index[i] > SHARE_MAX ||
            memchr(numbers, index[i], i) != NULL || shares[i]->len != SHARE_LEN)
            return st;
        numbers[i] = index[i];
    }
    if (count == 0)
        return st;
    gfshare_fill_rand = fill; /* its buffers are wiped with random bytes */
    g = gfshare_ctx_init_dec(numbers, count, SHARE_LEN);
    if (g == NULL)
        return KY_STATUS(KY_NOMEM);
    for (uint32_t i = 0; i < count; i++)
        gfshare_ctx_dec_giveshare(g, (unsigned char)i, shares[i]->bytes);
    st = room(out);
    if (ky_ok(st))
        gfshare_ctx_dec_extract(g, out->bytes);
    gfshare_ctx_free(g);
    return st;
}

void share_commit(const struct share_set *set, enum share_kind kind, uint32_t custodian,
                  const struct ky_secret *share, uint8_t out[32])
{
    static const char tag[] = "kyso ceremony share commitment v1";
    uint8_t in[sizeof(tag) + SHARE_NONCE + 2 + SHARE_LEN];
    uint8_t *at = in;

    memcpy(at, tag, sizeof(tag));
    at += sizeof(tag);
    memcpy(at, set->nonce, SHARE_NONCE);
    at += SHARE_NONCE;
    *at++ = (uint8_t)kind;
    *at++ = (uint8_t)custodian;
    memcpy(at, share->bytes, SHARE_LEN);
    ky_sha256(KY_SPAN_OF(in), out);
    ky_wipe(in, sizeof(in));
}

enum share_fault share_check(const struct share_set *set, enum share_kind kind, uint32_t custodian,
                             const struct ky_secret *share)
{
    uint8_t commitment[32];

    if (custodian == 0 || custodian > set->n)
        return SHARE_OTHER_PERSON;
    share_commit(set, kind, custodian, share, commitment);
    return ky_span_eq(KY_SPAN_OF(commitment), KY_SPAN_OF(set->commitments[kind][custodian - 1]))
               ? SHARE_FINE
               : SHARE_NOT_COMMITTED;
}

/* Joins the custodians whose bits are set; *out_same: it is the secret. */
static struct ky_status join_set(const struct ky_secret shares[], uint32_t n, uint32_t members,
                                 const struct ky_secret *secret, bool *out_same)
{
    const struct ky_secret *some[SHARE_MAX];
    uint8_t index[SHARE_MAX];
    uint32_t count = 0;
    struct ky_secret got = {.bytes = NULL};
    struct ky_status st;

    for (uint32_t i = 0; i < n; i++)
        if (members & (1u << i)) {
            index[count] = (uint8_t)(i + 1);
            some[count++] = &shares[i];
        }
    st = share_join(index, some, count, &got);
    if (ky_ok(st))
        *out_same = ky_span_eq_ct(ky_secret_span(&got), ky_secret_span(secret));
    ky_secret_wipe(&got);
    return st;
}

struct ky_status share_prove(const struct share_set *set, const struct ky_secret *secret,
                             const struct ky_secret shares[], uint32_t *out_full,
                             uint32_t *out_small)
{
    uint32_t full = 0;
    uint32_t small = 0;
    struct ky_status st = KY_STATUS(KY_OK);

    for (uint32_t members = 1; ky_ok(st) && members < 1u << set->n; members++) {
        uint32_t count = (uint32_t)__builtin_popcount(members);
        bool same = false;

        if (count > set->m)
            continue;
        st = join_set(shares, set->n, members, secret, &same);
        if (ky_ok(st) && same != (count == set->m))
            st = KY_STATUS(KY_CORRUPT);
        full += count == set->m;
        small += count < set->m;
    }
    *out_full = full;
    *out_small = small;
    return st;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void to_symbols(const uint8_t *bytes, size_t symbols, uint8_t *out)
{
    for (size_t i = 0; i < symbols; i++) {
        size_t bit = i * 5;
        unsigned two = (unsigned)bytes[bit / 8] << 8;

        if (bit % 8 > 3 && bit / 8 + 1 < HALF) /* what is left of 128 bits is zero */
            two |= bytes[bit / 8 + 1];
        out[i] = (uint8_t)(two >> (11 - bit % 8) & 31);
    }
}

/* False when the two bits past the last byte are set. */
static bool from_symbols(const uint8_t symbols[DATA], uint8_t out[HALF])
{
    unsigned held = 0;
    unsigned bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < DATA; i++) {
        held = (held << 5 | symbols[i]) & 0xfff;
        bits += 5;
        if (bits >= 8 && n < HALF) {
            bits -= 8;
            out[n++] = (uint8_t)(held >> bits);
        }
    }
    return (symbols[DATA - 1] & 3) == 0;
}

static void checksum(const uint8_t symbols[BODY], uint8_t out[SUM])
{
    static const char tag[] = "kyso ceremony share line v1";
    uint8_t in[sizeof(tag) + BODY];
    uint8_t hash[32];

    memcpy(in, tag, sizeof(tag));
    memcpy(in + sizeof(tag), symbols, BODY);
    ky_sha256(KY_SPAN_OF(in), hash);
    to_symbols(hash, SUM, out);
    ky_wipe(in, sizeof(in));
}

struct ky_status share_print(const struct share_set *set, enum share_kind kind, uint32_t custodian,
                             uint32_t line, const struct ky_secret *share, struct ky_secret *out)
{
    uint8_t s[SYMBOLS] = {(uint8_t)(10 + kind), (uint8_t)custodian, (uint8_t)line};
    char text[SHARE_TEXT];
    size_t n = 0;
    struct ky_status st;

    to_symbols(set->nonce, TAG, s + 3);
    to_symbols(share->bytes + (line - 1) * HALF, DATA, s + HEAD);
    checksum(s, s + BODY);
    for (size_t i = 0; i < SYMBOLS; i++) {
        if (i > 0 && i % 4 == 0)
            text[n++] = ' ';
        text[n++] = alphabet[s[i]];
    }
    st = ky_secret_set(out, KY_SPAN((const uint8_t *)text, n));
    ky_wipe(s, sizeof(s));
    ky_wipe(text, sizeof(text));
    return st;
}

static bool symbol(char c, uint8_t *out)
{
    const char *at = NULL;

    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
    at = memchr(alphabet, c, sizeof(alphabet) - 1);
    if (at != NULL)
        *out = (uint8_t)(at - alphabet);
    return at != NULL;
}

static bool read_symbols(struct ky_span typed, uint8_t out[SYMBOLS])
{
    uint8_t sum[SUM];
    size_t n = 0;

    for (size_t i = 0; i < typed.len; i++) {
        char c = (char)typed.data[i];

        if (c == ' ' || c == '\t' || c == '-')
            continue;
        if (n == SYMBOLS || !symbol(c, &out[n]))
            return false;
        n++;
    }
    checksum(out, sum);
    return n == SYMBOLS && ky_span_eq(KY_SPAN_OF(sum), KY_SPAN(out + BODY, SUM));
}

enum share_fault share_read(const struct share_set *set, enum share_kind kind, uint32_t *custodian,
                            uint32_t line, struct ky_span typed, struct ky_secret *share)
{
    uint8_t s[SYMBOLS] = {0};
    uint8_t tag[TAG];
    enum share_fault fault = SHARE_FINE;

    to_symbols(set->nonce, TAG, tag);
    if (!read_symbols(typed, s))
        fault = SHARE_MISTYPED;
    else if (!ky_span_eq(KY_SPAN_OF(tag), KY_SPAN(s + 3, TAG)))
        fault = SHARE_OTHER_CEREMONY;
    else if (s[0] != 10 + kind || s[2] != line)
        fault = SHARE_OTHER_LINE;
    else if (s[1] == 0 || s[1] > set->n || (*custodian != 0 && *custodian != s[1]))
        fault = SHARE_OTHER_PERSON;
    else if (!from_symbols(s + HEAD, share->bytes + (line - 1) * HALF))
        fault = SHARE_MISTYPED;
    if (fault == SHARE_FINE)
        *custodian = s[1];
    ky_wipe(s, sizeof(s));
    return fault;
}
