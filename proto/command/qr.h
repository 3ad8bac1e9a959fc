/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYSO_CLI_QR_H
#define KYSO_CLI_QR_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Draws the text as a QR code of UTF-8 half blocks with its quiet zone, two modules to a character
 * cell. ink: set black on white by escape codes (a terminal); without, blocks are the light
 * modules. false: the text is too long.
 */
bool qr_draw(FILE *out, const char *text, bool ink);

#endif
