/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYSO_VAULT_PID_H
#define KYSO_VAULT_PID_H

/* From now on getpid() costs no system call in this process, shared objects included. It forgets in the child of a fork(). */
void pid_remember(void);

#endif
