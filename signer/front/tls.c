/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 with a client certificate, on OpenSSL 3. No tickets, no session cache, no early data:
 * every connection shows its certificate, and the SHA-256 of its public key is the client's
 * identity, which the authority looks up.
 */
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "conn.h"
#include "kyso/alg.h"
#include "log.h"

/*
 * The cheapest first, and ours decides: with AES in hardware 128 bits cost a fifth less than 256 and
 * are as far out of reach. A client that puts ChaCha20 first has no such hardware and gets that.
 */
#define CIPHER_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define READ_AHEAD    (2u * 16640u) /* two full TLS records: one recv(2) brings both */

static const unsigned char alpn_h2[] = {2, 'h', '2'};

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
    unsigned char *chosen;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, alpn_h2, sizeof(alpn_h2), in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL lets a certificate without extended key usage pass for any purpose; we do not. */
static int verify_leaf(int ok, X509_STORE_CTX *ctx)
{
    X509 *leaf;
    if (!ok || X509_STORE_CTX_get_error_depth(ctx) != 0)
        return ok;
    leaf = X509_STORE_CTX_get_current_cert(ctx);
    if ((X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) &&
        (X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT))
        return 1;
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_INVALID_PURPOSE);
    return 0;
}

static bool use_files(SSL_CTX *ctx, const struct config_tls *t, const char **out_what)
{
    STACK_OF(X509_NAME) * issuers;

    *out_what = t->certificate;
    if (SSL_CTX_use_certificate_chain_file(ctx, t->certificate) != 1)
        return false;
    *out_what = t->key;
    if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return false;
    *out_what = t->client_ca;
    if (SSL_CTX_load_verify_locations(ctx, t->client_ca, NULL) != 1)
        return false;
    issuers = SSL_load_client_CA_file(t->client_ca);
    SSL_CTX_set_client_CA_list(ctx, issuers);
    return issuers != NULL;
}

struct ky_status tls_open(struct front *f)
{
    const char *what = "TLS";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    f->tls = ctx;
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
        goto failed;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
    if (SSL_CTX_set_ciphersuites(ctx, CIPHER_SUITES) != 1)
        goto failed;
    if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_max_early_data(ctx, 0) != 1)
        goto failed;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_leaf);
    SSL_CTX_set_verify_depth(ctx, 4);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (use_files(ctx, &f->config->tls, &what))
        return KY_STATUS(KY_OK);
failed:
    log_event(LOG_ERROR, "tls-failed", LOG_STR("what", what),
              LOG_STR("why", ERR_reason_error_string(ERR_peek_error())
                                 ? ERR_reason_error_string(ERR_peek_error())
                                 : "not usable"));
    ERR_clear_error();
    return KY_STATUS(KY_INVALID);
}

struct ky_status tls_new(struct conn *c)
{
    c->ssl = SSL_new(c->front->tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        return KY_STATUS(KY_NOMEM);
    SSL_set_accept_state(c->ssl);
    return KY_STATUS(KY_OK);
}

static bool not_after(const X509 *cert, int64_t *out_s)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return false;
    *out_s = (int64_t)timegm(&tm);
    return true;
}

static bool identify(struct conn *c)
{
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    unsigned char *der = NULL;
    const unsigned char *proto;
    unsigned proto_len;
    int len;

    SSL_get0_alpn_selected(c->ssl, &proto, &proto_len);
    if (!cert || !ky_span_eq(KY_SPAN(proto, proto_len), KY_SPAN(alpn_h2 + 1, 2)) ||
        !not_after(cert, &c->not_after_s))
        return false;
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (len <= 0)
        return false;
    ky_sha256(KY_SPAN(der, (size_t)len), c->spki);
    OPENSSL_free(der);
    return true;
}

static void count_failure(struct conn *c)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    enum door_event_kind kind = DOOR_EVENT_BAD_TLS;

    if (ERR_peek_error() == 0)
        return; /* the peer left */
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        kind = DOOR_EVENT_NO_CERTIFICATE;
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        kind = DOOR_EVENT_BAD_CERTIFICATE;
    front_count(c->front, kind, c->peer, NULL);
}

struct ky_status tls_handshake(struct conn *c, bool *out_wants_write)
{
    int n, why;

    ERR_clear_error();
    n = SSL_do_handshake(c->ssl);
    if (n == 1) {
        if (identify(c))
            return KY_STATUS(KY_OK);
        front_count(c->front, DOOR_EVENT_BAD_TLS, c->peer, NULL);
        return KY_STATUS(KY_INVALID);
    }
    why = SSL_get_error(c->ssl, n);
    *out_wants_write = why == SSL_ERROR_WANT_WRITE;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return KY_STATUS(KY_BUSY);
    count_failure(c);
    ERR_clear_error();
    return KY_STATUS(KY_INVALID);
}
