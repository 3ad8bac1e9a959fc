/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain lines to and from the people in the room. Shares are typed visibly, on purpose: a person
 * compares them with their paper; the screen and its scrollback are cleared afterwards. What is typed
 * goes from read(2) into a locked page; no buffer of stdio's holds it.
 */
#ifndef CEREMONY_TERMINAL_H
#define CEREMONY_TERMINAL_H

#include "kyso/secret.h"

/* False, having said why, unless standard input and output are a terminal. Also makes output unbuffered. */
bool terminal_open(void);
void terminal_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void terminal_clear(void);
void terminal_show(const struct ky_secret *line); /* one line that must not stay */
void terminal_qr(const struct ky_secret *text);   /* the same as a code */
/* One typed line. False: the terminal is gone, or Ctrl-D. */
bool terminal_ask(const char *prompt, struct ky_secret *out);
bool terminal_pause(const char *prompt); /* waits for Enter */

#endif
