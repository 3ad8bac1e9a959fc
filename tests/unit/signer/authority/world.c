/* SPDX-License-Identifier: Apache-2.0 */
/* The world's life: folder, provisioning, clock, turns. */
#include "world.h"

#include <fcntl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kyso/wire.h"

static uint64_t wall(void *context)
{
    return ((struct world *)context)->wall_us;
}

static uint64_t mono(void *context)
{
    struct world *w = context;

    if (w->on_clock != NULL)
        w->on_clock(w);
    return w->mono_us;
}

static uint8_t clock_sync(void *context, uint32_t *out_error_us)
{
    *out_error_us = 1234;
    return ((struct world *)context)->clock_state;
}

static void control(void *context, const struct control_msg *m)
{
    struct world *w = context;

    if (w->told_count < sizeof(w->told) / sizeof(w->told[0]))
        w->told[w->told_count++] = *m;
}

const struct control_msg *world_told(const struct world *w, uint32_t type)
{
    for (uint32_t i = w->told_count; i > 0; i--)
        if (w->told[i - 1].type == type)
            return &w->told[i - 1];
    return NULL;
}

static void set_config(struct world *w)
{
    static char id[] = "ca.example", verify[] = "always", empty[] = "", serve[] = "serve";

    w->config = (struct config){
        .server_id = id,
        .state_dir = w->dir,
        .demo = true,
        .token = {.vaults = 1, .sessions = 1, .verify = verify},
        .limits = {.queue = 64,
                   .per_client = 48,
                   .max_hashes = 16,
                   .sign_deadline_ms = 2000,
                   .generate_deadline_ms = 60000,
                   .replay_window_s = 86400,
                   .replay_requests = 1u << 20,
                   .pending_ttl_s = 120},
        .policy = {.totp_window = 1,
                   .lock_tries = 5,
                   .lock_first_s = 900,
                   .lock_max_s = 86400,
                   .lock_total = 20,
                   .client_failures_per_minute = 50,
                   .client_failure_percent = 5,
                   .spray_clients = 3,
                   .spray_window_s = 3600,
                   .begins_per_5min = 3},
        .ledger = {.checkpoint_file = empty,
                   .checkpoint_interval_s = 10,
                   .anchor_interval_ms = 1000,
                   .anchor_records = 10000},
        .clock = {.when_unsynced = serve},
    };
}

void world_start(struct world *w)
{
    static const uint8_t doors[FRONT_COUNT] = {KY_DOOR_SIGNER, KY_DOOR_APPROVER, KY_DOOR_OPERATOR};
    struct authority_hooks hooks = {
        .context = w, .wall_us = wall, .mono_us = mono, .clock_sync = clock_sync, .control = control};

    log_setup("test", "text", "error");
    assert_true(ky_ok(authority_new(&w->config, &hooks, &w->a)));
    w->told_count = 0;
    w->front_generation++;
    for (int i = 0; i < FRONT_COUNT; i++) {
        int pair[2];
        assert_int_equal(0,
                         socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
        w->front_fds[i] = pair[0];
        ky_channel_init(&w->fronts[i], pair[0], 8u * 1024u * 1024u);
        assert_true(ky_ok(peer_add(w->a, doors[i], 0, w->front_generation, pair[1], NULL)));
    }
    vault_join(w, 0);
}

void world_send(struct world *w)
{
    for (int i = 0; i < FRONT_COUNT; i++)
        assert_true(ky_ok(ky_channel_flush(&w->fronts[i])) || w->a->phase == PHASE_SEALED);
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->readable = true;
}

void world_turn(struct world *w)
{
    world_send(w);
    (void)authority_turn(w->a);
    vault_pump(w);
}

void world_run(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        w->mono_us += 100;
        world_turn(w);
    }
}

void world_advance(struct world *w, uint64_t us)
{
    w->wall_us += us;
    w->mono_us += us;
}

void world_boot(struct world *w)
{
    world_start(w);
    world_run(w);
    assert_int_equal(PHASE_SERVE, w->a->phase);
    assert_non_null(world_told(w, CONTROL_READY));
}

static void close_ends(struct world *w)
{
    for (int i = 0; i < FRONT_COUNT; i++)
        if (w->front_fds[i] >= 0) {
            ky_channel_wipe(&w->fronts[i]);
            close(w->front_fds[i]);
            w->front_fds[i] = -1;
        }
    for (int i = 0; i < WORLD_VAULTS; i++)
        if (w->vaults[i].alive) {
            ky_channel_wipe(&w->vaults[i].channel);
            close(w->vaults[i].fd);
            w->vaults[i].alive = false;
        }
}

void world_crash(struct world *w)
{
    authority_free(&w->a);
    close_ends(w);
}

void world_stop(struct world *w)
{
    struct control_msg m = {.type = CONTROL_DRAIN};

    peer_control(w->a, &m, -1);
    world_run(w);
    assert_int_equal(PHASE_DONE, w->a->phase);
    world_crash(w);
}

static void make_device(struct world *w)
{
    unsigned char *der = NULL;

    w->device = EVP_EC_gen("P-256");
    assert_non_null(w->device);
    int n = i2d_PUBKEY(w->device, &der);
    assert_in_range(n, 1, (int)sizeof(w->device_spki));
    memcpy(w->device_spki, der, (size_t)n);
    w->device_spki_len = (size_t)n;
    OPENSSL_free(der);
}

static void provision(struct world *w)
{
    struct ky_buf operators = KY_BUF_INIT(512);

    ky_put_bytes(&operators, text("op1"));
    ky_put_bytes(&operators, KY_SPAN(w->device_spki, w->device_spki_len));
    world_start(w);
    w->a->boot.create = true;
    w->a->boot.operators = ky_buf_span(&operators);
    world_run(w);
    assert_int_equal(PHASE_DONE, w->a->phase);
    assert_non_null(world_told(w, CONTROL_DONE));
    world_crash(w);
    ky_buf_free(&operators);
}

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    const char *base = getenv("TMPDIR");
    snprintf(w->dir, sizeof(w->dir), "%s/kyso-authority-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(w->dir));
    w->wall_us = (uint64_t)WORLD_START_S * 1000000u;
    w->mono_us = 5000000;
    w->clock_state = CLOCK_SYNCED;
    for (int i = 0; i < FRONT_COUNT; i++)
        w->front_fds[i] = -1;
    set_config(w);
    make_device(w);
    provision(w);
    world_boot(w);
    world_add_everyone(w);
    world_run(w);
    *state = w;
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;
    char command[128];

    world_crash(w);
    EVP_PKEY_free(w->device);
    snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
    int rc = system(command);
    free(w);
    return rc;
}
