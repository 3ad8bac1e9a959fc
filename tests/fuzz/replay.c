/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a target over files, without libFuzzer: a corpus is an ordinary test of every build.
 * Each input stands alone on the heap at its exact size, so that a read past its end is seen.
 */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

static size_t ran;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "re");
    uint8_t *data = NULL;
    long size = -1;

    if (f != NULL && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0) {
        rewind(f);
        data = malloc(size > 0 ? (size_t)size : 1);
    }
    if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    ran++;
}

static void run_folder(const char *path, DIR *d)
{
    char file[4096];

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >= (int)sizeof(file))
            exit(1);
        run_file(file);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);

        if (d != NULL)
            run_folder(argv[i], d);
        else
            run_file(argv[i]);
    }
    printf("%zu inputs\n", ran);
    return ran > 0 ? 0 : 1;
}
