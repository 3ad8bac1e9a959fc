/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PIN latch. Before a vault gets the PIN a marker is written and synced; a login that
 * succeeds removes it. A marker found at start, or left by a vault that died while
 * logging in, means that a try may already have been counted: nobody logs in again until
 * an operator removes it. So a wrong PIN costs the token one try, however often
 * anything restarts (P11).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor.h"

#define MARKER "login-pending"

/* PKCS#11 s.6.1: return values that say the PIN itself was refused or must not be tried. */
#define CKR_PIN_INCORRECT 0xA0u
#define CKR_PIN_LOCKED 0xA4u
#define CKR_VENDOR_DEFINED 0x80000000u

bool latch_is_pin_error(uint64_t ckr)
{
    /* What a vendor means by a code of its own nobody knows: it may have counted a try. */
    return (ckr >= CKR_PIN_INCORRECT && ckr <= CKR_PIN_LOCKED) || (ckr & CKR_VENDOR_DEFINED) != 0;
}

/* All of it, or KY_INVALID: the token would count a PIN that was cut as a wrong one. */
static struct ky_status read_secret_file(const char *path, struct ky_secret *out)
{
    uint8_t text[KY_SECRET_MAX + 1];
    struct ky_status st = KY_STATUS(KY_OK);
    size_t n = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    do {
        got = read(fd, text + n, sizeof(text) - n);
        if (got > 0)
            n += (size_t)got;
    } while (n < sizeof(text) && (got > 0 || (got < 0 && errno == EINTR)));
    if (got < 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    else if (n == sizeof(text))
        st = KY_STATUS(KY_INVALID);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    if (ky_ok(st) && n == 0)
        st = KY_STATUS(KY_INVALID);
    if (ky_ok(st))
        st = ky_secret_set(out, KY_SPAN(text, n));
    ky_wipe(text, sizeof(text));
    close(fd);
    return st;
}

struct ky_status latch_read_pin(const struct config *c, struct ky_secret *out_pin)
{
    char path[1024];
    const char *credentials;

    if (c->token.pin_file)
        return read_secret_file(c->token.pin_file, out_pin);
    /* systemd.exec(5), LoadCredential=: the folder is private to the service */
    credentials = getenv("CREDENTIALS_DIRECTORY");
    if (!credentials)
        return KY_STATUS_CAUSE(KY_IO, ENOENT);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", credentials, c->token.pin_credential) >=
        sizeof(path))
        return KY_STATUS(KY_INVALID);
    return read_secret_file(path, out_pin);
}

static bool marker_path(const struct config *c, char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "%s/%s", c->state_dir, MARKER) < cap;
}

struct ky_status latch_arm(const struct config *c, const char *who)
{
    char path[1024];
    struct ky_status st = KY_STATUS(KY_OK);
    int fd, dir;

    if (!marker_path(c, path, sizeof(path)))
        return KY_STATUS(KY_INVALID);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dir = open(c->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || dir < 0 || dprintf(fd, "%s\n", who) < 0 || fsync(fd) != 0 || fsync(dir) != 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return st;
}

void latch_disarm(const struct config *c)
{
    char path[1024];

    if (marker_path(c, path, sizeof(path)))
        (void)unlink(path); /* a marker that stays closes the latch: the safe side */
}

bool latch_is_armed(const struct config *c, char *out_reason, size_t cap)
{
    char path[1024];
    ssize_t n = 0;
    int fd;

    if (!marker_path(c, path, sizeof(path)))
        return true;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return false;
    if (fd >= 0) {
        n = read(fd, out_reason, cap - 1);
        close(fd);
    }
    out_reason[n > 0 ? n : 0] = '\0';
    out_reason[strcspn(out_reason, "\n")] = '\0';
    return true;
}
