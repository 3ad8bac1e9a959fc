/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a database as SQLite names them. Every function fails the test by itself. */
#include "db_files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_MAX ((size_t)64 * 1024 * 1024)

static const char *const suffixes[DB_FILES] = {
    [DB_MAIN] = "", [DB_WAL] = "-wal", [DB_JOURNAL] = "-journal"};

void db_files_init(struct db_files *d)
{
    for (int f = 0; f < DB_FILES; f++) {
        d->of[f] = KY_BUF_INIT(FILE_MAX);
    }
}

void db_files_free(struct db_files *d)
{
    for (int f = 0; f < DB_FILES; f++) {
        ky_buf_free(&d->of[f]);
    }
}

void db_files_copy(struct db_files *to, const struct db_files *from)
{
    for (int f = 0; f < DB_FILES; f++) {
        to->of[f].len = 0;
        ky_buf_put(&to->of[f], from->of[f].data, from->of[f].len);
    }
}

static void name_file(const char *path, int file, char out[256])
{
    int n = snprintf(out, 256, "%s%s", path, suffixes[file]);
    assert_in_range(n, 1, 255);
}

void db_files_load(struct db_files *d, const char *path)
{
    uint8_t block[65536];
    char name[256];
    for (int f = 0; f < DB_FILES; f++) {
        ssize_t n = 0;
        d->of[f].len = 0;
        name_file(path, f, name);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0) {
            ky_buf_put(&d->of[f], block, (size_t)n);
        }
        assert_true(n == 0 && (fd < 0 || close(fd) == 0));
    }
}

void db_files_save(const struct db_files *d, const char *path)
{
    char name[256];
    for (int f = 0; f < DB_FILES; f++) {
        name_file(path, f, name);
        (void)unlink(name);
        if (d->of[f].len > 0) {
            int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
            assert_true(fd >= 0);
            assert_int_equal(d->of[f].len, write(fd, d->of[f].data, d->of[f].len));
            assert_int_equal(0, close(fd));
        }
    }
}

enum db_file db_file_of(const char *name)
{
    for (int f = DB_WAL; f < DB_FILES; f++) {
        size_t n = strlen(name), s = strlen(suffixes[f]);
        if (n > s && strcmp(name + n - s, suffixes[f]) == 0) {
            return (enum db_file)f;
        }
    }
    return DB_MAIN;
}
