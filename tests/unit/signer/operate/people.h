/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many people in one operation, and who opens the envelopes with their seeds. Failures end the test.
 */
#ifndef KYSO_TEST_PEOPLE_H
#define KYSO_TEST_PEOPLE_H

#include "door.h"

#define TEXT(s)    ((char *)(uintptr_t)(s))
#define MANY       30u /* more than one bite of CSRs */
#define PEOPLE_MAX 100u

struct reader { /* who opens envelopes */
    EVP_PKEY *key;
    X509 *certificate;
    uint8_t der[4096];
    size_t len;
};
struct reader reader_new(struct door *d, uint8_t key_type, const char *usage);
/* The key is the reader's from then on. */
struct reader reader_of_key(struct door *d, EVP_PKEY *key, const char *usage);
void reader_free(struct reader *r);
void open_envelope(const struct reader *r, ProtobufCBinaryData sealed, char out[700]);

struct people {
    char ids[PEOPLE_MAX][32];
    Kyso__V1__EnrollCitizen rows[PEOPLE_MAX];
    Kyso__V1__EnrollCitizen *list[PEOPLE_MAX];
    char *party; /* "*", until the test says otherwise */
    uint32_t max_hashes;
};
struct people *people_new(size_t n); /* free() */
/* Sends the operation; reader NULL: for nobody. */
void people_enroll(struct door *d, struct people *p, size_t n, const struct reader *reader);
/* The vault does what it is asked until there is a result, of n rows. */
const Kyso__V1__OperationResult *people_finish(struct door *d, size_t n);
void check_csr(const Kyso__V1__EnrolledCitizen *e);

#endif
