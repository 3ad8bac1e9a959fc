/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute templates. A boolean attribute is stated in one table that both
 * creates the object and checks what the token made of it: defaults differ by
 * token, and a default that is not stated is a default that is wrong somewhere.
 */
#ifndef HSM_ATTR_H
#define HSM_ATTR_H

#include "session.h"

struct hsm_flag {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
};

enum { HSM_TEMPLATE_MAX = 32 };

struct hsm_template {
    CK_ATTRIBUTE attrs
        [HSM_TEMPLATE_MAX]; /* values borrowed until the call that takes the template returns */
    CK_ULONG count;
};

#define HSM_COUNT(a) (sizeof(a) / sizeof((a)[0]))

void hsm_template_add(struct hsm_template *t, CK_ATTRIBUTE_TYPE type, const void *value,
                      size_t len);
void hsm_template_flags(struct hsm_template *t, const struct hsm_flag *flags, size_t n);
/*
 * Reads every flag back. KY_CORRUPT with the attribute type as cause when one differs or is
 * unknown.
 */
KY_MUST_CHECK struct ky_status hsm_flags_check(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                               const struct hsm_flag *flags, size_t n);
/* The attribute must hold exactly these bytes. KY_CORRUPT with the attribute type as cause. */
KY_MUST_CHECK struct ky_status hsm_attr_check(const struct hsm_session *s, CK_OBJECT_HANDLE object,
                                              CK_ATTRIBUTE_TYPE type, const void *value,
                                              size_t len);

#endif
