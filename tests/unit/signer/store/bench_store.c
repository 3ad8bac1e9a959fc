/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of the store alone, one connection on one thread, on the disk of the folder that is
 * named: leaves appended per second by batch size (each batch one commit with its sync), rows read
 * per second out of 100 000 by random number, and the time a start takes to prove its tail. Not a
 * test: usage bench_store [FOLDER].
 */
#include "store_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS       100000u
#define READS      200000u
#define LEAF_BYTES 300u

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A receipt whose leaf is LEAF_BYTES long. */
static struct ky_status append(struct bench *b, const uint8_t *signature, size_t len)
{
    struct ledger_receipt r = {
        .outcome = LEDGER_SIGNED, .sig_len = 64, .signatures = KY_SPAN(signature, len)};
    return store_append(b->store, &ledger_receipt_schema, &r, 1767225600000000u, KY_SPAN(NULL, 0),
                        NULL);
}

static void bench_append(struct bench *b, uint32_t batch)
{
    static const uint8_t signature[LEAF_BYTES - LEDGER_LEAF_HEADER - 21u] = {1};
    uint32_t leaves = batch < 16 ? 4000 : 400000;
    double wall = now_s();
    double cpu = cpu_s();
    for (uint32_t i = 0; i < leaves; i++) {
        OK(append(b, signature, sizeof(signature)));
        if ((i + 1) % batch == 0) {
            OK(store_commit(b->store));
        }
    }
    OK(store_commit(b->store));
    wall = now_s() - wall;
    cpu = cpu_s() - cpu;
    printf("append  batch %4" PRIu32 "  %9.0f leaves/s  %7.0f commits/s  %5.2f us cpu/leaf\n",
           batch, leaves / wall, leaves / batch / wall, cpu * 1e6 / leaves);
}

static void bench_rows(struct bench *b)
{
    static const uint8_t key[91] = {2};
    static const uint8_t blob[200] = {3};
    static const uint8_t certificate[900] = {4};
    struct row_credential c = {.credential_id = ky_span_text("c1-0123456789abcdef"),
                               .subject_row = 1,
                               .blob = KY_SPAN_OF(blob),
                               .public_key = KY_SPAN_OF(key),
                               .certificate = KY_SPAN_OF(certificate)};
    uint32_t seed = 1;
    double wall = now_s();
    for (uint32_t i = 0; i < ROWS; i++) {
        OK(store_row_put(b->store, ROW_CREDENTIAL, 0, &c, 0, 1, NULL));
        if (i % 256 == 255) {
            OK(store_commit(b->store));
        }
    }
    OK(store_commit(b->store));
    wall = now_s() - wall;
    printf("put     %" PRIu32 " credential rows of 1.3 kB, batch 256  %5.2f us each\n", ROWS,
           wall * 1e6 / ROWS);
    wall = now_s();
    for (uint32_t i = 0; i < READS; i++) {
        seed = seed * 1664525u + 1013904223u;
        OK(store_row_get(b->store, ROW_CREDENTIAL, 1 + (uint32_t)((uint64_t)seed * ROWS >> 32),
                         &c));
    }
    wall = now_s() - wall;
    printf("get     random one of %" PRIu32 "  %5.2f us each\n", ROWS, wall * 1e6 / READS);
}

static void bench_restart(struct bench *b)
{
    uint64_t size = store_ledger_size(b->store);
    bench_close(b);
    double wall = now_s();
    OK(bench_start(b));
    wall = now_s() - wall;
    printf("start   without a snapshot, %" PRIu64 " leaves  %.2f s\n", size, wall);
    OK(store_snapshot_write(b->store, ky_span_text("state")));
    bench_close(b);
    wall = now_s();
    OK(bench_start(b));
    wall = now_s() - wall;
    printf("start   from a snapshot at the head  %.1f ms\n", wall * 1e3);
    wall = now_s();
    OK(store_ledger_check(b->store));
    printf("check   %" PRIu64 " leaves  %.2f s\n", size, now_s() - wall);
}

int main(int argc, char **argv)
{
    static const uint32_t batches[] = {1, 16, 64, 256};
    void *state = NULL;
    if (argc > 1) {
        (void)setenv("TMPDIR", argv[1], 1);
    }
    (void)bench_setup(&state);
    struct bench *b = state;
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
        bench_append(b, batches[i]);
    }
    bench_rows(b);
    bench_restart(b);
    return bench_teardown(&state);
}
