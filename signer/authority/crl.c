/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watched revocation list: read, taken out of PEM, hashed and applied in slices of two milliseconds, so that a long one holds up
 * nobody. A list that cannot be read, is older than the one before or is not its issuer's changes nothing: the last good one holds
 * until its nextUpdate.
 */
#include "crl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "authority_private.h"
#include "certificate.h"

#define LOOK_US    1000000u
#define SLICE_US   2000u
#define READ_BYTES (256u * 1024u)
#define HASH_BYTES (64u * 1024u)
#define FILE_MAX   (64 * 1024 * 1024)
#define WHOLE_MAX  (4u * 1024u * 1024u) /* Ed25519 hashes all of it at once */
#define CAS_MAX    (256u * 1024u)

enum crl_stage { CRL_INDEX, CRL_LOOK, CRL_READ, CRL_DECODE, CRL_HASH, CRL_APPLY };

/* Under it stands how far rows from before this lookup were indexed; no certificate has it. */
static const uint8_t marker[32];

void crl_open(struct crl_watch *w)
{
    *w = (struct crl_watch){.stage = CRL_INDEX, .fd = -1};
}

/* Lets go of the file and of what was made of it. */
void crl_close(struct crl_watch *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
    EVP_ENCODE_CTX_free(w->base64);
    EVP_MD_CTX_free(w->whole.md);
    EVP_MD_CTX_free(w->signed_part.md);
    w->base64 = NULL;
    w->whole = w->signed_part = (struct crl_hash){.md = NULL};
    free(w->bytes);
    w->bytes = NULL;
}

static bool slice_over(const struct authority *a, uint64_t began_us)
{
    return a->hooks.mono_us(a->hooks.context) - began_us > SLICE_US;
}

/* --- rows from before the lookup -------------------------------------------------------------------------- */

static bool index_row(struct authority *a, uint32_t row)
{
    struct row_credential c;
    uint8_t key[32];
    struct ky_status status = store_row_get(a->store, ROW_CREDENTIAL, row, &c);

    if (!ky_ok(status) || !certificate_serial_key(c.certificate, key))
        return true; /* it has none, or does not hold: whoever uses it will see */
    status = store_lookup_add(a->store, STORE_BY_SERIAL, KY_SPAN_OF(key), row);
    return ky_ok(status) || status.code == KY_CONFLICT;
}

static void index_slice(struct authority *a, uint64_t began_us)
{
    struct crl_watch *w = &a->crl;
    size_t count = 0;
    uint32_t done = 0;

    if (w->indexed == 0 && ky_ok(store_lookup(a->store, STORE_BY_SERIAL, KY_SPAN_OF(marker), 0, &done,
                                              1, &count)) && count > 0) {
        w->stage = CRL_LOOK;
        return;
    }
    while (w->indexed < store_row_count(a->store, ROW_CREDENTIAL) && !slice_over(a, began_us))
        if (!index_row(a, ++w->indexed))
            return; /* the store is sealed */
    if (w->indexed == store_row_count(a->store, ROW_CREDENTIAL) &&
        ky_ok(store_lookup_add(a->store, STORE_BY_SERIAL, KY_SPAN_OF(marker), 1)))
        w->stage = CRL_LOOK;
}

/* --- the file ---------------------------------------------------------------------------------------------- */

static void refuse(struct authority *a, const char *why)
{
    struct crl_watch *w = &a->crl;

    if (w->problem == NULL || strcmp(w->problem, why) != 0)
        log_event(LOG_ERROR, "crl-refused", LOG_STR("file", a->config->certificates.crl),
                  LOG_STR("why", why));
    w->problem = why;
    w->stage = CRL_LOOK;
    crl_close(w);
}

static void tell_stale(struct authority *a)
{
    struct crl_watch *w = &a->crl;
    bool stale = authority_now_s(a) > w->next_update_s;

    if (stale && !w->told_stale)
        log_event(LOG_ERROR, "crl-stale", LOG_U64("next_update", w->next_update_s),
                  LOG_STR("then", a->config->certificates.crl_when_stale));
    w->told_stale = stale;
}

static bool is_seen(const struct crl_watch *w, const struct stat *now)
{
    return now->st_ino == w->seen.st_ino && now->st_dev == w->seen.st_dev &&
           now->st_size == w->seen.st_size && now->st_mtim.tv_sec == w->seen.st_mtim.tv_sec &&
           now->st_mtim.tv_nsec == w->seen.st_mtim.tv_nsec;
}

static void look(struct authority *a, uint64_t began_us)
{
    struct crl_watch *w = &a->crl;
    struct stat now;

    if (w->looked_us != 0 && began_us - w->looked_us < LOOK_US)
        return;
    w->looked_us = began_us;
    tell_stale(a);
    if (stat(a->config->certificates.crl, &now) != 0) {
        refuse(a, "it cannot be read");
    } else if (!is_seen(w, &now)) {
        w->fd = open(a->config->certificates.crl, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (w->fd < 0 || fstat(w->fd, &w->seen) != 0) {
            refuse(a, "it cannot be read");
            return;
        }
        w->size = 0;
        w->room = w->seen.st_size <= FILE_MAX ? (size_t)w->seen.st_size + 1 : 0; /* at once: what grows is copied */
        w->bytes = w->room > 0 ? malloc(w->room) : NULL;
        if (w->bytes == NULL)
            refuse(a, "it is longer than 64 MiB, or there is no memory for it");
        else
            w->stage = CRL_READ;
    }
}

static bool read_cas(const char *path, struct ky_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *room = ky_buf_grow(out, CAS_MAX);
    ssize_t n = fd >= 0 && room != NULL ? read(fd, room, CAS_MAX) : -1;

    if (fd >= 0)
        (void)close(fd);
    out->len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static const char *check(struct authority *a, struct ky_span digest)
{
    struct crl_watch *w = &a->crl;
    struct ky_buf cas = KY_BUF_INIT(CAS_MAX);
    const char *why = NULL;

    if (!read_cas(a->config->certificates.ca, &cas))
        why = "certificates.ca cannot be read";
    else if (ky_ok(crl_verify(&w->list, w->signed_md, digest, ky_buf_span(&cas), &why)) &&
             w->list.this_update_s < w->this_update_s)
        why = "it is older than the list in force";
    else if (why == NULL && w->list.this_update_s > authority_now_s(a) + 300)
        why = "its thisUpdate is in the future: check the clock";
    ky_buf_free(&cas);
    return why;
}

static void take_list(struct authority *a)
{
    struct crl_watch *w = &a->crl;
    struct ledger_crl record = {.this_update_s = w->list.this_update_s,
                                .next_update_s = w->list.next_update_s};
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_DigestFinal_ex(w->whole.md, record.sha256, NULL) != 1 ||
        (w->signed_md != NULL && EVP_DigestFinal_ex(w->signed_part.md, digest, &n) != 1)) {
        refuse(a, "it cannot be hashed");
        return;
    }
    const char *why = check(a, KY_SPAN(digest, n));
    if (why != NULL) {
        refuse(a, why);
        return;
    }
    ky_sha256(w->list.issuer, record.issuer_sha256);
    if (!ky_ok(authority_append(a, &ledger_crl_schema, &record, (struct ky_span){0}, &w->record)))
        return; /* sealed */
    w->problem = NULL;
    w->entries = w->list.entries;
    w->entry_count = 0;
    w->changed = 0;
    w->stage = CRL_APPLY;
}

static bool hash_begin(struct crl_hash *h, const EVP_MD *md, struct ky_span all)
{
    *h = (struct crl_hash){.md = EVP_MD_CTX_new(), .left = all};
    return h->md != NULL && EVP_DigestInit_ex(h->md, md, NULL) == 1;
}

static void begin_hashing(struct authority *a)
{
    struct crl_watch *w = &a->crl;
    struct ky_span all = KY_SPAN(w->bytes, w->size);
    const char *why = NULL;

    if (ky_ok(crl_parse(all, &w->list, &why)) &&
        ky_ok(crl_algorithm(&w->list, &w->signed_md, &why)) && w->signed_md == NULL &&
        w->list.signed_part.len > WHOLE_MAX)
        why = "under Ed25519 it may have 4 MiB";
    if (why == NULL && (!hash_begin(&w->whole, EVP_sha256(), all) ||
                        (w->signed_md != NULL &&
                         !hash_begin(&w->signed_part, w->signed_md, w->list.signed_part))))
        why = "it cannot be hashed";
    if (why != NULL)
        refuse(a, why);
    else
        w->stage = CRL_HASH;
}

static bool hash_on(struct crl_hash *h)
{
    size_t n = h->left.len < HASH_BYTES ? h->left.len : HASH_BYTES;
    bool ok = EVP_DigestUpdate(h->md, h->left.data, n) == 1;

    h->left = KY_SPAN(h->left.data + n, h->left.len - n);
    return ok;
}

static void hash_slice(struct authority *a, uint64_t began_us)
{
    struct crl_watch *w = &a->crl;
    bool ok = true;

    while (ok && w->whole.left.len + w->signed_part.left.len > 0 && !slice_over(a, began_us))
        ok = hash_on(w->whole.left.len > 0 ? &w->whole : &w->signed_part);
    if (!ok)
        refuse(a, "it cannot be hashed");
    else if (w->whole.left.len + w->signed_part.left.len == 0)
        take_list(a);
}

/* PEM: from behind its first line to the next dash. */
static bool begin_decoding(struct crl_watch *w)
{
    const struct ky_span begin = ky_span_text("-----BEGIN X509 CRL-----");

    w->base64 = EVP_ENCODE_CTX_new();
    if (w->base64 == NULL || w->size < begin.len || !ky_span_eq(KY_SPAN(w->bytes, begin.len), begin))
        return false;
    EVP_DecodeInit(w->base64);
    w->pem_size = w->size;
    w->decoded = begin.len;
    w->size = 0;
    return true;
}

/* In place: what was decoded is shorter than what it was made of. */
static int decode_piece(struct crl_watch *w)
{
    uint8_t piece[4096];
    size_t left = w->pem_size - w->decoded;
    int n = (int)(left < sizeof(piece) ? left : sizeof(piece));
    int made = 0;
    int more = n > 0 ? EVP_DecodeUpdate(w->base64, piece, &made, w->bytes + w->decoded, n) : -1;

    w->decoded += (size_t)n;
    memcpy(w->bytes + w->size, piece, (size_t)made);
    w->size += (size_t)made;
    return more;
}

static void decode_slice(struct authority *a, uint64_t began_us)
{
    int more = 1;

    while (more > 0 && !slice_over(a, began_us))
        more = decode_piece(&a->crl);
    if (more < 0)
        refuse(a, "its PEM cannot be read");
    else if (more == 0)
        begin_hashing(a);
}

static void read_slice(struct authority *a, uint64_t began_us)
{
    struct crl_watch *w = &a->crl;
    size_t left = w->room - w->size;
    ssize_t n = read(w->fd, w->bytes + w->size, left < READ_BYTES ? left : READ_BYTES);

    (void)began_us;
    if (n < 0 || (size_t)n == left) {
        refuse(a, n < 0 ? "it cannot be read" : "it grew while it was read");
        return;
    }
    w->size += (size_t)n;
    if (n > 0)
        return;
    (void)close(w->fd);
    w->fd = -1;
    if (w->size == 0 || w->bytes[0] != '-')
        begin_hashing(a);
    else if (begin_decoding(w))
        w->stage = CRL_DECODE;
    else
        refuse(a, "its PEM cannot be read");
}

/* --- its entries --------------------------------------------------------------------------------------------- */

/* P21: the epoch voids what was authorized, queued or is being signed. */
static struct ky_status apply_entry(struct authority *a, const struct crl_entry *e)
{
    struct crl_watch *w = &a->crl;
    struct row_credential c;
    uint8_t key[32], own[32];
    uint32_t row = 0;
    size_t count = 0;

    certificate_key(w->list.issuer, e->serial, key);
    struct ky_status status = store_lookup(a->store, STORE_BY_SERIAL, KY_SPAN_OF(key), 0, &row, 1, &count);
    if (!ky_ok(status) || count == 0)
        return status;
    status = store_row_get(a->store, ROW_CREDENTIAL, row, &c);
    if (!ky_ok(status) || !certificate_serial_key(c.certificate, own) ||
        !ky_span_eq(KY_SPAN_OF(own), KY_SPAN_OF(key)))
        return KY_STATUS(KY_OK); /* the lookup only finds candidates */
    if (c.state != CREDENTIAL_ACTIVE && (e->hold || c.state != CREDENTIAL_SUSPENDED))
        return status;
    c.state = e->hold ? CREDENTIAL_SUSPENDED : CREDENTIAL_REVOKED;
    c.epoch++;
    status = authority_row_put(a, ROW_CREDENTIAL, row, &c, w->record, NULL);
    if (ky_ok(status)) {
        authority_forget_key(a, row);
        w->changed++;
    }
    return status;
}

static void apply_slice(struct authority *a, uint64_t began_us)
{
    struct crl_watch *w = &a->crl;
    struct crl_entry e;

    while (w->entries.len > 0 && !slice_over(a, began_us)) {
        if (!crl_next(&w->entries, &e)) {
            refuse(a, "an entry cannot be read");
            return;
        }
        if (!ky_ok(apply_entry(a, &e)))
            return; /* sealed */
        w->entry_count++;
    }
    if (w->entries.len > 0)
        return;
    w->this_update_s = w->list.this_update_s;
    w->next_update_s = w->list.next_update_s;
    w->in_force = w->entry_count;
    log_event(LOG_INFO, "crl-taken", LOG_U64("entries", w->entry_count), LOG_U64("changed", w->changed),
              LOG_U64("next_update", w->next_update_s));
    crl_close(w);
    w->stage = CRL_LOOK;
    tell_stale(a);
}

/* --- for the turn ---------------------------------------------------------------------------------------------- */

void crl_tick(struct authority *a)
{
    static void (*const stages[])(struct authority *a, uint64_t began_us) = {
        [CRL_INDEX] = index_slice, [CRL_LOOK] = look, [CRL_READ] = read_slice, [CRL_DECODE] = decode_slice, [CRL_HASH] = hash_slice,
        [CRL_APPLY] = apply_slice};

    if (a->config->certificates.crl != NULL)
        stages[a->crl.stage](a, a->hooks.mono_us(a->hooks.context));
}

bool crl_refuses(const struct authority *a)
{
    return a->config->certificates.crl != NULL && authority_now_s(a) > a->crl.next_update_s &&
           strcmp(a->config->certificates.crl_when_stale, "refuse") == 0;
}

void crl_describe(const struct authority *a, char *out, size_t cap)
{
    const struct crl_watch *w = &a->crl;
    const char *problem = w->problem != NULL ? w->problem : "";

    out[0] = '\0';
    if (a->config->certificates.crl == NULL)
        return;
    (void)snprintf(out, cap, "%s, %u entries, next update %llu%s%s",
                   authority_now_s(a) > w->next_update_s ? "stale" : "good", w->in_force,
                   (unsigned long long)w->next_update_s, problem[0] != '\0' ? "; the file now: " : "",
                   problem);
}
