/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distinguished names from text, RFC 4514 without its corners: no multi-valued RDNs, no
 * numeric attribute types, no #hex values. What is left parses one way only.
 */
#include <string.h>

#include <openssl/objects.h>

#include "csr.h"

#define DN_PARTS_MAX 16u
#define DN_VALUE_MAX 200u

static const struct attribute {
    const char *name;
    int nid;
    uint16_t max;   /* characters; RFC 5280 A.1 ub-* */
    bool printable; /* PrintableString, not UTF8String */
    bool repeatable;
} attributes[] = {
    {"CN", NID_commonName, 64, false, false},
    {"O", NID_organizationName, 64, false, false},
    {"OU", NID_organizationalUnitName, 64, false, true},
    {"C", NID_countryName, 2, true, false},
    {"L", NID_localityName, 128, false, false},
    {"ST", NID_stateOrProvinceName, 128, false, false},
    {"SN", NID_surname, 40, false, false},
    {"GN", NID_givenName, 40, false, false},
    {"title", NID_title, 64, false, false},
    {"serialNumber", NID_serialNumber, 64, true, false},
    {"UID", NID_userId, 64, false, false},
    {"organizationIdentifier", NID_organizationIdentifier, 64, false, false},
};
#define ATTRIBUTE_COUNT (sizeof(attributes) / sizeof(attributes[0]))

struct part {
    const struct attribute *attribute;
    uint8_t value[DN_VALUE_MAX];
    size_t len;
};

static const struct attribute *attribute_named(struct ky_span name)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
        if (ky_span_eq(name, ky_span_text(attributes[i].name)))
            return &attributes[i];
    return NULL;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One escape at s[i] == '\\'; returns the bytes it takes, 0 when malformed. */
static size_t take_escape(struct ky_span s, size_t i, uint8_t *out)
{
    if (i + 1 < s.len && s.data[i + 1] != 0 && strchr(" \"#+,;<=>\\", s.data[i + 1]) != NULL) {
        *out = s.data[i + 1];
        return 2;
    }
    if (i + 2 < s.len && hex_digit(s.data[i + 1]) >= 0 && hex_digit(s.data[i + 2]) >= 0) {
        *out = (uint8_t)(hex_digit(s.data[i + 1]) * 16 + hex_digit(s.data[i + 2]));
        return 3;
    }
    return 0;
}

static bool is_printable_string(struct ky_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != 0 && strchr(" '()+,-./:=?", c) != NULL)))
            return false;
    }
    return true;
}

static bool value_is_good(const struct part *p)
{
    struct ky_span v = KY_SPAN(p->value, p->len);
    size_t characters = 0;

    if (p->len == 0 || !ky_span_is_display_text(v))
        return false;
    for (size_t i = 0; i < p->len; i++) {
        if (p->value[i] == '\n' || p->value[i] == '\t')
            return false;
        characters += (p->value[i] & 0xc0) != 0x80;
    }
    if (characters > p->attribute->max)
        return false;
    if (p->attribute->nid == NID_countryName &&
        !(p->len == 2 && p->value[0] >= 'A' && p->value[0] <= 'Z' && p->value[1] >= 'A' &&
          p->value[1] <= 'Z'))
        return false;
    return !p->attribute->printable || is_printable_string(v);
}

/* Parses one "TYPE=value" from *at; leaves *at on the comma or the end. */
static bool take_part(struct ky_span s, size_t *at, struct part *out)
{
    size_t i = *at;
    bool last_escaped = false;

    while (i < s.len && s.data[i] != '=')
        i++;
    out->attribute = attribute_named(KY_SPAN(s.data + *at, i - *at));
    if (out->attribute == NULL || i == s.len)
        return false;
    i++;
    if (i < s.len && (s.data[i] == ' ' || s.data[i] == '#')) /* RFC 4514 s.2.4: to be escaped */
        return false;
    out->len = 0;
    while (i < s.len && s.data[i] != ',') {
        uint8_t c = s.data[i];
        size_t taken = 1;

        last_escaped = c == '\\';
        if (last_escaped)
            taken = take_escape(s, i, &c);
        else if (strchr("\"+;<>", c) != NULL)
            return false;
        if (taken == 0 || out->len == sizeof(out->value))
            return false;
        out->value[out->len++] = c;
        i += taken;
    }
    if (out->len > 0 && out->value[out->len - 1] == ' ' && !last_escaped)
        return false;
    *at = i;
    return value_is_good(out);
}

static bool take_all(struct ky_span s, struct part *parts, size_t *out_count)
{
    bool has_cn = false;
    size_t n = 0;

    for (size_t at = 0; at < s.len; at++) { /* steps over the comma */
        if (n == DN_PARTS_MAX || !take_part(s, &at, &parts[n]))
            return false;
        for (size_t i = 0; i < n; i++)
            if (parts[i].attribute == parts[n].attribute && !parts[n].attribute->repeatable)
                return false;
        has_cn = has_cn || parts[n].attribute->nid == NID_commonName;
        n++;
        if (at + 1 == s.len) /* a comma with nothing behind it */
            return false;
    }
    *out_count = n;
    return has_cn;
}

struct ky_status dn_parse(struct ky_span text, X509_NAME **out_name)
{
    struct part parts[DN_PARTS_MAX];
    X509_NAME *name = NULL;
    size_t n = 0;

    if (text.len == 0 || text.len > CSR_DN_MAX || !take_all(text, parts, &n))
        return KY_STATUS(KY_INVALID);
    name = X509_NAME_new();
    if (name == NULL)
        return KY_STATUS(KY_NOMEM);
    while (n-- > 0) { /* RFC 4514 s.2.1: starting with the last */
        const struct part *p = &parts[n];

        if (X509_NAME_add_entry_by_NID(name, p->attribute->nid,
                                       p->attribute->printable ? V_ASN1_PRINTABLESTRING
                                                               : V_ASN1_UTF8STRING,
                                       p->value, (int)p->len, -1, 0) != 1) {
            X509_NAME_free(name);
            return KY_STATUS(KY_INVALID);
        }
    }
    *out_name = name;
    return KY_STATUS(KY_OK);
}
