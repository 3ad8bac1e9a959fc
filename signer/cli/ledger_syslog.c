/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5424 s.6: the header, then one element of structured data; no free text, so nothing has to be parsed out of one. */
#include "ledger_syslog.h"

#include <string.h>

/* The number is the one for documentation (RFC 5612): replace it when you have one of your own. */
#define SD_ID        "kyso@32473"
#define FACILITY     13u /* log audit */
#define HOST_MAX     255u
#define NOTICE       5u
#define INFORMATION  6u
#define WARNING      4u

static const struct {
    const char *type;
    unsigned severity;
} severities[] = {
    {"denied", WARNING}, {"client-state", WARNING}, {"anchored", WARNING}, {"clock", WARNING},
    {"event", NOTICE},   {"operation", NOTICE},     {"start", NOTICE},     {"stop", NOTICE},
};

static unsigned severity_of(const char *type)
{
    for (size_t i = 0; i < sizeof(severities) / sizeof(severities[0]); i++)
        if (strcmp(severities[i].type, type) == 0)
            return severities[i].severity;
    return INFORMATION;
}

static void put_head(FILE *out, const char *type, const char *time, struct ky_span host)
{
    bool plain = host.len > 0 && host.len <= HOST_MAX;

    for (size_t i = 0; i < host.len && plain; i++)
        plain = host.data[i] > 0x20 && host.data[i] < 0x7f;
    (void)fprintf(out, "<%u>1 %s %.*s kyso - %s [" SD_ID, FACILITY * 8 + severity_of(type), time,
                  plain ? (int)host.len : 1, plain ? (const char *)host.data : "-", type);
}

/* s.6.3.3: the quote, the backslash and the bracket are escaped; a record's texts have no control characters. */
static void put_param(FILE *out, const char *name, const char *value)
{
    (void)fprintf(out, " %s=\"", name);
    for (; *value != '\0'; value++) {
        if (strchr("\"\\]", *value) != NULL)
            (void)fputc('\\', out);
        (void)fputc(*value, out);
    }
    (void)fputc('"', out);
}

static void put_integer(FILE *out, const char *name, json_int_t value)
{
    (void)fprintf(out, " %s=\"%lld\"", name, (long long)value);
}

void ledger_syslog_record(FILE *out, const json_t *record, struct ky_span host)
{
    const char *type = json_string_value(json_object_get(record, "type"));
    const char *time = json_string_value(json_object_get(record, "time"));
    const char *key;
    json_t *v;

    put_head(out, type != NULL ? type : "-", time != NULL ? time : "-", host);
    json_object_foreach((json_t *)(uintptr_t)record, key, v)
    {
        if (strcmp(key, "type") == 0 || strcmp(key, "time") == 0)
            continue; /* in the header */
        if (json_is_string(v))
            put_param(out, key, json_string_value(v));
        else
            put_integer(out, key, json_integer_value(v));
    }
    (void)fputs("]\n", out);
}

static void put_base64(FILE *out, const char *name, const struct ky_buf *bytes)
{
    json_t *text = output_base64(ky_buf_span(bytes));

    put_param(out, name, json_string_value(text) != NULL ? json_string_value(text) : "");
    json_decref(text);
}

void ledger_syslog_tail(FILE *out, const struct ledger_tail *t, struct ky_span host)
{
    put_head(out, "checkpoint", "-", host);
    put_integer(out, "size", (json_int_t)t->size);
    put_base64(out, "checkpoint", &t->checkpoint);
    put_base64(out, "ledger_public_key", &t->key);
    (void)fputs("]\n", out);
}
