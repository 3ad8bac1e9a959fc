/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: defaults are those that the example file promises, and what cannot be meant is
 * refused by the option's name before anything starts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

/* What has no default. Each may be left out by its line, to see that it is missed. */
static const char *const needed[] = {
    "server_id: sign.example.vn\n",
    "state_dir: /var/lib/kyso\n",
    "tls: {certificate: /c.pem, key: /k.pem, client_ca: /ca.pem}\n",
};
#define TOKEN "token: {module: /lib/p11.so, uri: 'pkcs11:token=kyso', pin_file: /pin}\n"

static struct ky_status load(const char *text, struct config **out, char **out_error)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    struct ky_status st;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    st = config_load_fd(fd, out, out_error);
    close(fd);
    return st;
}

static void join(char *text, size_t cap, const char *token, const char *more)
{
    (void)snprintf(text, cap, "%s%s%s%s%s", needed[0], needed[1], needed[2], token, more);
}

/* The line's value in brackets, for one option of the example file. */
static void promised(const char *option, char *out, size_t cap)
{
    FILE *f = fopen(KYSO_EXAMPLE, "re");
    char line[512];
    size_t n = strlen(option);

    assert_non_null(f);
    *out = '\0';
    while (fgets(line, sizeof(line), f)) {
        const char *at = line + strspn(line, " ");
        const char *open = strchr(line, '[');
        if (strncmp(at, option, n) == 0 && at[n] == ':' && open)
            (void)snprintf(out, cap, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
    }
    fclose(f);
}

/* clang-format off */
#define MEMBER(option, m) { option, offsetof(struct config, m), sizeof(((struct config *)0)->m) }
/* clang-format on */

static const struct {
    const char *option;
    size_t offset, size; /* of a bool or a uint32_t */
} numbers[] = {
    MEMBER("demo", demo),
    MEMBER("signer_fronts", doors.signer_fronts),
    MEMBER("max_connections", doors.max_connections),
    MEMBER("max_streams", doors.max_streams),
    MEMBER("max_connection_age_s", doors.max_connection_age_s),
    MEMBER("vaults", token.vaults),
    MEMBER("sessions", token.sessions),
    MEMBER("cache_keys", token.cache_keys),
    MEMBER("recycle_after", token.recycle_after),
    MEMBER("serialize", token.serialize),
    MEMBER("unrestricted_keys", token.unrestricted_keys),
    MEMBER("software_tuning", token.software_tuning),
    MEMBER("queue", limits.queue),
    MEMBER("per_client", limits.per_client),
    MEMBER("max_hashes", limits.max_hashes),
    MEMBER("start_deadline_ms", limits.start_deadline_ms),
    MEMBER("sign_deadline_ms", limits.sign_deadline_ms),
    MEMBER("generate_deadline_ms", limits.generate_deadline_ms),
    MEMBER("replay_window_s", limits.replay_window_s),
    MEMBER("replay_requests", limits.replay_requests),
    MEMBER("pending_ttl_s", limits.pending_ttl_s),
    MEMBER("heartbeat_ms", limits.heartbeat_ms),
    MEMBER("totp_window", policy.totp_window),
    MEMBER("lock_tries", policy.lock_tries),
    MEMBER("lock_first_s", policy.lock_first_s),
    MEMBER("lock_max_s", policy.lock_max_s),
    MEMBER("lock_total", policy.lock_total),
    MEMBER("client_failures_per_minute", policy.client_failures_per_minute),
    MEMBER("client_failure_percent", policy.client_failure_percent),
    MEMBER("spray_clients", policy.spray_clients),
    MEMBER("spray_window_s", policy.spray_window_s),
    MEMBER("begins_per_5min", policy.begins_per_5min),
    MEMBER("checkpoint_interval_s", ledger.checkpoint_interval_s),
    MEMBER("anchor_interval_ms", ledger.anchor_interval_ms),
    MEMBER("anchor_records", ledger.anchor_records),
};

static void check_number(const struct config *c, size_t row)
{
    const uint8_t *at = (const uint8_t *)c + numbers[row].offset;
    char want[64], have[16];
    uint32_t value = 0;

    memcpy(&value, at, numbers[row].size);
    if (numbers[row].size == sizeof(bool))
        (void)snprintf(have, sizeof(have), "%s", value ? "true" : "false");
    else
        (void)snprintf(have, sizeof(have), "%u", value);
    promised(numbers[row].option, want, sizeof(want));
    if (strcmp(want, have) != 0)
        fail_msg("%s: the example promises \"%s\", it is %s", numbers[row].option, want, have);
}

static void check_text(const char *option, const char *is)
{
    char want[64];

    promised(option, want, sizeof(want));
    assert_string_equal(is, want);
}

static void test_defaults_are_those_of_the_example(void **state)
{
    (void)state;
    char text[1024];
    char *error = NULL;
    struct config *c = NULL;

    join(text, sizeof(text), TOKEN, "");
    assert_int_equal(load(text, &c, &error).code, KY_OK);
    for (size_t i = 0; i < ROWS(numbers); i++)
        check_number(c, i);
    check_text("signer_listen", c->doors.signer_listen);
    check_text("verify", c->token.verify);
    check_text("log_format", c->log_format);
    check_text("log_level", c->log_level);
    assert_string_equal(c->doors.operator_socket, "/var/lib/kyso/run/operator.sock");
    assert_string_equal(c->ledger.checkpoint_file, "/var/lib/kyso/checkpoint");
    assert_null(c->doors.approver_listen); /* closed */
    config_free(&c);
    assert_null(c);
}

static void test_the_example_loads(void **state)
{
    (void)state;
    char *error = NULL;
    struct config *c = NULL;

    if (config_load_file(KYSO_EXAMPLE, &c, &error).code != KY_OK)
        fail_msg("%s", error);
    config_free(&c);
    assert_int_equal(config_load_file("/nowhere/kyso.yaml", &c, &error).code, KY_IO);
    assert_non_null(strstr(error, "/nowhere/kyso.yaml"));
    free(error);
}

/* `says` must stand in the message: an operator who reads it knows where to look. */
static const struct {
    const char *token; /* NULL: TOKEN */
    const char *more;
    const char *says;
} refused[] = {
    {NULL, "limit: {queue: 1}\n", "limit"},
    {NULL, "limits: {queues: 1}\n", "queues"},
    {NULL, "limits: {queue: many}\n", "queue"},
    {NULL, "limits: {queue: -1}\n", "queue"},
    {NULL, "limits: {queue: 4294967296}\n", "queue"},
    {NULL, "limits: {queue: 1000001}\n", "limits.queue is 1000001: it must lie between 1 and"},
    {NULL, "limits: {max_hashes: 257}\n", "limits.max_hashes"},
    {NULL, "limits: {sign_deadline_ms: 99}\n", "limits.sign_deadline_ms"},
    {NULL, "limits: {heartbeat_ms: 49}\n", "limits.heartbeat_ms"},
    {NULL, "policy: {totp_window: 11}\n", "policy.totp_window"},
    {NULL, "policy: {lock_tries: 9, lock_total: 8}\n", "lock_total must not be less"},
    {NULL, "ledger: {checkpoint_file: here}\n", "ledger.checkpoint_file must be an absolute path"},
    {NULL, "log_format: xml\n", "log_format is \"xml\": it must be one of text, json"},
    {NULL, "log_level: trace\n", "one of debug, info, warn, error"},
    {NULL, "status_listen: '0.0.0.0:9000'\n", "only a loopback address"},
    {NULL, "status_listen: '[::]:9000'\n", "only a loopback address"},
    {NULL, "a: &a [1]\nb: *a\n", "configuration:"},
    {NULL, "demo: perhaps\n", "demo"},
    {NULL, "demo: flase\n", "demo"},
    {NULL, "demo: 1\n", "demo"},
    {"token: {uri: 'pkcs11:token=k', pin_file: /pin}\n", "", "token.module is missing"},
    {"token: {module: p11.so, uri: 'pkcs11:token=k', pin_file: /pin}\n", "",
     "token.module must be an absolute path"},
    {"token: {module: /p11.so, pin_file: /pin}\n", "", "token.uri is missing"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k'}\n", "", "where the PIN comes from"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', pin_file: /p, pin_credential: p}\n", "",
     "not both"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', pin_file: /p, custodian_socket: /s}\n", "",
     "not both"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', custodian_socket: /s}\n", "",
     "ledger.ceremony_transcript is missing"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', custodian_socket: s}\n", "",
     "token.custodian_socket must be an absolute path"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k?pin-value=1234', pin_file: /p}\n", "",
     "must not carry the PIN"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k?pin-source=/p', pin_file: /p}\n", "",
     "must not carry the PIN"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', pin_file: /p, vaults: 65}\n", "",
     "token.vaults is 65: at most 64"},
    {"token: {module: /p11.so, uri: 'pkcs11:token=k', pin_file: /p, verify: never}\n", "",
     "token.verify is \"never\": it must be one of always, first-use"},
};

static void expect_refusal(const char *text, const char *says)
{
    char *error = NULL;
    struct config *c = NULL;

    if (load(text, &c, &error).code != KY_INVALID)
        fail_msg("taken: %s", text);
    assert_null(c);
    assert_non_null(error);
    if (strstr(error, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, says);
    free(error);
}

static void test_refusals(void **state)
{
    (void)state;
    char text[1024];

    for (size_t i = 0; i < ROWS(refused); i++) {
        join(text, sizeof(text), refused[i].token ? refused[i].token : TOKEN, refused[i].more);
        expect_refusal(text, refused[i].says);
    }
    static const char *const missed[] = {"server_id is missing", "state_dir is missing",
                                         "tls.certificate is missing"};
    for (size_t skip = 0; skip < ROWS(needed); skip++) {
        text[0] = '\0';
        for (size_t i = 0; i < ROWS(needed); i++)
            if (i != skip)
                strcat(text, needed[i]);
        strcat(text, TOKEN);
        expect_refusal(text, missed[skip]);
    }
    expect_refusal("", "it is empty");
    expect_refusal("# nothing yet\n", "it is empty");
    expect_refusal("- a\n- b\n", "configuration:");
    expect_refusal("server_id: [\n", "configuration:");
}

static void test_length(void **state)
{
    (void)state;
    size_t n = 65u * 1024u;
    char *text = malloc(n + 1);

    assert_non_null(text);
    join(text, n, TOKEN, "");
    size_t used = strlen(text);
    memset(text + used, '#', n - used);
    text[n] = '\0';
    expect_refusal(text, "longer than 64 KiB");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_example),
        cmocka_unit_test(test_the_example_loads),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
