/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYSO_CLI_LEDGER_WORDS_H
#define KYSO_CLI_LEDGER_WORDS_H

/*
 * The word for a number in a ledger record, for people: ("denied", "reason", 17) is
 * "proof-replayed". NULL: it is a plain number.
 */
const char *ledger_word(const char *type, const char *field, long long value);

#endif
