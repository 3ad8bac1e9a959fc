/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-authority: decides, and alone owns the database. Finds its control descriptor and configuration where the supervisor
 * left them. With --create it makes a new state with its first operators and ends, with --operator alone it adds them to the state
 * that is there; with --export it prints the ledger of a stopped server, with --restore it makes a backup the database of a state
 * that has none, and ends.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "kyso/wire.h"

#include "confine.h"
#include "export.h"
#include "loop.h"
#include "restore.h"

#define OPERATORS_MAX (64u * 1024u)

static void usage(void)
{
    fputs("usage: kyso-authority [[--create [--ceremony HEX]] --operator NAME:PEM [--operator NAME:PEM ...]]\n"
          "       kyso-authority --export DATABASE [--private]\n"
          "       kyso-authority --restore DATABASE <BACKUP 3<CHECKPOINT   (kysod --restore does that)\n"
          "The first is started by kysod, which passes its descriptors. The second prints the ledger of a server that\n"
          "is stopped, as JSON lines; --private adds personal data. Check them with: kyso ledger verify --file\n"
          "example: kyso-authority --export /var/lib/kyso/kyso.db >ledger.jsonl\n",
          stderr);
}

/* A certificate's DER, or that of a bare public key. */
static int der_of(BIO *pem, unsigned char **out_der)
{
    X509 *certificate = PEM_read_bio_X509(pem, NULL, NULL, NULL);
    EVP_PKEY *key = certificate == NULL && BIO_reset(pem) == 1
                        ? PEM_read_bio_PUBKEY(pem, NULL, NULL, NULL)
                        : NULL;
    int len = certificate != NULL ? i2d_X509(certificate, out_der)
              : key != NULL       ? i2d_PUBKEY(key, out_der)
                                  : -1;

    X509_free(certificate);
    EVP_PKEY_free(key);
    return len;
}

/* NAME: and PEM text to name and DER. */
static bool put_operator(const char *arg, struct ky_buf *out)
{
    const char *colon = strchr(arg, ':');
    unsigned char *der = NULL;
    BIO *pem = NULL;
    bool ok = false;

    if (colon == NULL || colon == arg)
        return false;
    pem = BIO_new_mem_buf(colon + 1, -1);
    if (pem == NULL)
        return false;
    int len = der_of(pem, &der);
    if (len > 0) {
        ky_put_bytes(out, KY_SPAN((const uint8_t *)arg, (size_t)(colon - arg)));
        ky_put_bytes(out, KY_SPAN(der, (size_t)len));
        ok = !out->failed;
    }
    OPENSSL_free(der);
    BIO_free(pem);
    return ok;
}

static bool parse(int argc, char **argv, struct loop_options *o, struct ky_buf *operators, uint8_t ceremony[32])
{
    size_t len = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--create") == 0) {
            o->create = true;
        } else if (strcmp(argv[i], "--operator") == 0 && i + 1 < argc) {
            if (!put_operator(argv[++i], operators)) {
                fprintf(stderr, "kyso-authority: %s: want NAME: and a certificate (in a demo: or a public key) in PEM\n", argv[i]);
                return false;
            }
        } else if (strcmp(argv[i], "--ceremony") == 0 && i + 1 < argc) {
            if (OPENSSL_hexstr2buf_ex(ceremony, 32, &len, argv[++i], '\0') != 1 || len != 32)
                return false;
            o->ceremony = KY_SPAN(ceremony, 32);
        } else {
            usage();
            return false;
        }
    }
    o->operators = ky_buf_span(operators);
    if (o->create && operators->len == 0) {
        usage(); /* a state that nobody could operate */
        return false;
    }
    return true;
}

/* A file that is replaced is another file: the rule is its folder's. */
static const char *folder_of(const char *file, char out[PATH_MAX])
{
    if (file == NULL || strrchr(file, '/') == NULL)
        return NULL;
    (void)snprintf(out, PATH_MAX, "%.*s/", (int)(strrchr(file, '/') - file), file);
    return out;
}

/* Of all files the state's and the checkpoint's are left, and to read the revocation list's and its issuers'. OpenSSL's own settings are read before that. */
static struct ky_status confine_to_state(const struct config *config)
{
    struct confine rights = {.role = CONFINE_AUTHORITY, .folders = {config->state_dir}};
    char folders[3][PATH_MAX];

    rights.folders[1] = folder_of(config->ledger.checkpoint_file, folders[0]);
    rights.readable[0] = folder_of(config->certificates.crl, folders[1]);
    rights.readable[1] = folder_of(config->certificates.ca, folders[2]);
    (void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    return confine_process(&rights);
}

int main(int argc, char **argv)
{
    struct loop_options options = {.control_fd = KY_CONTROL_FD};
    struct ky_buf operators = KY_BUF_INIT(OPERATORS_MAX);
    uint8_t ceremony[32];
    struct config *config = NULL;
    char *why = NULL;
    int code = 1;

    log_setup("authority", NULL, NULL);
    if ((argc == 3 || (argc == 4 && strcmp(argv[3], "--private") == 0)) &&
        strcmp(argv[1], "--export") == 0)
        return export_run(argv[2], argc == 4);
    if (argc == 3 && strcmp(argv[1], "--restore") == 0)
        return restore_run(argv[2]);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN); /* the supervisor says when to end */
    (void)signal(SIGTERM, SIG_IGN);
    if (!ky_ok(ky_harden_process()) || !parse(argc, argv, &options, &operators, ceremony))
        goto done;
    struct ky_status status = config_load_fd(KY_CONFIG_FD, &config, &why);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "config-refused", LOG_CODE(status),
                  LOG_STR("reason", why == NULL ? "" : why));
        goto done;
    }
    log_setup("authority", config->log_format, config->log_level);
    (void)fcntl(KY_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    options.config = config;
    status = confine_to_state(config);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "config-refused", LOG_CODE(status), LOG_STR("reason", "confinement"));
        goto done;
    }
    log_event(LOG_INFO, "started", LOG_STR("version", KYSO_VERSION),
              LOG_U64("create", options.create));
    code = loop_run(&options);
    log_event(LOG_INFO, "stopped", LOG_U64("code", code));
done:
    config_free(&config);
    ky_buf_free(&operators);
    free(why);
    return code;
}
