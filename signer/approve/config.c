/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of struct approve_config and its defaults: one row per option. Main thread, at start. */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/policy.h"
#include "yaml.h"

#define TEXT KY_YAML_TEXT
#define UINT KY_YAML_UINT
#define PART(key, f, fields)                                                                       \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, struct approve_config, f, fields)

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate", approve_config_tls, certificate),
    TEXT("key", approve_config_tls, key),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t approver_fields[] = {
    TEXT("endpoint", approve_config_approver, endpoint),
    TEXT("server_name", approve_config_approver, server_name),
    TEXT("certificate", approve_config_approver, certificate),
    TEXT("key", approve_config_approver, key),
    TEXT("ca", approve_config_approver, ca),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t top_fields[] = {
    TEXT("listen", approve_config, listen),
    TEXT("origin", approve_config, origin),
    TEXT("pages", approve_config, pages),
    PART("tls", tls, tls_fields),
    PART("approver", approver, approver_fields),
    UINT("session_s", approve_config, session_s),
    UINT("connections", approve_config, connections),
    TEXT("log_format", approve_config, log_format),
    TEXT("log_level", approve_config, log_level),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct approve_config, top_fields),
};

static const struct {
    const char *name;
    size_t offset;
    const char *standard; /* NULL: has to be given */
} texts[] = {
    {"origin", offsetof(struct approve_config, origin), NULL},
    {"approver.endpoint", offsetof(struct approve_config, approver.endpoint), NULL},
    {"approver.certificate", offsetof(struct approve_config, approver.certificate), NULL},
    {"approver.key", offsetof(struct approve_config, approver.key), NULL},
    {"approver.ca", offsetof(struct approve_config, approver.ca), NULL},
    {"listen", offsetof(struct approve_config, listen), "127.0.0.1:8081"},
    {"pages", offsetof(struct approve_config, pages), "/usr/share/kyso/approve"},
    {"log_format", offsetof(struct approve_config, log_format), "text"},
    {"log_level", offsetof(struct approve_config, log_level), "info"},
};

__attribute__((format(printf, 2, 3))) static struct ky_status refuse(char **out_error,
                                                                     const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(out_error, format, args) < 0)
        *out_error = NULL;
    va_end(args);
    return KY_STATUS(KY_INVALID);
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0;
}

static struct ky_status check(struct approve_config *c, char **out_error)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char **value = (char **)(void *)((char *)c + texts[i].offset);

        if (*value == NULL && texts[i].standard == NULL)
            return refuse(out_error, "configuration: %s is missing", texts[i].name);
        if (*value == NULL && (*value = strdup(texts[i].standard)) == NULL)
            return KY_STATUS(KY_NOMEM);
    }
    if (policy_passkey_rp_id(ky_span_text(c->origin)).len == 0 || strchr(c->origin, '"') != NULL)
        return refuse(out_error, "configuration: origin is \"%s\": it must be like https://approve.example.vn",
                      c->origin);
    if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
        return refuse(out_error, "configuration: give tls.certificate and tls.key, or neither");
    if (c->tls.key == NULL && !is_loopback(c->listen))
        return refuse(out_error, "configuration: listen is \"%s\": without tls only a loopback "
                                 "address is served, behind a proxy", c->listen);
    c->session_s = c->session_s == 0 ? 900 : c->session_s;
    if (c->session_s > 86400)
        return refuse(out_error, "configuration: session_s is %u: at most 86400", c->session_s);
    return KY_STATUS(KY_OK);
}

struct ky_status approve_config_load(const char *path, struct approve_config **out_config,
                                     char **out_error)
{
    void *loaded = NULL;
    uint8_t sha256[32];
    struct ky_status st =
        ky_yaml_load_file(path, "configuration", &top_schema, &loaded, sha256, out_error);

    if (ky_ok(st))
        st = check(loaded, out_error);
    if (ky_ok(st))
        *out_config = loaded;
    else
        ky_yaml_free(&top_schema, loaded);
    return st;
}

void approve_config_free(struct approve_config **config)
{
    ky_yaml_free(&top_schema, *config);
    *config = NULL;
}
