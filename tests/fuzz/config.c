/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: any text is refused with a reason or taken with every option within its
 * bounds, and what one role reads of it another reads too. Input: the text.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"

static void check_taken(const struct config *c)
{
    FUZZ_CHECK(ky_span_is_name(ky_span_text(c->server_id), 64));
    FUZZ_CHECK(c->state_dir[0] == '/' && c->token.module[0] == '/' && c->tls.key[0] == '/');
    FUZZ_CHECK((c->token.pin_file != NULL) + (c->token.pin_credential != NULL) + (c->token.custodian_socket != NULL) == 1);
    FUZZ_CHECK(strstr(c->token.uri, "pin-value") == NULL);
    FUZZ_CHECK(c->limits.queue > 0 && c->limits.max_hashes > 0 && c->limits.heartbeat_ms >= 50);
    FUZZ_CHECK(c->doors.max_connections > 0 && c->doors.max_connections <= 65536);
    FUZZ_CHECK(c->doors.signer_fronts > 0 && c->doors.signer_fronts <= 64);
    FUZZ_CHECK(c->policy.totp_window > 0 && c->policy.totp_window <= 10);
    FUZZ_CHECK(c->policy.lock_total >= c->policy.lock_tries && c->token.vaults <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct config *c = NULL;
    char *why = NULL;

    if (fd < 0)
        FUZZ_CHECK((fd = memfd_create("config", MFD_CLOEXEC)) >= 0);
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (ky_ok(config_load_fd(fd, &c, &why)))
        check_taken(c);
    else
        FUZZ_CHECK(c == NULL && why != NULL && why[0] != '\0');
    free(why);
    config_free(&c);
    return 0;
}
