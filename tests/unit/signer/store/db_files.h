/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database's files in memory: read, changed, put back, so that a test starts from them again. One
 * thread.
 */
#ifndef KYSO_DB_FILES_H
#define KYSO_DB_FILES_H

#include "kyso/span.h"

enum db_file { DB_MAIN, DB_WAL, DB_JOURNAL, DB_FILES };

struct db_files { /* the files' bytes; an empty file and none are the same */
    struct ky_buf of[DB_FILES];
};
void db_files_init(struct db_files *d);
void db_files_free(struct db_files *d);
void db_files_copy(struct db_files *to, const struct db_files *from);
/* `path` is the database's; these fail the test by themselves. */
void db_files_load(struct db_files *d, const char *path);
void db_files_save(const struct db_files *d, const char *path);
enum db_file db_file_of(const char *name); /* by its end */

#endif
