/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of struct web_config, its defaults and bounds: one row per option. Main thread, at start. */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/util.h>

#include "party.h"
#include "yaml.h"

#define PARTIES_MAX 1024u

#define TEXT KY_YAML_TEXT
#define UINT KY_YAML_UINT
#define PART(key, f, fields)                                                                       \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, struct web_config, f, fields)

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate", web_config_tls, certificate),
    TEXT("key", web_config_tls, key),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t signer_fields[] = {
    TEXT("endpoint", web_config_signer, endpoint),
    TEXT("server_name", web_config_signer, server_name),
    TEXT("certificate", web_config_signer, certificate),
    TEXT("key", web_config_signer, key),
    TEXT("ca", web_config_signer, ca),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t service_fields[] = {
    TEXT("name", web_config_service, name),
    TEXT("description", web_config_service, description),
    TEXT("region", web_config_service, region),
    TEXT("lang", web_config_service, lang),
    TEXT("logo", web_config_service, logo),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    UINT("connections", web_config_limits, connections),
    UINT("held", web_config_limits, held),
    UINT("token_s", web_config_limits, token_s),
    UINT("sad_s", web_config_limits, sad_s),
    UINT("transaction_s", web_config_limits, transaction_s),
    UINT("pending_s", web_config_limits, pending_s),
    UINT("result_s", web_config_limits, result_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t party_fields[] = {
    TEXT("name", web_party_config, name),
    TEXT("secret", web_party_config, secret),
    UINT("rate", web_party_config, rate),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t party_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct web_party_config, party_fields),
};
static const cyaml_schema_field_t top_fields[] = {
    TEXT("listen", web_config, listen),
    PART("tls", tls, tls_fields),
    PART("signer", signer, signer_fields),
    PART("service", service, service_fields),
    PART("limits", limits, limits_fields),
    CYAML_FIELD_SEQUENCE("relying_parties", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct web_config, relying_parties, &party_schema, 0, PARTIES_MAX),
    TEXT("log_format", web_config, log_format),
    TEXT("log_level", web_config, log_level),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct web_config, top_fields),
};

struct text_rule {
    const char *name;
    size_t offset;
    const char *standard; /* NULL: has to be given, unless optional */
    bool path;
};
struct number_rule {
    const char *name;
    size_t offset;
    uint32_t standard, min, max;
};
#define T(name, f, ...) {name, offsetof(struct web_config, f), __VA_ARGS__}
#define N(f, ...)       {"limits." #f, offsetof(struct web_config, limits.f), __VA_ARGS__}

static const struct text_rule texts[] = {
    T("listen", listen, "127.0.0.1:8080", false),
    T("signer.endpoint", signer.endpoint, NULL, false),
    T("signer.certificate", signer.certificate, NULL, true),
    T("signer.key", signer.key, NULL, true),
    T("signer.ca", signer.ca, NULL, true),
    T("service.name", service.name, "Kyso", false),
    T("service.description", service.description, "Remote signing of hashes", false),
    T("service.region", service.region, "VN", false),
    T("service.lang", service.lang, "en", false),
    T("service.logo", service.logo, "", false),
    T("log_format", log_format, "text", false),
    T("log_level", log_level, "info", false),
};
static const struct number_rule numbers[] = {
    N(connections, 1024, 1, 16384),    N(held, 65536, 16, 1000000), N(token_s, 3600, 10, 86400),
    N(sad_s, 300, 1, 7200),            N(pending_s, 300, 10, 600),  N(transaction_s, 1800, 1, 7200),
    N(result_s, 300, 10, 3600),
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

static struct ky_status check_values(struct web_config *c, char **out_error)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char **value = (char **)(void *)((char *)c + texts[i].offset);

        if (*value == NULL && texts[i].standard == NULL)
            return refuse(out_error, "configuration: %s is missing", texts[i].name);
        if (*value == NULL && (*value = strdup(texts[i].standard)) == NULL)
            return KY_STATUS(KY_NOMEM);
        if (texts[i].path && **value != '/')
            return refuse(out_error, "configuration: %s must be an absolute path", texts[i].name);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint32_t *value = (uint32_t *)(void *)((char *)c + numbers[i].offset);

        if (*value == 0)
            *value = numbers[i].standard;
        if (*value < numbers[i].min || *value > numbers[i].max)
            return refuse(out_error, "configuration: %s is %u: it must lie between %u and %u",
                          numbers[i].name, *value, numbers[i].min, numbers[i].max);
    }
    return KY_STATUS(KY_OK);
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0;
}

static struct ky_status check_relations(struct web_config *c, char **out_error)
{
    struct sockaddr_storage any;
    int len = sizeof(any);

    for (uint32_t i = 0; i < c->relying_parties_count; i++) {
        struct web_party_config *p = &c->relying_parties[i];

        if (!ky_span_is_name(ky_span_text(p->name), 64) || strchr(p->name, ':') != NULL)
            return refuse(out_error, "configuration: relying_parties[%u].name must be 1 to 64 of "
                                     "A-Z a-z 0-9 . _ @ -", i);
        if (!party_secret_is_hash(p->secret))
            return refuse(out_error, "configuration: the secret of relying party %s must be a line "
                                     "that kyso-web --new-secret printed", p->name);
        if (p->rate == 0)
            p->rate = 100;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(p->name, c->relying_parties[j].name) == 0)
                return refuse(out_error, "configuration: relying party %s is named twice", p->name);
    }
    if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
        return refuse(out_error, "configuration: give tls.certificate and tls.key, or neither");
    if (c->tls.key == NULL && !is_loopback(c->listen))
        return refuse(out_error, "configuration: listen is \"%s\": without tls only a loopback "
                                 "address is served, behind a proxy", c->listen);
    if (evutil_parse_sockaddr_port(c->signer.endpoint, (struct sockaddr *)&any, &len) != 0)
        return refuse(out_error, "configuration: signer.endpoint is \"%s\": give an address and a port; "
                                 "signer.server_name is the name in its certificate", c->signer.endpoint);
    return KY_STATUS(KY_OK);
}

struct ky_status web_config_load(const char *path, struct web_config **out_config, char **out_error)
{
    void *loaded = NULL;
    uint8_t sha256[32];
    struct ky_status st =
        ky_yaml_load_file(path, "configuration", &top_schema, &loaded, sha256, out_error);

    if (ky_ok(st))
        st = check_values(loaded, out_error);
    if (ky_ok(st))
        st = check_relations(loaded, out_error);
    if (ky_ok(st))
        *out_config = loaded;
    else
        ky_yaml_free(&top_schema, loaded);
    return st;
}

void web_config_free(struct web_config **config)
{
    ky_yaml_free(&top_schema, *config);
    *config = NULL;
}
