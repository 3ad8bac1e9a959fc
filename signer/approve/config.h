/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-approve's own configuration file: it runs beside the server or on another machine, and knows nothing of the server's. Read
 * once, at start.
 */
#ifndef KYSO_APPROVE_CONFIG_H
#define KYSO_APPROVE_CONFIG_H

#include "kyso/status.h"

struct approve_config {
    char *listen;
    char *origin; /* as the server's passkeys.origin */
    char *pages;  /* folder of the page's files */
    struct approve_config_tls {
        char *certificate, *key; /* both, or neither: plain HTTP on loopback, behind a proxy */
    } tls;
    struct approve_config_approver {
        char *endpoint; /* address:port of the approvers' door, no name: nothing is resolved */
        char *server_name, *certificate, *key, *ca;
    } approver;
    uint32_t session_s, connections;
    char *log_format, *log_level;
};

/* Defaults are filled in. *out_error: the caller's to free, may be NULL. Errors: KY_IO, KY_INVALID, KY_NOMEM. */
KY_MUST_CHECK struct ky_status approve_config_load(const char *path,
                                                   struct approve_config **out_config,
                                                   char **out_error);
void approve_config_free(struct approve_config **config);

#endif
