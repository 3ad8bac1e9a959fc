/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kyso-vault: the process around one PKCS#11 module. Reads the configuration that
 * the supervisor left at KY_CONFIG_FD and hands its token section to hsm/. Ends
 * with _exit: modules crash in exit handlers.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef KYSO_COVERAGE
#include <gcov.h>
#endif

#include "config.h"
#include "confine.h"
#include "kyso/exit.h"
#include "kyso/hsm.h"
#include "kyso/secret.h"
#include "log.h"
#include "pid.h"

static const struct event_level {
    const char *event;
    enum log_level level;
} event_levels[] = {
    {"login-failed", LOG_ERROR},       {"key-refused", LOG_ERROR}, {"token-error", LOG_ERROR},
    {"signature-withheld", LOG_ERROR}, {"job-failed", LOG_WARN},
    {"token-unrestricted", LOG_WARN},
};

static void vault_log(void *ctx, const char *event, const char *detail, uint32_t cause)
{
    enum log_level level = LOG_INFO;

    (void)ctx;
    for (size_t i = 0; i < sizeof(event_levels) / sizeof(event_levels[0]); i++) {
        if (strcmp(event_levels[i].event, event) == 0)
            level = event_levels[i].level;
    }
    log_event(level, event, LOG_STR("detail", detail), LOG_U64("cause", cause));
}

int main(int argc, char **argv)
{
    struct config *config = NULL;
    char *why = NULL;
    int code = HSM_EXIT_START;
    struct ky_status st = ky_harden_process();

    log_setup("vault", NULL, NULL);
    /* What a vendor's library starts must not hold our channels open. Nothing is opened yet: the numbers are theirs. */
    for (int fd = KY_CONTROL_FD; fd <= KY_LISTEN_FD; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* A terminal's or a unit's signal goes to every role: only the supervisor acts on it, and then says so. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    if (ky_ok(st))
        st = config_load_fd(KY_CONFIG_FD, &config, &why);
    if (!ky_ok(st)) {
        log_event(LOG_ERROR, "config-refused", LOG_STR("why", why != NULL ? why : ""),
                  LOG_CODE(st));
        goto done;
    }
    log_setup("vault", config->log_format, config->log_level);
    /* before the module is loaded: its start is the vendor's code too */
    const struct confine rights = {.role = CONFINE_VAULT, .sockets = config->token.network};
    if (!ky_ok(st = confine_process(&rights))) {
        log_event(LOG_ERROR, "vault", LOG_STR("failed", "confinement"), LOG_CODE(st));
        goto done;
    }
    pid_remember();
    const struct hsm_config hsm = {
        .module = config->token.module,
        .token_uri = config->token.uri,
        .init_args = config->token.init_args,
        .sessions = config->token.sessions,
        .cache_keys = config->token.cache_keys,
        .recycle_after = config->token.recycle_after,
        .serialize = config->token.serialize,
        .unrestricted_keys = config->demo || config->token.unrestricted_keys,
        .software_tuning = config->token.software_tuning,
        .probe = strcmp(argv[argc - 1], "--probe") == 0,
        .provision = strcmp(argv[argc - 1], "--provision") == 0,
        .log = vault_log,
    };
    code = hsm_vault_run(&hsm);
    if (hsm.probe || hsm.provision) /* what kysod then ends with */
        code = code == HSM_EXIT_START ? KY_EXIT_NO_TOKEN : code == HSM_EXIT_FULL ? KY_EXIT_TOKEN_FULL : code;
done:
    free(why);
    config_free(&config);
#ifdef KYSO_COVERAGE
    __gcov_dump(); /* which exit(3) would do; a vault does not, for what the module has registered with it */
#endif
    _exit(code);
}
