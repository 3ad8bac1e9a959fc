/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the tests of the command and of its client: a temporary folder, and the grpcio
 * double as a child that ends when its standard input closes.
 */
#ifndef KYSO_TEST_CLI_FIXTURE_H
#define KYSO_TEST_CLI_FIXTURE_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

struct fixture {
    char dir[64]; /* owned: removed by fixture_stop */
    pid_t pid;    /* of the double; 0 = none */
    int input;    /* its standard input */
    json_t *double_says;
};

int fixture_dir(struct fixture *f);    /* 0 on success */
int fixture_double(struct fixture *f); /* starts the double, reads what it says */
void fixture_stop(struct fixture *f);
/* Of a cmocka group that needs only the folder. */
int fixture_group_setup(void **state);
int fixture_group_teardown(void **state);
const char *fixture_text(const struct fixture *f, const char *key);
/* Runs a program found by PATH, output discarded; its exit status. */
int fixture_run(const char *const *argv);

#endif
