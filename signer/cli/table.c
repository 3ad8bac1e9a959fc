/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table: every command, its arguments, help and function. The option parser, help, the
 * man page, shell completion and the tests read it; nothing about a command stands elsewhere.
 */
#include "cli.h"
#include "kyso/alg.h"

#define END                                                                                        \
    {                                                                                              \
        .kind = CLI_END                                                                            \
    }
#define OPT(n, v, k, f, h)                                                                         \
    {                                                                                              \
        .name = n, .value = v, .kind = k, .flags = f, .help = h                                    \
    }
#define SWITCH(n, h)                                                                               \
    {                                                                                              \
        .name = n, .kind = CLI_FLAG, .help = h                                                     \
    }

static const struct cli_arg none[] = {END};

/* --- options that many commands share --- */

static const struct cli_arg common_args[] = {
    {"--config", "FILE", CLI_PATH, 0, "KYSO_CONFIG",
     "the server's configuration (default /etc/kyso/kyso.yaml)"},
    SWITCH("--json", "print the result, or the error, as one JSON object"),
    SWITCH("--help", "show this help"),
    END,
};
static const struct cli_arg operator_args[] = {
    {"--operator", "NAME", CLI_TEXT, CLI_MANY(CLI_OPERATORS_MAX), "KYSO_OPERATOR",
     "who signs the operation; twice for two operators"},
    {"--operator-key", "PEM", CLI_PATH, CLI_MANY(CLI_OPERATORS_MAX), "KYSO_OPERATOR_KEY",
     "that operator's private key, in the same order"},
    OPT("--socket", "PATH", CLI_PATH, 0, "the operators' socket (default: from the configuration)"),
    OPT("--server-id", "ID", CLI_TEXT, 0, "the server's name (default: from the configuration)"),
    END,
};
static const struct cli_arg propose_args[] = {
    OPT("--propose", "FILE", CLI_PATH, 0,
        "write the operation with this signature instead of running it; kyso operation approve adds the next"),
    END,
};
static const struct cli_arg client_args[] = {
    {"--profile", "FILE", CLI_PATH, 0, "KYSO_PROFILE",
     "JSON with endpoint, approver_endpoint, cert, key, ca, relying_party, and server_id, client and "
     "request_key where requests are signed; options win over it"},
    OPT("--endpoint", "HOST:PORT", CLI_TEXT, 0,
        "the server's door (default: profile, then run/endpoints.json)"),
    OPT("--cert", "PEM", CLI_PATH, 0, "this client's certificate"),
    OPT("--key", "PEM", CLI_PATH, 0, "this client's private key"),
    OPT("--ca", "PEM", CLI_PATH, 0, "who issued the server's certificate"),
    OPT("--timeout", "SECONDS", CLI_NUMBER, 0, "give up after this long (default 10)"),
    END,
};

static const struct cli_group groups[] = {
    {"Signing the operation", CLI_USES_OPERATOR, operator_args},
    {"Two people at two places", CLI_USES_PROPOSAL, propose_args},
    {"Reaching the server", CLI_USES_CLIENT, client_args},
    {"Common options", 0, common_args},
    {NULL, 0, NULL},
};

/* --- arguments by family --- */

static const struct cli_arg init_args[] = {
    OPT("--kysod", "PATH", CLI_PATH, 0,
        "the server's program (default: beside kyso, else from PATH)"),
    END,
};
static const struct cli_arg keygen_args[] = {
    OPT("FILE", NULL, CLI_PATH, CLI_REQUIRED,
        "where the private key goes (mode 0600); FILE.pub gets the public key"),
    OPT("--type", "p256|ed25519", CLI_CHOICE, 0, "kind of key (default p256)"),
    OPT("--certificate", "NAME", CLI_TEXT, 0,
        "also FILE.crt, a certificate of this name signed by the key itself"),
    OPT("--days", "N", CLI_NUMBER, 0, "how long that certificate is valid (default 365)"),
    END,
};
static const struct cli_arg operation_args[] = {
    OPT("FILE", NULL, CLI_PATH, CLI_REQUIRED, "what --propose has written"),
    END,
};
static const struct cli_arg approve_operation_args[] = {
    OPT("FILE", NULL, CLI_PATH, CLI_REQUIRED, "what --propose has written"),
    OPT("--digest", "HEX", CLI_HEX, 0,
        "of what was read by kyso operation show; a terminal is shown it, and asked, instead"),
    END,
};
#define ROLES "security-officer|administrator|operator|auditor"
static const struct cli_arg user_list_args[] = {
    SWITCH("--removed", "those who were removed, too"),
    END,
};
static const struct cli_arg user_add_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED, "the person's name at this server"),
    OPT("--role", ROLES, CLI_CHOICE, CLI_REQUIRED, "what the person may do; one role each"),
    OPT("--cert", "PEM", CLI_PATH, 0,
        "their certificate (P-256 or Ed25519): its key is pinned, its validity holds"),
    OPT("--public-key", "PEM", CLI_PATH, 0, "in a demo: a bare public key instead"),
    END,
};
static const struct cli_arg user_name_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED, "the person's name"),
    END,
};
static const struct cli_arg role_set_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED, "the person's name"),
    OPT("ROLE", ROLES, CLI_CHOICE, CLI_REQUIRED, "the new role; an auditor's never changes"),
    END,
};
static const struct cli_arg subject_add_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the authority's own identifier of the person"),
    OPT("--name", "NAME", CLI_TEXT, CLI_REQUIRED,
        "the person's name; the ledger holds only its salted hash"),
    END,
};
static const struct cli_arg subject_id_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the person's identifier"),
    END,
};
static const struct cli_arg client_add_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED,
        "the client's name; its own relying party has the same name"),
    OPT("--cert", "PEM", CLI_PATH, CLI_MANY(2),
        "certificate whose key is pinned; two while one rolls over"),
    OPT("--spki", "HEX", CLI_HEX, CLI_MANY(2), "or the SHA-256 of its SubjectPublicKeyInfo"),
    OPT("--may", "sign|approve", CLI_CHOICE, CLI_REQUIRED,
        "sign for relying parties, or carry devices' approvals"),
    OPT("--delegate", "RP", CLI_TEXT, CLI_MANY(CLI_LIST_MAX),
        "a relying party it may act for beyond itself"),
    OPT("--subject", "ID", CLI_TEXT, CLI_MANY(CLI_LIST_MAX),
        "only for these people (default: everyone)"),
    SWITCH("--no-totp", "refuse TOTP codes from this client"),
    SWITCH("--no-approval", "refuse device approvals for this client"),
    OPT("--max-hashes", "N", CLI_NUMBER, 0, "hashes in one request (default: the server's limit)"),
    OPT("--request-key", "PEM", CLI_PATH, 0,
        "public key by which it must sign each request (P-256 or Ed25519)"),
    END,
};
static const struct cli_arg client_request_key_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED, "the client's name"),
    OPT("--request-key", "PEM", CLI_PATH, 0, "its public key, P-256 or Ed25519"),
    SWITCH("--none", "its requests need not be signed any more"),
    END,
};
static const struct cli_arg client_name_args[] = {
    OPT("NAME", NULL, CLI_TEXT, CLI_REQUIRED, "the client's name"),
    END,
};
static const struct cli_arg credential_create_args[] = {
    OPT("--subject", "ID", CLI_TEXT, CLI_REQUIRED, "whose key it is"),
    OPT("--key-type", "p256|p384|rsa2048|rsa3072|rsa4096|ed25519", CLI_CHOICE, 0,
        "kind of key (default p256)"),
    OPT("--storage", "wrapped|resident", CLI_CHOICE, 0,
        "in the database under the KEK, or in the token (default: wrapped where the token can)"),
    OPT("--relying-party", "RP", CLI_TEXT, CLI_REQUIRED | CLI_MANY(CLI_LIST_MAX),
        "who may use it; * for any client"),
    OPT("--max-hashes", "N", CLI_NUMBER, 0, "hashes in one request (default: the server's limit)"),
    END,
};
static const struct cli_arg of_subject_args[] = {
    OPT("--subject", "ID", CLI_TEXT, CLI_REQUIRED, "whose"),
    END,
};
static const struct cli_arg credential_list_args[] = {
    OPT("--subject", "ID", CLI_TEXT, 0, "whose; or"),
    OPT("--expiring", "DAYS", CLI_TEXT, 0,
        "anybody's whose certificate ends within so long: 30d, or 2w"),
    END,
};
static const struct cli_arg backup_args[] = {
    OPT("--output", "FILE", CLI_PATH, 0,
        "also copy it there, and its checkpoint to FILE.checkpoint (who may read the state's folder)"),
    END,
};
static const struct cli_arg status_args[] = {
    SWITCH("--watch", "draw it again each second, until Ctrl-C"),
    END,
};
static const struct cli_arg credential_id_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the credential"),
    OPT("--pem", "FILE", CLI_PATH, 0, "also write its certificate and chain there"),
    END,
};
static const struct cli_arg credential_state_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the credential"),
    OPT("--reason", "TEXT", CLI_TEXT, 0,
        "signed with the operation, whose digest the ledger keeps"),
    END,
};
static const struct cli_arg credential_destroyed_args[] = {
    OPT("--since", "DAY", CLI_TEXT, 0, "only those of this day (2026-01-31, UTC) and later"),
    END,
};
static const struct cli_arg credential_destroy_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the credential"),
    OPT("--reason", "TEXT", CLI_TEXT, 0,
        "signed with the operation, whose digest the ledger keeps"),
    SWITCH("--yes", "the key is gone for good: say that this is meant"),
    END,
};
static const struct cli_arg credential_csr_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the credential"),
    OPT("--dn", "DN", CLI_TEXT, CLI_REQUIRED, "the subject's distinguished name, \"CN=...,C=VN\""),
    OPT("--output", "FILE", CLI_PATH, 0, "write the PEM there (default: standard output)"),
    END,
};
static const struct cli_arg credential_enroll_args[] = {
    OPT("--csv", "FILE", CLI_PATH, CLI_REQUIRED,
        "columns subject_id,name,dn and, where wanted, key_type,seal_to (a certificate's file)"),
    OPT("--out", "DIR", CLI_PATH, CLI_REQUIRED,
        "where CSRs, sealed seeds and errors.csv go; the same command goes on with what is missing there"),
    OPT("--relying-party", "RP", CLI_TEXT, CLI_REQUIRED | CLI_MANY(CLI_LIST_MAX),
        "who may use the keys; * for any client"),
    OPT("--seal-to", "CERT", CLI_PATH, 0,
        "who opens the seeds of rows that name nobody (default: those get no code generator)"),
    OPT("--hash", "sha1|sha256|sha512", CLI_CHOICE, 0,
        "HMAC's hash (default sha1, what most apps know)"),
    OPT("--digits", "N", CLI_NUMBER, 0, "6, 7 or 8 (default 6)"),
    OPT("--max-hashes", "N", CLI_NUMBER, 0, "hashes in one request (default: the server's limit)"),
    OPT("--in-flight", "N", CLI_NUMBER, 0, "batches at the server (default 12, at most 32)"),
    SWITCH("--split", "also ID.csr and ID.p7m of each person"),
    END,
};
static const struct cli_arg credential_import_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the credential"),
    OPT("CERTIFICATE", NULL, CLI_PATH, CLI_REQUIRED,
        "PEM or DER; more certificates in a PEM file join the chain"),
    OPT("--chain", "FILE", CLI_PATH, CLI_MANY(CLI_CHAIN_MAX), "issuers, nearest first, PEM or DER"),
    END,
};
static const struct cli_arg totp_args[] = {
    OPT("--subject", "ID", CLI_TEXT, CLI_REQUIRED, "whose"),
    OPT("--hash", "sha1|sha256|sha512", CLI_CHOICE, 0,
        "HMAC's hash (default sha1, what most apps know)"),
    OPT("--digits", "N", CLI_NUMBER, 0, "6, 7 or 8 (default 6)"),
    {"--seed", "BASE32", CLI_TEXT, CLI_SECRET, "KYSO_TOTP_SEED",
     "an existing seed, or @FILE (default: the server makes one)"},
    OPT("--seal-to", "CERT", CLI_PATH, 0,
        "seal the seed to the holder of this certificate: the person, or who prints the letter"),
    OPT("--output", "FILE", CLI_PATH, 0, "the envelope (openssl cms -decrypt -inform DER opens it)"),
    SWITCH("--show", "draw the QR code here (only where the server's state is marked demo)"),
    END,
};
static const struct cli_arg device_args[] = {
    OPT("--subject", "ID", CLI_TEXT, CLI_REQUIRED, "whose"),
    OPT("--public-key", "PEM", CLI_PATH, 0, "the device's public key (P-256 or Ed25519)"),
    OPT("--generate", "KEYFILE", CLI_PATH, 0, "or make a device key here, for demos and tests"),
    OPT("--key-type", "es256|ed25519", CLI_CHOICE, 0, "of a generated key (default es256)"),
    OPT("--label", "TEXT", CLI_TEXT, 0, "what the person calls the device"),
    OPT("--by", "ID", CLI_TEXT, 0, "an existing device that vouches for this one"),
    OPT("--by-key", "PEM", CLI_PATH, 0, "that device's private key"),
    END,
};
static const struct cli_arg passkey_args[] = {
    OPT("--subject", "ID", CLI_TEXT, CLI_REQUIRED, "whose"),
    OPT("--label", "TEXT", CLI_TEXT, 0, "what the person calls it"),
    OPT("--seal-to", "CERT", CLI_PATH, 0,
        "seal the link to the holder of this certificate: the person, or who prints the letter"),
    OPT("--output", "FILE", CLI_PATH, 0, "the envelope (openssl cms -decrypt -inform DER opens it)"),
    END,
};
static const struct cli_arg confirm_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the authenticator"),
    OPT("CODE", NULL, CLI_TEXT, CLI_REQUIRED | CLI_SECRET,
        "the one-time code that reached the person, or @FILE"),
    END,
};
static const struct cli_arg authenticator_id_args[] = {
    OPT("ID", NULL, CLI_TEXT, CLI_REQUIRED, "the authenticator"),
    END,
};
static const struct cli_arg sign_args[] = {
    OPT("FILE", NULL, CLI_PATH, CLI_MANY(KY_HASHES_MAX),
        "what to sign: only its hash leaves this machine; signature in FILE.sig"),
    OPT("--hash", "HEX", CLI_HEX, CLI_MANY(KY_HASHES_MAX),
        "or a digest made elsewhere; signatures are printed"),
    OPT("--credential", "ID", CLI_TEXT, CLI_REQUIRED, "whose key signs"),
    OPT("--relying-party", "RP", CLI_TEXT, 0, "for whom (default: the profile's)"),
    {"--totp", "CODE", CLI_TEXT, CLI_SECRET, "KYSO_TOTP", "the citizen's code"},
    {"--totp-secret", "BASE32", CLI_TEXT, CLI_SECRET, "KYSO_TOTP_SECRET",
     "demo: compute the code from the seed, or @FILE"},
    OPT("--totp-digits", "N", CLI_NUMBER, 0, "of --totp-secret (default 6)"),
    OPT("--totp-hash", "sha1|sha256|sha512", CLI_CHOICE, 0, "of --totp-secret (default sha1)"),
    SWITCH("--approval",
           "open a transaction, show the matching code, wait for the device, then sign; "
           "with --json the pending transaction comes first, on a line of its own"),
    {"--sad", "HEX", CLI_TEXT, CLI_SECRET, "KYSO_SAD", "spend an earlier authorization"},
    OPT("--authenticator", "ID", CLI_TEXT, 0,
        "the TOTP authenticator (default: any of the citizen's)"),
    OPT("--text", "TEXT", CLI_TEXT, 0, "shown to the citizen"),
    OPT("--ttl", "SECONDS", CLI_NUMBER, 0, "how long to wait for the approval (default 120)"),
    OPT("--request-key", "PEM", CLI_PATH, 0,
        "the private key by which this client signs its requests (default: the profile's); the "
        "profile must have server_id and client"),
    OPT("--request-id", "ID", CLI_TEXT, 0,
        "repeat an earlier request safely (default: a random one)"),
    OPT("--scheme", "ecdsa|pkcs1|pss|eddsa", CLI_CHOICE, 0, "default: by the key, pkcs1 for RSA"),
    OPT("--hash-alg", "sha256|sha384|sha512", CLI_CHOICE, 0, "default: by the key"),
    OPT("--pss-salt", "N", CLI_NUMBER, 0, "salt bytes with pss (default: the hash's length)"),
    SWITCH("--raw", "ECDSA as r || s instead of DER"),
    SWITCH("--cms", "write a detached CMS signature, FILE.p7s, that openssl cms -verify accepts"),
    OPT("--output", "FILE", CLI_PATH, 0, "write there instead (one FILE only)"),
    END,
};
static const struct cli_arg approve_args[] = {
    OPT("--authenticator", "ID", CLI_TEXT, CLI_REQUIRED, "the device"),
    OPT("--device-key", "PEM", CLI_PATH, 0, "its private key (not needed for a plain --reject)"),
    OPT("--transaction", "ID", CLI_TEXT, 0, "default: the only pending one"),
    OPT("--code", "NN", CLI_TEXT, 0, "the matching code the relying party shows (default: asks)"),
    OPT("--expect-digest", "HEX", CLI_HEX, 0,
        "refuse unless the fields give this transaction digest"),
    OPT("--expect-file", "FILE", CLI_PATH, CLI_MANY(KY_HASHES_MAX),
        "refuse unless the hashes are those of these files"),
    SWITCH("--reject", "say no"),
    SWITCH("--not-me", "say no and lock the account: someone else asked"),
    SWITCH("--list", "only list what is pending"),
    END,
};
static const struct cli_arg ledger_show_args[] = {
    OPT("--from", "N", CLI_NUMBER, 0, "first record (default 0)"),
    OPT("--limit", "N", CLI_NUMBER, 0, "how many (default: all)"),
    OPT("--last", "N", CLI_NUMBER, 0, "of the last N records instead, whatever their type"),
    OPT("--type", "NAME", CLI_TEXT, CLI_MANY(CLI_LIST_MAX),
        "only records of this type: intent, receipt, denied, ..."),
    SWITCH("--private", "include personal data from the side table"),
    END,
};
static const struct cli_arg ledger_query_args[] = {
    OPT("--since", "TIME", CLI_TEXT, 0, "from this time on, UTC: 2026-01-31 or 2026-01-31T08:00"),
    OPT("--until", "TIME", CLI_TEXT, 0, "until this time, all that begins with it included"),
    OPT("--subject", "ID", CLI_TEXT, 0, "only records that name this person"),
    OPT("--credential", "ID", CLI_TEXT, 0, "only records that name this credential"),
    OPT("--type", "NAME", CLI_TEXT, CLI_MANY(CLI_LIST_MAX),
        "only records of this type: intent, receipt, denied, ..."),
    SWITCH("--private", "include personal data from the side table"),
    END,
};
static const struct cli_arg ledger_verify_args[] = {
    OPT("--file", "JSONL", CLI_PATH, 0, "an exported ledger: no server is asked"),
    OPT("--checkpoint", "FILE", CLI_PATH, 0, "a published checkpoint to hold it against"),
    OPT("--key", "PEM", CLI_PATH, 0, "the ledger's public key, PEM, kept from before (pins it)"),
    END,
};
static const struct cli_arg ledger_export_args[] = {
    OPT("--format", "jsonl|rfc5424", CLI_CHOICE, 0,
        "JSON lines (default), or syslog messages with structured data"),
    OPT("--output", "FILE", CLI_PATH, 0, "default: standard output"),
    SWITCH("--private", "include personal data from the side table"),
    END,
};
static const struct cli_arg health_args[] = {
    OPT("--service", "NAME", CLI_TEXT, 0, "default: the server as a whole"),
    END,
};
static const struct cli_arg help_args[] = {
    OPT("WORD", NULL, CLI_TEXT, CLI_MANY(CLI_WORDS_MAX), "a command"),
    SWITCH("--man", "print the manual page (troff)"),
    OPT("--completion", "bash", CLI_CHOICE, 0, "print a completion script for this shell"),
    END,
};

#define SIGNER   (CLI_USES_OPERATOR | CLI_USES_CONFIG)
#define OPERATOR (SIGNER | CLI_USES_PROPOSAL)

static const struct cli_command commands[] = {
    {"init", "make the first administrators' keys if absent, the token's keys and the state",
     "kyso init --operator alice --operator-key alice.pem --operator bob --operator-key bob.pem",
     init_args, SIGNER, cmd_init},
    {"operator keygen", "make an operator's key, and a certificate for it",
     "kyso operator keygen bob.pem --certificate bob", keygen_args, 0, cmd_operator_keygen},
    {"operation show", "show exactly what somebody proposes, and its digest",
     "kyso operation show destroy.op", operation_args, 0, cmd_operation_show},
    {"operation approve", "show what somebody else proposed, and upon a yes sign and run it",
     "kyso operation approve destroy.op --operator bob --operator-key bob.pem",
     approve_operation_args, OPERATOR, cmd_operation_approve},
    {"user add", "let a person sign operations",
     "kyso user add carol --role auditor --cert carol.crt", user_add_args, OPERATOR, cmd_user_add},
    {"user list", "list the people who sign operations", "kyso user list", user_list_args, OPERATOR,
     cmd_user_list},
    {"user remove", "no more operations by a person; the name is never anybody's again",
     "kyso user remove carol", user_name_args, OPERATOR, cmd_user_remove},
    {"role set", "give a person another role", "kyso role set carol security-officer", role_set_args,
     OPERATOR, cmd_role_set},
    {"subject add", "register a person", "kyso subject add 079123 --name 'Nguyen Van A'",
     subject_add_args, OPERATOR, cmd_subject_add},
    {"subject show", "show a person", "kyso subject show 079123", subject_id_args, OPERATOR,
     cmd_subject_show},
    {"subject unlock", "unlock a person after wrong codes or \"not me\"",
     "kyso subject unlock 079123", subject_id_args, OPERATOR, cmd_subject_unlock},
    {"client add", "let a relying party or an approvers' back end connect",
     "kyso client add gateway --cert gateway.pem --may sign --delegate tax-portal", client_add_args,
     OPERATOR, cmd_client_add},
    {"client list", "list the clients", "kyso client list", none, OPERATOR, cmd_client_list},
    {"client suspend", "stop serving a client for now", "kyso client suspend gateway",
     client_name_args, OPERATOR, cmd_client_suspend},
    {"client resume", "serve a suspended client again", "kyso client resume gateway",
     client_name_args, OPERATOR, cmd_client_resume},
    {"client remove", "remove a client for good", "kyso client remove gateway", client_name_args,
     OPERATOR, cmd_client_remove},
    {"client request-key", "pin the key by which a client must sign its requests, or none",
     "kyso client request-key gateway --request-key gateway-requests.pub", client_request_key_args,
     OPERATOR, cmd_client_request_key},
    {"credential create", "make a key for a person inside the HSM",
     "kyso credential create --subject 079123 --key-type p256 --relying-party gateway",
     credential_create_args, OPERATOR, cmd_credential_create},
    {"credential list", "list a person's credentials, or those whose certificate is about to expire",
     "kyso credential list --expiring 30d", credential_list_args, OPERATOR, cmd_credential_list},
    {"credential show", "show a credential",
     "kyso credential show c1-0123456789abcdef --pem chain.pem", credential_id_args, OPERATOR,
     cmd_credential_show},
    {"credential csr", "make the certificate request, signed by the new key",
     "kyso credential csr c1-0123456789abcdef --dn 'CN=Nguyen Van A,C=VN' --output a.csr",
     credential_csr_args, OPERATOR, cmd_credential_csr},
    {"credential enroll", "enrol many people: keys, requests and sealed seeds; goes on where it stopped",
     "kyso credential enroll --csv people.csv --out enrolled --relying-party gateway --seal-to printer.pem",
     credential_enroll_args, OPERATOR, cmd_credential_enroll},
    {"credential import-cert", "install the certificate: the credential becomes active",
     "kyso credential import-cert c1-0123456789abcdef a.pem --chain ca.pem", credential_import_args,
     OPERATOR, cmd_credential_import},
    {"credential suspend", "refuse signatures for now",
     "kyso credential suspend c1-0123456789abcdef --reason 'phone lost'", credential_state_args,
     OPERATOR, cmd_credential_suspend},
    {"credential resume", "allow signatures again", "kyso credential resume c1-0123456789abcdef",
     credential_state_args, OPERATOR, cmd_credential_resume},
    {"credential revoke", "refuse signatures for good; the key is still to be destroyed",
     "kyso credential revoke c1-0123456789abcdef --reason 'left the company'", credential_state_args,
     OPERATOR, cmd_credential_revoke},
    {"credential destroyed", "list the destroyed keys' blobs, which backups must forget",
     "kyso credential destroyed --since 2026-01-31", credential_destroyed_args, OPERATOR,
     cmd_credential_destroyed},
    {"credential destroy", "destroy the key for good",
     "kyso credential destroy c1-0123456789abcdef --yes", credential_destroy_args, OPERATOR,
     cmd_credential_destroy},
    {"authenticator enroll-totp", "give a person a TOTP code generator",
     "kyso authenticator enroll-totp --subject 079123 --show", totp_args, OPERATOR,
     cmd_authenticator_totp},
    {"authenticator enroll-device", "register a person's device that approves",
     "kyso authenticator enroll-device --subject 079123 --public-key phone.pub --label phone",
     device_args, OPERATOR, cmd_authenticator_device},
    {"authenticator enroll-passkey", "make the link by which a person's browser makes a passkey that approves",
     "kyso authenticator enroll-passkey --subject 079123 --seal-to letters.pem --output link.p7m",
     passkey_args, OPERATOR, cmd_authenticator_passkey},
    {"authenticator confirm", "confirm an authenticator with the code that reached the person",
     "kyso authenticator confirm a1-0123456789abcdef 123456", confirm_args, OPERATOR,
     cmd_authenticator_confirm},
    {"authenticator list", "list a person's authenticators",
     "kyso authenticator list --subject 079123", of_subject_args, OPERATOR, cmd_authenticator_list},
    {"authenticator remove", "remove an authenticator",
     "kyso authenticator remove a1-0123456789abcdef", authenticator_id_args, OPERATOR,
     cmd_authenticator_remove},
    {"sign", "sign files or hashes with a citizen's key, on the citizen's authorization",
     "kyso sign contract.pdf --cms --profile gateway.json --credential c1-0123456789abcdef "
     "--approval",
     sign_args, CLI_USES_CLIENT, cmd_sign},
    {"approve", "play the citizen's device: show the transaction, then approve or reject it",
     "kyso approve --profile approver.json --authenticator a1-0123456789abcdef --device-key "
     "phone.pem --code 42",
     approve_args, CLI_USES_CLIENT, cmd_approve},
    {"status", "how the server is doing", "kyso status --watch", status_args, OPERATOR, cmd_status},
    {"backup", "copy the database while the server serves",
     "kyso backup --output /safe/backup.db", backup_args, OPERATOR, cmd_backup},
    {"ledger show", "show what happened", "kyso ledger show --last 10", ledger_show_args, OPERATOR,
     cmd_ledger_show},
    {"ledger query", "search the ledger by time, person, credential or type",
     "kyso ledger query --since 2026-01-31 --subject 079123 --type denied", ledger_query_args,
     OPERATOR, cmd_ledger_show},
    {"ledger verify", "recompute the ledger's root and check its signed checkpoint",
     "kyso ledger verify --key ledger.pub", ledger_verify_args, OPERATOR, cmd_ledger_verify},
    {"ledger export", "write every record as JSON lines, or as syslog messages",
     "kyso ledger export --output ledger.jsonl", ledger_export_args, OPERATOR, cmd_ledger_export},
    {"health", "ask the gRPC health service", "kyso health --profile gateway.json", health_args,
     CLI_USES_CLIENT, cmd_health},
    {"info", "what the server offers, and who it takes this client for",
     "kyso info --profile gateway.json", none, CLI_USES_CLIENT, cmd_info},
    {"help", "help on a command; the manual page; shell completion", "kyso help client add",
     help_args, 0, cmd_help},
    {NULL, NULL, NULL, NULL, 0, NULL},
};

const struct cli_program cli_program = {
    .name = "kyso",
    .about = "operate a Kyso signing server, and sign with it",
    .example = "kyso sign contract.pdf --profile gateway.json --credential c1-0123456789abcdef "
               "--approval",
    .manual = "Operator commands travel over the operators' Unix socket, each signed by the "
              "operator's own key.\n"
              "Signing commands speak to the relying parties' door over mutual TLS; only hashes "
              "leave this machine.\n",
    .commands = commands,
    .groups = groups,
    .exit_help = {
        [CLI_OK] = "done",
        [CLI_FAILED] = "refused by the server, or failed here",
        [CLI_USAGE] = "the command line is wrong",
        [CLI_UNREACHABLE] = "the server cannot be reached",
        [CLI_UNVERIFIED] = "something did not verify: ledger, checkpoint or transaction",
    },
};
