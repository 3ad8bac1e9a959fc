/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The failing and telling VFS. It keeps SQLite's own file object behind a head of ours and passes
 * every call on.
 */
#include "fault_vfs.h"

#include <stddef.h>
#include <string.h>

#include <sqlite3.h>

struct faulty_file {
    sqlite3_file base; /* first: SQLite sees this */
    sqlite3_file *real;
    const char *name; /* SQLite's, as long as the file is open */
};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods;
    enum fault_kind kind;
    unsigned left;
    bool fired;
    fault_seen_fn seen;
    void *context;
} fault;

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct faulty_file *)f)->real;
}

static bool strikes(bool of_sync)
{
    if (fault.left == 0 || (fault.kind == FAULT_SYNC) != of_sync) {
        return false;
    }
    fault.left--;
    fault.fired = fault.left == 0;
    return fault.fired;
}

/*
 * A sync that is only told of costs nothing: what a power cut leaves is then for the watcher to
 * say.
 */
static bool tell(struct fault_op op)
{
    if (fault.seen != NULL) {
        fault.seen(fault.context, &op);
    }
    return fault.seen != NULL;
}

static const char *name_of(const sqlite3_file *f)
{
    return ((const struct faulty_file *)f)->name;
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (!strikes(false)) {
        (void)tell((struct fault_op){FAULT_OP_WRITE, name_of(f), (size_t)at, p, (size_t)n});
        return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
    }
    if (fault.kind == FAULT_SHORT) {
        (void)real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
    }
    return fault.kind == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int f_sync(sqlite3_file *f, int flags)
{
    if (strikes(true)) {
        return SQLITE_IOERR_FSYNC;
    }
    return tell((struct fault_op){.kind = FAULT_OP_SYNC, .file = name_of(f)})
               ? SQLITE_OK
               : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int f_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    (void)tell((struct fault_op){FAULT_OP_TRUNCATE, name_of(f), (size_t)size, NULL, 0});
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int f_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int v_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                  int *out_flags)
{
    struct faulty_file *file = (struct faulty_file *)f;
    (void)vfs;
    file->real = (sqlite3_file *)(file + 1);
    file->name = name;
    int rc = fault.real->xOpen(fault.real, name, file->real, flags, out_flags);
    file->base.pMethods = file->real->pMethods == NULL ? NULL : &fault.methods;
    return rc;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    (void)tell((struct fault_op){.kind = FAULT_OP_DELETE, .file = name});
    return fault.real->xDelete(fault.real, name, sync_folder);
}

void fault_install(void)
{
    fault.real = sqlite3_vfs_find(NULL);
    fault.vfs = *fault.real; /* the rest goes straight to the real one */
    fault.vfs.pNext = NULL;
    fault.vfs.zName = "faulty";
    fault.vfs.szOsFile = (int)sizeof(struct faulty_file) + fault.real->szOsFile;
    fault.vfs.xOpen = v_open;
    fault.vfs.xDelete = v_delete;
    fault.methods = (sqlite3_io_methods){
        .iVersion = 1, /* no shared memory, no mapping: the store may use neither */
        .xClose = f_close,
        .xRead = f_read,
        .xWrite = f_write,
        .xTruncate = f_truncate,
        .xSync = f_sync,
        .xFileSize = f_size,
        .xLock = f_lock,
        .xUnlock = f_unlock,
        .xCheckReservedLock = f_reserved,
        .xFileControl = f_control,
        .xSectorSize = f_sector,
        .xDeviceCharacteristics = f_device,
    };
    (void)sqlite3_vfs_register(&fault.vfs, 1);
}

void fault_arm(enum fault_kind kind, unsigned n)
{
    fault.kind = kind;
    fault.left = n;
    fault.fired = false;
}

bool fault_fired(void)
{
    return fault.fired;
}

void fault_watch(fault_seen_fn seen, void *context)
{
    fault.seen = seen;
    fault.context = context;
}
