/* SPDX-License-Identifier: Apache-2.0 */
/* Many people in one operation, and who opens the envelopes with their seeds. */
#include "people.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/cms.h>

#include "certificates.h"

struct reader reader_new(struct door *d, uint8_t key_type, const char *usage)
{
    return reader_of_key(d, test_key(key_type), usage);
}

struct reader reader_of_key(struct door *d, EVP_PKEY *key, const char *usage)
{
    struct reader r = {.key = key};
    struct test_certificate t = {.subject = "Printer",
                                 .issuer = "Kyso Test CA",
                                 .key = r.key,
                                 .issuer_key = d->stranger,
                                 .from_s = -86400L * 365 * 20,
                                 .to_s = 86400L * 365 * 20,
                                 .key_usage = usage};
    const uint8_t *p = r.der;

    r.len = test_certificate(&t, r.der);
    r.certificate = d2i_X509(NULL, &p, (long)r.len);
    assert_non_null(r.certificate);
    return r;
}

void reader_free(struct reader *r)
{
    EVP_PKEY_free(r->key);
    X509_free(r->certificate);
}

void open_envelope(const struct reader *r, ProtobufCBinaryData sealed, char out[700])
{
    const uint8_t *p = sealed.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)sealed.len);
    BIO *text = BIO_new(BIO_s_mem());

    assert_non_null(cms);
    assert_int_equal(CMS_decrypt(cms, r->key, r->certificate, NULL, text, 0), 1);
    int n = BIO_read(text, out, 699);
    assert_true(n > 0);
    out[n] = '\0';
    BIO_free(text);
    CMS_ContentInfo_free(cms);
}

struct people *people_new(size_t n)
{
    struct people *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->party = TEXT("*");
    for (size_t i = 0; i < n; i++) {
        kyso__v1__enroll_citizen__init(&p->rows[i]);
        (void)snprintf(p->ids[i], sizeof(p->ids[i]), "citizen-%zu", i);
        p->rows[i].subject_id = p->ids[i];
        p->rows[i].name = TEXT("Nguyen Van A");
        p->rows[i].subject_dn = TEXT("CN=Nguyen Van A,C=VN");
        p->list[i] = &p->rows[i];
    }
    return p;
}

void people_enroll(struct door *d, struct people *p, size_t n, const struct reader *reader)
{
    DOOR_OP(d, ENROLL_CITIZENS, enroll_citizens, EnrollCitizens, KYSO__V1__ENROLL_CITIZENS__INIT,
            message_.citizens = p->list, message_.n_citizens = n,
            message_.relying_parties = &p->party, message_.n_relying_parties = 1,
            message_.max_hashes = p->max_hashes);
    if (reader != NULL)
        message_.seal_to =
            (ProtobufCBinaryData){.len = reader->len, .data = (uint8_t *)(uintptr_t)reader->der};
    door_send(d, &op_);
}

const Kyso__V1__OperationResult *people_finish(struct door *d, size_t n)
{
    while (d->a->has_job) {
        core_vault(d->a);
        core_commit(d->a);
    }
    const Kyso__V1__OperationResult *r = door_expect_result(d);
    assert_int_equal(r->n_enrolled, n);
    return r;
}

void check_csr(const Kyso__V1__EnrolledCitizen *e)
{
    const uint8_t *p = e->csr.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)e->csr.len);

    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    X509_REQ_free(req);
}
