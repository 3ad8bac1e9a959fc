/* SPDX-License-Identifier: Apache-2.0 */
/* A step each 20 ms, synced as it goes: no turn waits for a disk that has a whole database to write. */
#include "backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "authority_private.h"

#define STEP_EACH_US 20000u
#define STEP_PAGES   128 /* half a megabyte */

static void path_of(const struct authority *a, const char *name, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s", a->config->state_dir, name);
}

static void end(struct authority *a, const char *how)
{
    char path[4096];

    store_backup_end(&a->backup.copy);
    path_of(a, "backup.db.new", path, sizeof(path));
    (void)unlink(path); /* there only when it failed */
    (void)snprintf(a->backup.last, sizeof(a->backup.last), "%s", how);
}

struct ky_status authority_backup(struct authority *a)
{
    char path[4096];

    if (a->backup.copy != NULL)
        return KY_STATUS(KY_CONFLICT);
    path_of(a, "backup.db.new", path, sizeof(path));
    a->backup.percent = 0;
    struct ky_status status = store_backup_begin(a->store, path, &a->backup.copy);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "backup", LOG_CODE(status), LOG_STR("state", "cannot begin"));
        end(a, "failed: the copy cannot be begun; see the server's log");
    }
    return status;
}

/* First the note, then the copy: a copy that has its name has its note. */
static bool put_in_place(struct authority *a)
{
    char from[4096], to[4096];

    path_of(a, "backup.checkpoint", to, sizeof(to));
    if (a->side.checkpoint.len == 0 || !ledger_publish(to, ky_buf_span(&a->side.checkpoint)))
        return false;
    path_of(a, "backup.db.new", from, sizeof(from));
    path_of(a, "backup.db", to, sizeof(to));
    if (rename(from, to) != 0)
        return false;
    int folder = open(a->config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool kept = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0)
        (void)close(folder);
    return kept;
}

static void finish(struct authority *a)
{
    char text[96];

    store_backup_end(&a->backup.copy);
    if (!put_in_place(a)) {
        log_event(LOG_ERROR, "backup", LOG_STR("state", "cannot be put in place"));
        end(a, "failed: the copy cannot be put in place; is there a checkpoint yet?");
        return;
    }
    (void)snprintf(text, sizeof(text), "done, %llu records, under a checkpoint of %llu",
                   (unsigned long long)store_ledger_size(a->store), (unsigned long long)a->side.published_size);
    log_event(LOG_INFO, "backup", LOG_U64("size", store_ledger_size(a->store)));
    end(a, text);
}

void backup_tick(struct authority *a)
{
    struct backup *b = &a->backup;
    bool done = false;

    if (b->copy == NULL || a->mono_us - b->stepped_us < STEP_EACH_US)
        return;
    b->stepped_us = a->mono_us;
    struct ky_status status = store_backup_step(b->copy, STEP_PAGES, &done, &b->percent);
    if (!ky_ok(status)) {
        log_event(LOG_ERROR, "backup", LOG_CODE(status), LOG_STR("state", "cannot be written"));
        end(a, "failed: the copy cannot be written; is there room on the disk?");
    } else if (done) {
        finish(a);
    }
}

void backup_abandon(struct authority *a)
{
    if (a->backup.copy != NULL)
        end(a, "failed: the server was stopped");
}

void backup_describe(const struct authority *a, char out[96])
{
    if (a->backup.copy != NULL)
        (void)snprintf(out, 96, "copying, %u %%", a->backup.percent);
    else
        (void)snprintf(out, 96, "%s", a->backup.last);
}
