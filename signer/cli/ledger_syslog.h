/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger record as a syslog message, RFC 5424, for collectors that read nothing else. */
#ifndef KYSO_CLI_LEDGER_SYSLOG_H
#define KYSO_CLI_LEDGER_SYSLOG_H

#include <stdio.h>

#include "ledger_source.h"

/*
 * One line: facility 13 (log audit), MSGID the record's type, every field as a parameter of the structured data.
 *   record  as ledger_leaf_to_json() makes it
 *   host    the server's name; what is not printable ASCII becomes "-"
 */
void ledger_syslog_record(FILE *out, const json_t *record, struct ky_span host);
/* The last line: the signed checkpoint and the ledger's key, in base64. */
void ledger_syslog_tail(FILE *out, const struct ledger_tail *t, struct ky_span host);

#endif
