/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kyso command's reading: its arguments, hex, and exported ledgers. Input: which; words, each
 * ended by a line feed; or the text of an export. What is parsed fits the table; an export gives
 * whole leaves in order or is refused.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "fuzz.h"
#include "kyso/ledger.h"
#include "ledger_source.h"

#define WORDS_MAX 600

static void check_parsed(const struct cli *cli)
{
    FUZZ_CHECK(cli->command != NULL && cli->count <= CLI_VALUES_MAX);
    for (size_t i = 0; i < cli->count; i++) {
        const struct cli_arg *a = cli->values[i].arg;

        FUZZ_CHECK((cli->values[i].text == NULL) == (a->kind == CLI_FLAG));
        FUZZ_CHECK(a->kind != CLI_NUMBER || cli_number(cli, a->name, 0) <= 999999999u);
        FUZZ_CHECK(a->kind != CLI_CHOICE || cli_choice(cli, a->name, 0) > 0);
        FUZZ_CHECK(cli_has(cli, a->name));
    }
}

static void words(struct cli *cli, struct ky_span text)
{
    char *argv[WORDS_MAX + 1] = {0};
    char *line = malloc(text.len + 1), *at = line;
    int argc = 0;

    FUZZ_CHECK(line != NULL);
    if (text.len > 0)
        memcpy(line, text.data, text.len);
    line[text.len] = '\0';
    while (at != NULL && *at != '\0' && argc < WORDS_MAX) {
        argv[argc++] = at;
        at = strchr(at, '\n');
        if (at != NULL)
            *at++ = '\0';
    }
    if (options_parse(cli, argc, argv) == CLI_OK && !cli->help)
        check_parsed(cli);
    free(line);
}

static void hex(struct ky_span text)
{
    char s[80];
    uint8_t bytes[32];
    int n = -1;

    if (!ky_span_to_cstr(text, s, sizeof(s)) || (n = cli_hex(s, bytes, sizeof(bytes))) < 0)
        return;
    FUZZ_CHECK((size_t)n == strlen(s) / 2 && strspn(s, "0123456789abcdefABCDEF") == strlen(s));
}

static int visit(void *arg, uint64_t index, struct ky_span leaf, struct ky_span private_data)
{
    (void)index;
    FUZZ_CHECK(leaf.len <= LEDGER_LEAF_MAX && private_data.len == 0);
    ++*(uint64_t *)arg;
    return CLI_OK;
}

static void export(struct cli *cli, struct ky_span text)
{
    static int fd = -1;
    char path[32];
    struct ledger_tail tail;
    uint64_t leaves = 0;

    if (fd < 0)
        FUZZ_CHECK((fd = memfd_create("export", 0)) >= 0);
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text.data, text.len, 0) == (ssize_t)text.len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ledger_tail_init(&tail);
    if (ledger_file_tail(cli, path, &tail) == CLI_OK &&
        ledger_file_read(cli, path, visit, &leaves) == CLI_OK)
        FUZZ_CHECK(leaves == tail.size);
    ledger_tail_wipe(&tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static struct cli cli;
    struct ky_reader r = ky_reader(KY_SPAN(data, size));
    uint8_t what = ky_get_u8(&r);

    if (nowhere == NULL)
        FUZZ_CHECK((nowhere = fopen("/dev/null", "we")) != NULL);
    cli.program = &cli_program;
    cli.out = cli.err = nowhere;
    cli.count = 0;
    cli.json = cli.help = false;
    if (what % 4 == 0)
        hex(fuzz_rest(&r));
    else if (what % 4 == 1)
        export(&cli, fuzz_rest(&r));
    else
        words(&cli, fuzz_rest(&r));
    return 0;
}
