/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of ceremony.yaml, and what must hold of it. */
#include "plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "kyso/alg.h"
#include "yaml.h"

#define NEEDED(key, S, f) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct S, f, 1, 256)

static const cyaml_schema_field_t custodian_fields[] = {
    NEEDED("name", plan_custodian, name),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t custodian_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct plan_custodian, custodian_fields),
};
static const cyaml_schema_field_t person_fields[] = {
    NEEDED("role", plan_person, role),
    NEEDED("name", plan_person, name),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t person_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct plan_person, person_fields),
};
static const cyaml_schema_value_t key_type_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 16),
};
static const cyaml_schema_field_t token_fields[] = {
    NEEDED("module", plan_token, module),
    NEEDED("uri", plan_token, uri),
    KY_YAML_TEXT("init_args", plan_token, init_args),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t plan_fields[] = {
    NEEDED("id", plan, id),
    NEEDED("title", plan, title),
    KY_YAML_BOOL("demo", plan, demo),
    CYAML_FIELD_UINT("threshold", CYAML_FLAG_DEFAULT, struct plan, threshold),
    CYAML_FIELD_SEQUENCE_COUNT("custodians", CYAML_FLAG_POINTER, struct plan, custodians,
                               custodian_count, &custodian_schema, 1, SHARE_MAX),
    CYAML_FIELD_SEQUENCE_COUNT("people", CYAML_FLAG_POINTER, struct plan, people, person_count,
                               &person_schema, 1, 32),
    CYAML_FIELD_SEQUENCE_COUNT("key_types", CYAML_FLAG_POINTER, struct plan, key_types,
                               key_type_count, &key_type_schema, 1, KY_KEY_TYPE_COUNT),
    CYAML_FIELD_MAPPING("token", CYAML_FLAG_DEFAULT, struct plan, token, token_fields),
    NEEDED("folder", plan, folder),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t plan_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct plan, plan_fields),
};

__attribute__((format(printf, 1, 2))) static char *complaint(const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    va_end(ap);
    return text;
}

static char *check_names(const struct plan *p)
{
    for (uint32_t i = 0; i < p->custodian_count; i++) {
        const char *name = p->custodians[i].name;

        if (!ky_span_is_display_text(ky_span_text(name)))
            return complaint("custodians: \"%s\" has characters that do not print", name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(name, p->custodians[j].name) == 0)
                return complaint(
                    "custodians: %s stands twice: each share needs a person of its own", name);
    }
    for (uint32_t i = 0; i < p->person_count; i++)
        if (!ky_span_is_display_text(ky_span_text(p->people[i].name)) ||
            !ky_span_is_display_text(ky_span_text(p->people[i].role)))
            return complaint("people: a name has characters that do not print");
    return NULL;
}

/* What is wrong, for people, or NULL. */
static char *check(const struct plan *p)
{
    if (!ky_span_is_name(ky_span_text(p->id), 40))
        return complaint("id: up to 40 letters, digits, dots and hyphens");
    if (!ky_span_is_display_text(ky_span_text(p->title)))
        return complaint("title: has characters that do not print");
    if (p->threshold < 2 || p->threshold > p->custodian_count)
        return complaint("threshold: %u of %u custodians: it must be at least 2 and at most all",
                         p->threshold, p->custodian_count);
    if (p->threshold == p->custodian_count && !p->demo)
        return complaint("threshold: all %u custodians: one lost share would lose every key",
                         p->threshold);
    for (uint32_t i = 0; i < p->key_type_count; i++)
        if (ky_key_type_by_name(p->key_types[i]) == 0)
            return complaint("key_types: there is no %s", p->key_types[i]);
    if (p->token.module[0] != '/')
        return complaint("token.module: an absolute path");
    if (p->folder[0] != '/')
        return complaint("folder: an absolute path");
    return check_names(p);
}

struct ky_status plan_load(const char *path, struct plan **out_plan, char **out_error)
{
    void *loaded = NULL;
    uint8_t sha256[32];
    struct plan *p = NULL;
    char *wrong = NULL;
    struct ky_status st =
        ky_yaml_load_file(path, "ceremony", &plan_schema, &loaded, sha256, out_error);

    if (!ky_ok(st))
        return st;
    p = loaded;
    memcpy(p->sha256, sha256, sizeof(p->sha256));
    wrong = check(p);
    if (wrong != NULL) {
        *out_error = complaint("ceremony: %s: %s", path, wrong);
        free(wrong);
        plan_free(&p);
        return KY_STATUS(KY_INVALID);
    }
    *out_plan = p;
    return st;
}

void plan_free(struct plan **plan)
{
    ky_yaml_free(&plan_schema, *plan);
    *plan = NULL;
}

bool plan_path(const struct plan *plan, const char *suffix, char *out, size_t cap)
{
    return snprintf(out, cap, "%s/%s.%s", plan->folder, plan->id, suffix) < (int)cap;
}

/* --- the script on paper ------------------------------------------------------------------------ */

static void sign_here(FILE *out, const char *role, const char *name)
{
    (void)fprintf(out, "      %-26s %-28s signature ____________________\n", role, name);
}

static void step(FILE *out, uint32_t *number, const char *text)
{
    (void)fprintf(out, "  [ ] %2u. %s\n          time ________  initials ______\n", ++*number,
                  text);
}

void plan_print(const struct plan *p, FILE *out)
{
    uint32_t n = 0;
    char line[400];

    (void)fprintf(out, "%s\nCeremony %s, %u of %u custodians.%s\nPlan SHA-256 ", p->title, p->id,
                  p->threshold, p->custodian_count, p->demo ? " A DEMONSTRATION." : "");
    for (size_t i = 0; i < sizeof(p->sha256); i++)
        (void)fprintf(out, "%02x", p->sha256[i]);
    (void)fprintf(out, "\nDate ____________  Place ______________________________\n\nPresent\n");
    for (uint32_t i = 0; i < p->person_count; i++)
        sign_here(out, p->people[i].role, p->people[i].name);
    for (uint32_t i = 0; i < p->custodian_count; i++)
        sign_here(out, "custodian", p->custodians[i].name);
    (void)fputs("\nSteps\n", out);
    step(out, &n,
         "Everybody shows an identity document; the room is locked; no telephone, no camera.");
    step(out, &n,
         "The plan's SHA-256 above is read aloud and compared with: sha256sum ceremony.yaml");
    (void)snprintf(line, sizeof(line), "A blank token is connected (%s).", p->token.uri);
    step(out, &n, line);
    step(out, &n, "kyso-ceremony check: the last line says that Kyso takes this token.");
    step(out, &n,
         "kyso-ceremony init. The token is tried first; its name and serial number are read aloud:"
         "\n          ________________________________________________");
    for (uint32_t i = 0; i < p->custodian_count; i++) {
        (void)snprintf(line, sizeof(line),
                       "%s alone sees the screen, writes four lines on form %u, types them back, "
                       "seals the form.\n          envelope no. ____________",
                       p->custodians[i].name, i + 1);
        step(out, &n, line);
    }
    step(out, &n,
         "The screen tells how many sets of shares were tried; it says that all were right.");
    step(out, &n,
         "The token gets its name and PINs, which nobody sees; its three keys are made and backed "
         "up.");
    step(out, &n,
         "The ledger key's SHA-256 and the transcript's are written down:"
         "\n          ________________________________________________"
         "\n          ________________________________________________");
    step(out, &n, "kyso-ceremony verify: every line of the transcript is read aloud.");
    step(out, &n,
         "Transcript, backup file and this paper are copied; the copies go where the envelopes do "
         "not.");
    (void)fputs("\nEnd ________\n\nWe saw this done as written above.\n", out);
    for (uint32_t i = 0; i < p->person_count; i++)
        sign_here(out, p->people[i].role, p->people[i].name);
}
