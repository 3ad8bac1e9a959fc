/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: read within a limit, written whole under a temporary name, hashed as a stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "command.h"
#include "kyso/alg.h"

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

struct ky_status file_read(const char *path, size_t max, struct ky_buf *out)
{
    uint8_t chunk[4096];
    struct ky_status st = KY_STATUS(KY_OK);
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && out->len + (size_t)n <= max)
        ky_buf_put(out, chunk, (size_t)n);
    if (n < 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    else if (n > 0 || out->failed)
        st = KY_STATUS_CAUSE(KY_IO, EFBIG);
    ky_wipe(chunk, sizeof chunk);
    (void)close(fd);
    return st;
}

static bool write_all(int fd, struct ky_span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.data += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

struct ky_status file_write(const char *path, struct ky_span bytes, unsigned mode)
{
    char temporary[PATH_MAX];
    int fd;
    bool ok;
    int error;

    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return KY_STATUS_CAUSE(KY_IO, ENAMETOOLONG);
    fd = mkostemp(temporary, O_CLOEXEC); /* born 0600 */
    if (fd < 0)
        return KY_STATUS_CAUSE(KY_IO, errno);
    ok = write_all(fd, bytes) && fchmod(fd, (mode_t)mode) == 0 && fsync(fd) == 0;
    error = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (ok && rename(temporary, path) == 0)
        return KY_STATUS(KY_OK);
    error = ok ? errno : error;
    (void)unlink(temporary);
    return KY_STATUS_CAUSE(KY_IO, error);
}

static bool digest_fd(int fd, EVP_MD_CTX *md)
{
    uint8_t chunk[65536];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || EVP_DigestUpdate(md, chunk, (size_t)n) != 1)
            return false;
    }
    return true;
}

struct ky_status file_digest(const char *path, uint8_t hash, uint8_t out[64])
{
    struct ky_status st = KY_STATUS(KY_INTERNAL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool standard_input = strcmp(path, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    const char *name = ky_hash_name(hash);

    if (fd < 0)
        st = KY_STATUS_CAUSE(KY_IO, errno);
    else if (md != NULL && name != NULL &&
             EVP_DigestInit_ex(md, EVP_get_digestbyname(name), NULL) == 1) {
        if (!digest_fd(fd, md))
            st = KY_STATUS_CAUSE(KY_IO, errno);
        else if (EVP_DigestFinal_ex(md, out, NULL) == 1)
            st = KY_STATUS(KY_OK);
    }
    if (fd >= 0 && !standard_input)
        (void)close(fd);
    EVP_MD_CTX_free(md);
    return st;
}
