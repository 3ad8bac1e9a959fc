/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file to a C struct by libcyaml's schema. Unknown keys and wrong forms are errors with line
 * and column; no aliases, so no entity bombs. Defaults and bounds are the caller's. Any thread.
 */
#ifndef KYSO_YAML_H
#define KYSO_YAML_H

#include <cyaml/cyaml.h>

#include "kyso/status.h"

/* libcyaml's own takes every other word for true: a mistyped "false" would make a demo. */
extern const cyaml_strval_t ky_yaml_booleans[2];

#define KY_YAML_TEXT(key, S, f)                                                                    \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct S, f, 0, 1024)
#define KY_YAML_UINT(key, S, f) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, struct S, f)
#define KY_YAML_BOOL(key, S, f)                                                                    \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct S, f, ky_yaml_booleans, 2)

/*
 * Reads fd from its start, at most 64 KiB. what: "configuration", the error's first word. On failure
 * *out_error (the caller's to free, may be NULL) says what and where. Errors: KY_IO, KY_INVALID.
 */
KY_MUST_CHECK struct ky_status ky_yaml_load_fd(int fd, const char *what,
                                               const cyaml_schema_value_t *schema, void **out,
                                               uint8_t out_sha256[32], char **out_error);
KY_MUST_CHECK struct ky_status ky_yaml_load_file(const char *path, const char *what,
                                                 const cyaml_schema_value_t *schema, void **out,
                                                 uint8_t out_sha256[32], char **out_error);
void ky_yaml_free(const cyaml_schema_value_t *schema, void *loaded); /* NULL is a no-op */

#endif
