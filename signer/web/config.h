/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-web's own configuration file: it runs beside the server or on another machine, and knows
 * nothing of the server's. Read once, at start.
 */
#ifndef KYSO_WEB_CONFIG_H
#define KYSO_WEB_CONFIG_H

#include "kyso/status.h"

struct web_party_config {
    char *name;    /* user of auth/login, and the relying party that the signer's door is told */
    char *secret;  /* scrypt hash: party.h */
    uint32_t rate; /* requests a second, 0 = 100 */
};

struct web_config {
    char *listen;
    struct web_config_tls {
        char *certificate, *key; /* both, or neither: plain HTTP on loopback, behind a proxy */
    } tls;
    struct web_config_signer {
        char *endpoint; /* address:port, no name: nothing is resolved */
        char *server_name, *certificate, *key, *ca;
    } signer;
    struct web_config_service {
        char *name, *description, *region, *lang, *logo;
    } service; /* as `info` tells them */
    struct web_config_limits {
        uint32_t connections, held, token_s, sad_s, transaction_s, pending_s, result_s;
    } limits;
    struct web_party_config *relying_parties;
    uint32_t relying_parties_count;
    char *log_format, *log_level;
};

/* Defaults are filled in. *out_error: the caller's to free, may be NULL. Errors: KY_IO, KY_INVALID, KY_NOMEM. */
KY_MUST_CHECK struct ky_status web_config_load(const char *path, struct web_config **out_config,
                                               char **out_error);
void web_config_free(struct web_config **config);

#endif
