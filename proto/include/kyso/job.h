/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the authority and a vault. The record's tag names the job;
 * (generation, attempt) make a late result recognisable. A vault keeps no state
 * that matters: each job carries all it needs, so any vault can do it again.
 */
#ifndef KYSO_JOB_H
#define KYSO_JOB_H

#include "kyso/alg.h"
#include "kyso/msg.h"

enum job_type {
    JOB_SIGN = 1,
    JOB_GENERATE, /* a citizen's key: wrapped blob, or resident object */
    JOB_DERIVE,   /* HMAC-SHA256(kyso-root, label); labels row-mac, seed-enc, state only */
    JOB_DESTROY,  /* a resident key; also drops cached handles of (row, any epoch) */
    JOB_FORGET,   /* drops cached handles of (row, any epoch); no reply */
    JOB_ANCHOR_WRITE,
    JOB_ANCHOR_READ,
    JOB_INFO, /* what the token can do, as probed; and the ledger's public key */
    JOB_GENERATE_MANY, /* citizens' keys of one type, wrapped */
    JOB_SIGN_EACH,     /* many JOB_SIGN of citizens' keys that nobody signs with again soon */
    JOB_R_SIGN = 100,
    JOB_R_GENERATE,
    JOB_R_BYTES, /* DERIVE, ANCHOR_READ */
    JOB_R_DONE,  /* DESTROY, ANCHOR_WRITE, and every failure */
    JOB_R_INFO,
    JOB_R_LIST, /* GENERATE_MANY, SIGN_EACH */
};

enum job_verify { JOB_VERIFY_ALWAYS = 1, JOB_VERIFY_FIRST_USE = 2 };

struct job_sign {
    uint32_t generation;
    uint32_t attempt;
    uint8_t purpose; /* enum ky_purpose: CITIZEN or LEDGER; a key of another purpose is refused */
    uint8_t storage;
    uint8_t key_type;
    uint8_t scheme;
    uint8_t hash;
    uint8_t mgf_hash;
    uint16_t salt_len;
    uint8_t verify;   /* enum job_verify; LEDGER is always verified */
    uint32_t key_row; /* with key_epoch, the name of a cached handle; 0 = it is not kept */
    uint32_t key_epoch;
    struct ky_span blob;       /* WRAPPED: the wrapped key. RESIDENT: its CKA_ID */
    struct ky_span public_key; /* DER SubjectPublicKeyInfo from the authenticated row: I7 */
    /*
     * n * hash_len. CITIZEN, Ed25519 and hash 0: one message over 64 bytes, signed whole (a CSR).
     * LEDGER: one message, signed whole (Ed25519) or as its SHA-256 (P-256).
     */
    struct ky_span digests;
};
struct job_generate {
    uint32_t generation;
    uint32_t attempt;
    uint8_t key_type;
    uint8_t storage;
    uint8_t key_id[16]; /* random, becomes CKA_ID of a resident key */
    uint32_t kek;       /* WRAPPED: under which; 0 = the newest that the vault knows */
};
struct job_generate_many {
    uint32_t generation;
    uint32_t attempt;
    uint8_t key_type;
    uint16_t count;
    uint32_t kek; /* as in job_generate */
};
struct job_sign_each {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span items; /* repeated ky_put_bytes of an encoded struct job_sign: CITIZEN, WRAPPED */
};
struct job_derive {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span label;
};
struct job_key_ref {
    uint32_t generation;
    uint32_t attempt;
    uint32_t key_row;
    struct ky_span key_id;
};
struct job_anchor {
    uint32_t generation;
    uint32_t attempt;
    uint8_t slot; /* 0 or 1 */
    struct ky_span value;
    /* write: what the slot holds as far as is known; otherwise another server writes too: KY_CONFLICT */
    struct ky_span expect;
};
struct job_plain {
    uint32_t generation;
    uint32_t attempt;
};

struct job_r_sign {
    uint32_t generation;
    uint32_t attempt;
    uint16_t count;
    uint16_t sig_len;
    struct ky_span signatures; /* raw, count * sig_len, each verified per I7 */
    uint8_t was_hot;           /* 1 when the handle was cached */
};
struct job_r_generate {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span blob;       /* wrapped key, or CKA_ID of the resident one */
    struct ky_span public_key; /* DER SubjectPublicKeyInfo */
};
struct job_r_bytes {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span value;
};
struct job_r_done {
    uint32_t generation;
    uint32_t attempt;
    uint16_t code;
    uint32_t cause;
};
struct job_r_info {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span token;      /* label, model, serial, for the status screen */
    uint32_t key_types;        /* bit per enum ky_key_type: can generate and sign */
    uint32_t wrappable;        /* bit per enum ky_key_type: can also wrap and unwrap */
    uint8_t pss;               /* 1 when RSA-PSS works */
    struct ky_span ledger_key; /* DER SubjectPublicKeyInfo */
    uint8_t ledger_key_type;   /* KY_KEY_ED25519 or KY_KEY_P256 */
    uint32_t kek;              /* the newest; 0 = none */
};
/* Repeated ky_put_bytes. GENERATE_MANY: blob and public key of each. SIGN_EACH: the raw signature, empty where that key failed. */
struct job_r_list {
    uint32_t generation;
    uint32_t attempt;
    struct ky_span items;
};

extern const struct ky_schema job_sign_schema, job_generate_schema, job_derive_schema,
    job_destroy_schema, job_forget_schema, job_anchor_write_schema, job_anchor_read_schema,
    job_info_schema, job_generate_many_schema, job_sign_each_schema;
extern const struct ky_schema job_r_sign_schema, job_r_generate_schema, job_r_bytes_schema,
    job_r_done_schema, job_r_info_schema, job_r_list_schema;

#endif
