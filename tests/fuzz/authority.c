/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole authority over its real store, with vaults and fronts played by the unit tests' world:
 * what a front that was taken over, or a vault, may say. Input: steps (the table below). Every
 * answer decodes, every intent gets its one receipt (I4), no signature appears without an intent
 * (I1), and nothing that a peer says makes the authority seal itself.
 *
 * The world lives for many inputs, so each step is also written to the file that KYSO_FUZZ_HISTORY
 * names: all of them since the world began are one input, which replays a finding.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "all_schemas.h"
#include "fuzz.h"
#include "world.h"

#define WORLD_INPUTS  20000u
#define HISTORY_MAX   (8u * 1024u * 1024u)
#define REQUEST_BYTES 32768u

static struct world *w;
static uint32_t inputs;
static uint8_t *history; /* the file, mapped: it is whole whenever the process dies */
static size_t history_len;

/* No sync: what is tested is not the disk. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}
int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

void __wrap_log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n);
void __wrap_log_emit(enum log_level level, const char *event, const struct log_pair *pairs, int n)
{
    (void)level, (void)event, (void)pairs, (void)n;
}

static void world_end(void)
{
    void *state = w;

    if (w != NULL)
        (void)world_teardown(&state);
    w = NULL;
}

static void world_renew(void)
{
    const char *path = getenv("KYSO_FUZZ_HISTORY");
    void *state = NULL;

    if (inputs == 0 && history == NULL) {
        int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd >= 0 && ftruncate(fd, HISTORY_MAX) == 0)
            history = mmap(NULL, HISTORY_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        FUZZ_CHECK(history != MAP_FAILED && atexit(world_end) == 0);
    }
    world_end();
    FUZZ_CHECK(world_setup(&state) == 0);
    w = state;
    inputs = 0;
    history_len = 0;
    if (history != NULL)
        memset(history, 0, HISTORY_MAX);
}

static void remember(const uint8_t *step, size_t n)
{
    if (history != NULL && history_len + n <= HISTORY_MAX)
        memcpy(history + history_len, step, n);
    history_len += n;
}

static void turns(unsigned n)
{
    while (n-- > 0) {
        w->mono_us += 100;
        world_turn(w);
    }
}

/* --- steps ----------------------------------------------------------------------------------- */

static void step_raw(struct ky_reader *r)
{
    uint8_t front = ky_get_u8(r) % FRONT_COUNT, type = ky_get_u8(r);

    fuzz_put_record(&w->fronts[front].out, type % 48, 0, ++w->next_tag, fuzz_piece(r));
}

/* What a front has to send for a good request of each kind. */
static struct ky_status encode_good(uint8_t kind, const char *id, struct ky_buf *out,
                                    const struct ky_schema **out_schema)
{
    char code[9];
    struct door_tx tx = totp_msg(w, id, 7, code, kind >> 4 & 1);
    struct door_info info = {{0}};
    struct door_cred_list list = {.relying_party = tx.relying_party, .page_size = 10};
    struct door_cred_get get = {.relying_party = tx.relying_party,
                                .credential_id = tx.credential_id};
    struct door_tx_ref ref = {.relying_party = tx.relying_party};
    struct door_approval_ref approval = {.authenticator_id = text(w->device_id)};
    struct door_decide decide = {.authenticator_id = text(w->device_id), .decision = 2};
    const struct {
        const struct ky_schema *schema;
        const void *msg;
    } good[] = {
        {&door_sign_schema, &tx},        {&door_tx_begin_schema, &tx},
        {&door_tx_authorize_schema, &tx}, {&door_info_schema, &info},
        {&door_cred_list_schema, &list}, {&door_cred_get_schema, &get},
        {&door_tx_wait_schema, &ref},    {&door_tx_cancel_schema, &ref},
        {&door_approval_list_schema, &approval}, {&door_approval_get_schema, &approval},
        {&door_approval_decide_schema, &decide},
    };

    kind &= 15;
    if (kind == 1) {
        tx.proof = KY_PROOF_NONE;
        tx.proof_secret = KY_SPAN(NULL, 0);
    }
    memcpy(info.spki, spki_bank, 32);
    memcpy(list.spki, spki_bank, 32);
    memcpy(get.spki, spki_bank, 32);
    memcpy(ref.spki, spki_bank, 32);
    memcpy(approval.spki, spki_approver, 32);
    memcpy(decide.spki, spki_approver, 32);
    *out_schema = good[kind % FUZZ_COUNT(good)].schema;
    return ky_msg_encode(*out_schema, good[kind % FUZZ_COUNT(good)].msg, out);
}

/* A good request, some of whose bytes are turned. */
static void step_request(struct ky_reader *r)
{
    uint8_t kind = ky_get_u8(r);
    char id[8] = {'r', (char)('a' + ky_get_u8(r) % 26), (char)('a' + ky_get_u8(r) % 26)};
    size_t at = ky_get_u16(r);
    struct ky_span turn = fuzz_piece(r);
    const struct ky_schema *schema = NULL;
    struct ky_buf bytes = KY_BUF_INIT(REQUEST_BYTES);

    FUZZ_CHECK(ky_ok(encode_good(kind, id, &bytes, &schema)));
    for (size_t i = 0; i < turn.len && at + i < bytes.len; i++)
        bytes.data[at + i] ^= turn.data[i];
    bool approves = (kind & 15) >= 8 && (kind & 15) < 11;
    fuzz_put_record(&w->fronts[approves ? FRONT_APPROVER : FRONT_SIGNER].out, schema->type, 0,
                    ++w->next_tag, ky_buf_span(&bytes));
    ky_buf_free(&bytes);
}

static void step_cancel(struct ky_reader *r)
{
    fuzz_put_record(&w->fronts[FRONT_SIGNER].out, DOOR_CANCEL, 0, w->next_tag - ky_get_u8(r) % 4,
                    KY_SPAN((const uint8_t *)"", 1));
}

static void step_time(struct ky_reader *r)
{
    world_advance(w, (uint64_t)ky_get_u16(r) * 10000u);
}

static void step_turn(struct ky_reader *r)
{
    (void)r;
    turns(2); /* a signature takes two */
}

static void step_hold(struct ky_reader *r)
{
    w->vaults[0].hold = ky_get_u8(r) & 1;
}

/* The vault says something of the job that it was given last, or of none. */
static void step_result(struct ky_reader *r)
{
    uint8_t type = ky_get_u8(r), tag = ky_get_u8(r);

    fuzz_put_record(&w->vaults[0].channel.out, (uint16_t)(JOB_R_SIGN + type % 8), 0,
                    w->vaults[0].last_tag + tag % 2, fuzz_piece(r));
    (void)ky_ok(ky_channel_flush(&w->vaults[0].channel));
}

/* --- after each input ------------------------------------------------------------------------ */

static void take_answers(void)
{
    static _Alignas(max_align_t) uint8_t msg[1024];

    for (int i = 0; i < FRONT_COUNT; i++) {
        struct ky_record rec;
        struct ky_status st = KY_STATUS(KY_OK);

        FUZZ_CHECK(ky_ok(ky_channel_read(&w->fronts[i])));
        while (ky_channel_next(&w->fronts[i], &rec, &st)) {
            const struct ky_schema *s = NULL;

            for (size_t k = 0; k < FUZZ_COUNT(door_schemas); k++)
                if (door_schemas[k]->type == rec.type)
                    s = door_schemas[k];
            FUZZ_CHECK(s != NULL && ky_ok(ky_msg_decode(s, rec.payload, msg)));
        }
        FUZZ_CHECK(ky_ok(st));
    }
}

/*
 * A vault whose job missed its deadline, or that lied, is killed and replaced, as the supervisor
 * does.
 */
static void settle(void)
{
    w->vaults[0].hold = false;
    turns(2);
    for (int i = 0; i < 4 && w->a->state->flights.count > 0; i++) {
        world_advance(w, 3000000);
        turns(2);
        if (world_told(w, CONTROL_KILL) != NULL) {
            vault_die(w, 0);
            vault_join(w, 0);
            w->told_count = 0;
        }
        turns(2);
    }
    take_answers();
    FUZZ_CHECK(w->a->phase == PHASE_SERVE);
    FUZZ_CHECK(w->a->state->flights.count == 0); /* I4 */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const steps[])(struct ky_reader *) = {
        step_raw, step_request, step_cancel, step_time, step_turn, step_hold, step_result,
    };
    struct ky_reader r = ky_reader(KY_SPAN(data, size));

    if (w == NULL || ++inputs == WORLD_INPUTS || history_len > HISTORY_MAX / 2)
        world_renew();
    while (!r.failed && r.left > 0) {
        const uint8_t *from = r.p;
        uint8_t which = ky_get_u8(&r);

        steps[which % FUZZ_COUNT(steps)](&r);
        remember(from, (size_t)(r.p - from));
    }
    settle();
    return 0;
}
