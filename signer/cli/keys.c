/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates in files. Nothing here asks for a passphrase: these keys are protected
 * by the file's mode.
 */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "cli.h"

static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)user;
    return -1;
}

enum keys_type keys_type_of(const EVP_PKEY *key)
{
    char group[32] = "";

    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
        return KEYS_ED25519;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
        strcmp(group, "prime256v1") == 0)
        return KEYS_P256;
    return KEYS_OTHER;
}

EVP_PKEY *keys_generate(enum keys_type type)
{
    return type == KEYS_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
}

EVP_PKEY *keys_load_private(const char *path)
{
    FILE *f = fopen(path, "re");
    EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, no_passphrase, NULL) : NULL;

    if (f != NULL)
        (void)fclose(f);
    ERR_clear_error();
    return key;
}

EVP_PKEY *keys_load_public(const char *path)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    FILE *f = fopen(path, "re");

    if (f != NULL) {
        key = PEM_read_PUBKEY(f, NULL, no_passphrase, NULL);
        (void)fclose(f);
    }
    if (key == NULL && keys_load_certificates(path, &cert, 1) > 0)
        key = X509_get_pubkey(cert);
    X509_free(cert);
    if (key == NULL)
        key = keys_load_private(path);
    ERR_clear_error();
    return key;
}

struct ky_status keys_save_private(const char *path, EVP_PKEY *key)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *f;
    bool ok;

    if (fd < 0)
        return errno == EEXIST ? KY_STATUS(KY_CONFLICT) : KY_STATUS_CAUSE(KY_IO, errno);
    f = fdopen(fd, "w");
    if (f == NULL) {
        (void)close(fd);
        return KY_STATUS_CAUSE(KY_IO, errno);
    }
    ok = PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
    ok = fclose(f) == 0 && ok;
    if (!ok)
        (void)unlink(path);
    return ok ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
}

static struct ky_status save_pem(const char *path, BIO *b)
{
    char *text = NULL;
    long n = BIO_get_mem_data(b, &text);

    return file_write(path, KY_SPAN((const uint8_t *)text, (size_t)n), 0644);
}

struct ky_status keys_save_public(const char *path, EVP_PKEY *key)
{
    BIO *b = BIO_new(BIO_s_mem());
    struct ky_status st = KY_STATUS(KY_NOMEM);

    if (b != NULL && PEM_write_bio_PUBKEY(b, key) == 1)
        st = save_pem(path, b);
    BIO_free(b);
    return st;
}

struct ky_status keys_save_certificate(const char *path, EVP_PKEY *key, const char *name,
                                       uint32_t days)
{
    BIO *b = BIO_new(BIO_s_mem());
    X509 *x = X509_new();
    X509_NAME *subject = x != NULL ? X509_get_subject_name(x) : NULL;
    struct ky_status st = KY_STATUS(KY_INTERNAL);
    uint64_t serial;

    if (b != NULL && subject != NULL && ky_ok(ky_random(&serial, sizeof serial)) &&
        X509_set_version(x, X509_VERSION_3) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                                   0) == 1 &&
        X509_set_issuer_name(x, subject) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
        X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, NULL) != NULL &&
        X509_set_pubkey(x, key) == 1 &&
        X509_sign(x, key, keys_type_of(key) == KEYS_P256 ? EVP_sha256() : NULL) > 0 &&
        PEM_write_bio_X509(b, x) == 1)
        st = save_pem(path, b);
    X509_free(x);
    BIO_free(b);
    ERR_clear_error();
    return st;
}

struct ky_status keys_spki(EVP_PKEY *key, struct ky_buf *out)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);

    if (n <= 0)
        return KY_STATUS(KY_INVALID);
    ky_buf_put(out, der, (size_t)n);
    OPENSSL_free(der);
    return out->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
}

struct ky_status keys_sign(EVP_PKEY *key, struct ky_span message, struct ky_buf *out)
{
    enum keys_type type = keys_type_of(key);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    struct ky_status st = KY_STATUS(KY_INTERNAL);
    uint8_t sig[256];
    size_t n = sizeof sig;

    if (type == KEYS_OTHER)
        st = KY_STATUS(KY_UNSUPPORTED);
    else if (md != NULL &&
             EVP_DigestSignInit(md, NULL, type == KEYS_P256 ? EVP_sha256() : NULL, NULL, key) ==
                 1 &&
             EVP_DigestSign(md, sig, &n, message.data, message.len) == 1) {
        ky_buf_put(out, sig, n);
        st = out->failed ? KY_STATUS(KY_NOMEM) : KY_STATUS(KY_OK);
    }
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return st;
}

size_t keys_load_certificates(const char *path, X509 **out, size_t cap)
{
    BIO *b = BIO_new_file(path, "r");
    X509 *x;
    size_t n = 0;

    if (b == NULL) {
        ERR_clear_error();
        return 0;
    }
    while (n < cap && (x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL)
        out[n++] = x;
    if (n == 0 && cap > 0 && BIO_reset(b) == 0 && (x = d2i_X509_bio(b, NULL)) != NULL)
        out[n++] = x;
    BIO_free(b);
    ERR_clear_error();
    return n;
}

bool keys_put_pem(struct ky_buf *out, const char *label, struct ky_span der)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool ok = b != NULL && PEM_write_bio(b, label, "", der.data, (long)der.len) > 0;

    if (ok) {
        long n = BIO_get_mem_data(b, &text);

        ky_buf_put(out, text, (size_t)n);
    }
    BIO_free(b);
    return ok && !out->failed;
}
