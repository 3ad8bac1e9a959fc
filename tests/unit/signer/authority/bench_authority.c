/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one signature under a SAD costs the authority: CPU time of its turns, real store included,
 * fronts and vaults played and not counted. Figures, not a test: run it by hand in a release build.
 *
 *   bench_authority [signatures] [requests in a turn]
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASHES 256u

static unsigned want = 100000, in_turn = 64; /* of the command line */

static double cpu_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noinline)) static double turn(struct world *w)
{
    for (int i = 0; i < FRONT_COUNT; i++)
        assert_true(ky_ok(ky_channel_flush(&w->fronts[i])));
    for (struct peer *p = w->a->peers; p != NULL; p = p->next)
        p->readable = true;
    w->mono_us += 500;
    double before = cpu_s();
    (void)authority_turn(w->a);
    double took = cpu_s() - before;
    vault_pump(w);
    return took;
}

static void take_answers(struct world *w, unsigned *answered)
{
    struct ky_record rec;
    struct ky_status status = ky_channel_read(&w->fronts[FRONT_SIGNER]);

    assert_true(ky_ok(status));
    while (ky_channel_next(&w->fronts[FRONT_SIGNER], &rec, &status)) {
        if (rec.type == 0 || rec.tag == 0)
            continue;
        assert_true(rec.type == DOOR_R_SIGN || rec.type == DOOR_HEARTBEAT);
        *answered += rec.type == DOOR_R_SIGN;
    }
    ky_channel_drop(&w->fronts[FRONT_SIGNER]);
}

/* One SAD of 256 hashes, spent one by one. */
static double spend(struct world *w, unsigned round, unsigned *done)
{
    static uint8_t hashes[HASHES][32];
    char id[32], code[9];
    struct answer got;
    double took = 0;

    for (uint32_t i = 0; i < HASHES; i++) {
        uint32_t seed[2] = {round, i};
        ky_sha256(KY_SPAN((const uint8_t *)seed, sizeof(seed)), hashes[i]);
    }
    snprintf(id, sizeof(id), "a%u", round);
    struct door_tx m = totp_msg(w, id, 1, code, 0);
    m.display_text = (struct ky_span){0};
    m.hashes = KY_SPAN(hashes[0], sizeof(hashes));
    ask(w, FRONT_SIGNER, &door_tx_authorize_schema, &m, &got);
    assert_int_equal(DOOR_R_TX, got.type);
    for (unsigned sent = 0, answered = 0; answered < HASHES;) {
        for (unsigned i = 0; i < in_turn && sent < HASHES; i++, sent++) {
            snprintf(id, sizeof(id), "s%u-%u", round, sent);
            m = sign_msg(w, id, 1);
            m.display_text = (struct ky_span){0};
            m.hashes = KY_SPAN(hashes[sent], 32);
            m.proof = KY_PROOF_SAD;
            m.proof_secret = got.tx.sad;
            (void)front_send(w, FRONT_SIGNER, &door_sign_schema, &m);
        }
        took += turn(w);
        take_answers(w, &answered);
        *done += answered == HASHES ? HASHES : 0;
    }
    world_advance(w, 30000000u);
    return took;
}

static void bench(void **state)
{
    struct world *w = *state;
    unsigned done = 0;
    double took = 0;

    w->config.limits.queue = w->config.limits.per_client = 4096;
    w->config.limits.max_hashes = HASHES;
    for (unsigned round = 0; done < want; round++)
        took += spend(w, round, &done);
    print_message("%u signatures, %u requests a turn: %.2f us each\n", done, in_turn,
                  took * 1e6 / done);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bench, world_setup, world_teardown)};

    want = argc > 1 ? (unsigned)atoi(argv[1]) : want;
    in_turn = argc > 2 ? (unsigned)atoi(argv[2]) : in_turn;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
