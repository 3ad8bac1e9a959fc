/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object that asks for its process, as a module's OpenSSL does. */
#include <unistd.h>

pid_t pid_asked(void);

pid_t pid_asked(void)
{
    return getpid();
}
