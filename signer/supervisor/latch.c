/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PIN latch (P11). Before a vault gets the PIN a marker is written and synced; a login that succeeds
 * removes it. It stays, and nobody logs in again until an operator removes it, when it is found at start,
 * when a vault dies while logging in, when C_Login fails with any value that may follow a look at the PIN,
 * and when it is the third in a row to fail with any value. So between two acts of an operator a token
 * counts at most one wrong PIN, and sees at most three failed logins, however often anything restarts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor.h"

#define MARKER       "login-pending"
#define FAILURES     "login-failures" /* a byte for each C_Login that failed since one succeeded */
#define FAILURES_MAX 3

/*
 * PKCS#11 s.6.1: what C_Login says of the token or the session instead of looking at the PIN. Anything else, a general
 * or a device error and what a vendor made up too, may come after the token has counted a try.
 */
static const uint64_t not_looked_at[] = {
    0x32, /* CKR_DEVICE_REMOVED */
    0xB0, /* CKR_SESSION_CLOSED */
    0xB1, /* CKR_SESSION_COUNT */
    0xB3, /* CKR_SESSION_HANDLE_INVALID */
    0xB8, /* CKR_SESSION_READ_WRITE_SO_EXISTS */
    0xE0, /* CKR_TOKEN_NOT_PRESENT */
};

static bool may_have_looked(uint64_t ckr)
{
    for (size_t i = 0; i < sizeof(not_looked_at) / sizeof(not_looked_at[0]); i++)
        if (ckr == not_looked_at[i])
            return false;
    return true;
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

static bool path_of(const struct config *c, const char *name, char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "%s/%s", c->state_dir, name) < cap;
}

/*
 * One more line in a file of the state's folder, durable together with its name. Returns the file's size; 0 = it failed.
 * The authority can make files there: a link that it made is not followed, a file that is its own not counted in.
 */
static off_t write_line(const struct config *c, const char *name, int flags, const char *text)
{
    char path[1024];
    struct stat info = { .st_size = 0 };
    int fd, dir;

    if (!path_of(c, name, path, sizeof(path)))
        return 0;
    fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    dir = open(c->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || dir < 0 || fstat(fd, &info) != 0 || info.st_nlink != 1 || info.st_uid != geteuid() ||
        dprintf(fd, "%s\n", text) < 0 || fsync(fd) != 0 || fsync(dir) != 0 || fstat(fd, &info) != 0)
        info.st_size = 0;
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return info.st_size;
}

static void remove_file(const struct config *c, const char *name)
{
    char path[1024];

    if (path_of(c, name, path, sizeof(path)))
        (void)unlink(path); /* one that stays closes the latch, now or sooner: the safe side */
}

struct ky_status latch_arm(const struct config *c, const char *who)
{
    remove_file(c, MARKER);
    return write_line(c, MARKER, O_EXCL, who) > 0 ? KY_STATUS(KY_OK) : KY_STATUS_CAUSE(KY_IO, errno);
}

void latch_disarm(const struct config *c)
{
    remove_file(c, MARKER);
}

void latch_reset(const struct config *c)
{
    remove_file(c, FAILURES);
    remove_file(c, MARKER);
}

const char *latch_login_failed(const struct config *c, uint64_t ckr)
{
    off_t failures;

    if (ckr != LATCH_NOT_TRIED) {
        if (may_have_looked(ckr))
            return "the token refused the PIN, or may have counted it";
        failures = write_line(c, FAILURES, O_APPEND, "");
        if (failures == 0 || failures >= FAILURES_MAX)
            return "too many logins in a row failed";
    }
    latch_disarm(c);
    return NULL;
}

bool latch_is_armed(const struct config *c, char *out_reason, size_t cap)
{
    char path[1024];
    ssize_t n = 0;
    int fd;

    if (!path_of(c, MARKER, path, sizeof(path)))
        return true;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
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
