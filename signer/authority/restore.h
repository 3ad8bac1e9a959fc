/* SPDX-License-Identifier: Apache-2.0 */
/* A backup becomes the database of a state that has none; kysod --restore starts it with the right user and descriptors. */
#ifndef KYSO_RESTORE_H
#define KYSO_RESTORE_H

/* The copy is read from standard input, the signed checkpoint from RESTORE_NOTE_FD. Returns the exit status; says why on stderr. */
enum { RESTORE_NOTE_FD = 3 };
int restore_run(const char *database);

#endif
