/* SPDX-License-Identifier: Apache-2.0 */
/* The harness; see harness.h. Every wait has an end, and every process that it starts is reaped. */
#include "harness.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <p11-kit/p11-kit.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef KYSO_COVERAGE
#include <gcov.h>
#endif

#include <cmocka.h>

#include "kyso/secret.h"

#ifndef TEST_SHIM
#error "TEST_SHIM: path of the built shim.c"
#endif
#ifndef TEST_MODULE
#error "TEST_MODULE: path of libsofthsm2.so"
#endif

enum { WAIT_MS = 60000, MOVED_FD = 20 };

/* Present when the build has the leak sanitizer; a vault ends with _exit, which would skip it. */
extern void __lsan_do_leak_check(void) __attribute__((weak));

/*
 * SoftHSM2 2.6.1 keeps an ASN.1 string of each Edwards curve it reads; what the module loses is not
 * our leak.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libsofthsm2.so\n";
}
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0"; /* or the module's frames are not seen */
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "halt_on_error=1 exitcode=66"; /* a race in a vault ends it, and the test with it */
}

static void vault_log(void *ctx, const char *event, const char *detail, uint32_t cause)
{
    (void)ctx;
    if (getenv("KYSO_TEST_LOG") != NULL)
        (void)fprintf(stderr, "vault %d %s %s cause=0x%x\n", (int)getpid(), event, detail, cause);
}

void harness_maybe_vault(int argc, char **argv)
{
    if (argc < 7 || strcmp(argv[1], "--vault") != 0)
        return;
    const struct hsm_config config = {
        .module = argv[2],
        .token_uri = argv[3],
        .sessions = (uint32_t)atoi(argv[4]),
        .cache_keys = (uint32_t)atoi(argv[5]),
        .provision = strchr(argv[6], 'p') != NULL,
        .serialize = strchr(argv[6], 's') != NULL,
        .unrestricted_keys = strchr(argv[6], 'u') != NULL,
        .software_tuning = strchr(argv[6], 't') != NULL || getenv("KYSO_TEST_TUNED") != NULL,
        .log = vault_log,
    };
    int code = hsm_vault_run(&config);

    if (__lsan_do_leak_check != NULL)
        __lsan_do_leak_check();
#ifdef KYSO_COVERAGE
    __gcov_dump();
#endif
    _exit(code);
}

static char token_dir[64];

static int run_quietly(const char *const argv[])
{
    posix_spawn_file_actions_t to_null;
    pid_t pid = 0;
    int status = -1;

    posix_spawn_file_actions_init(&to_null);
    posix_spawn_file_actions_addopen(&to_null, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, argv[0], &to_null, NULL, (char *const *)(uintptr_t)argv, environ) == 0)
        (void)waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&to_null);
    return status;
}

int harness_token_setup(void **state)
{
    char path[128];
    FILE *f = NULL;
    const char *const init[] = {"softhsm2-util", "--init-token", "--free", "--label", "kyso-test",
                                "--so-pin",      "31415926",     "--pin",  TEST_PIN,  NULL};
    const struct vault_options provision = {.provision = true};

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(token_dir, sizeof(token_dir), "%s/kyso-hsm-XXXXXX",
                   getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 40 ? getenv("TMPDIR")
                                                                             : "/tmp");
    if (mkdtemp(token_dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/softhsm2.conf", token_dir);
    f = fopen(path, "w");
    if (f == NULL)
        return -1;
    (void)fprintf(f, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                  token_dir);
    (void)fclose(f);
    (void)setenv("SOFTHSM2_CONF", path, 1);
    (void)setenv("KYSO_SHIM_MODULE", TEST_MODULE, 1);
    if (run_quietly(init) != 0)
        return -1;
    struct vault v = vault_spawn(&provision);
    if (vault_control(&v).type != CONTROL_HELLO)
        return -1;
    vault_send_pin(&v, TEST_PIN "\n");
    if (vault_control(&v).type != CONTROL_LOGGED_IN || vault_control(&v).type != CONTROL_DONE)
        return -1;
    return vault_wait_exit(&v);
}

int harness_token_teardown(void **state)
{
    const char *const rm[] = {"rm", "-rf", token_dir, NULL};

    (void)state;
    return run_quietly(rm);
}

static void move_fd(int from, int to)
{
    if (dup2(from, to) != to)
        _exit(99);
}

static const char *module_of(const struct vault_options *o)
{
    if (o->no_token)
        return "/nonexistent/module.so";
    return o->shim ? TEST_SHIM : TEST_MODULE;
}

struct vault vault_spawn(const struct vault_options *o)
{
    struct vault v = {.next_tag = 1};
    int control[2];
    int channel[2];
    char sessions[16];
    char cache[16];
    char flags[6] = "-";

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    if (o->narrow)
        assert_int_equal(
            setsockopt(channel[1], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    (void)snprintf(sessions, sizeof(sessions), "%u", o->sessions != 0 ? o->sessions : 1);
    (void)snprintf(cache, sizeof(cache), "%u", o->cache_keys != 0 ? o->cache_keys : 100);
    if (o->provision)
        strcat(flags, "p");
    if (o->serialize)
        strcat(flags, "s");
    if (o->unrestricted)
        strcat(flags, "u");
    if (o->tuned)
        strcat(flags, "t");
    v.pid = fork();
    assert_true(v.pid >= 0);
    if (v.pid == 0) {
        int a = fcntl(control[1], F_DUPFD_CLOEXEC, MOVED_FD);
        int b = fcntl(channel[1], F_DUPFD_CLOEXEC, MOVED_FD);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no vault that is held */
        move_fd(a, KY_CONTROL_FD);
        move_fd(b, KY_CHANNEL_FD);
        (void)execl("/proc/self/exe", "vault", "--vault", module_of(o),
                    o->uri != NULL ? o->uri : TEST_TOKEN_URI, sessions, cache, flags, (char *)NULL);
        _exit(98);
    }
    (void)close(control[1]);
    (void)close(channel[1]);
    v.control = control[0];
    v.fd = channel[0];
    (void)fcntl(v.fd, F_SETFL, O_NONBLOCK);
    ky_channel_init(&v.channel, v.fd, 8 * 1024 * 1024);
    return v;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

struct control_msg vault_control(struct vault *v)
{
    struct control_msg m = {.type = 0};
    int fd = -1;

    wait_for(v->control, POLLIN);
    assert_int_equal(control_recv(v->control, &m, &fd).code, KY_OK);
    assert_int_equal(fd, -1);
    return m;
}

void vault_send_pin(struct vault *v, const char *pin)
{
    const struct control_msg m = {.type = CONTROL_PIN};
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], pin, strlen(pin)), (ssize_t)strlen(pin));
    (void)close(p[1]);
    assert_int_equal(control_send(v->control, &m, p[0]).code, KY_OK);
    (void)close(p[0]);
}

struct vault vault_start(const struct vault_options *o)
{
    struct vault v = vault_spawn(o);

    assert_int_equal(vault_control(&v).type, CONTROL_HELLO);
    vault_send_pin(&v, o->pin != NULL ? o->pin : TEST_PIN);
    assert_int_equal(vault_control(&v).type, CONTROL_LOGGED_IN);
    assert_int_equal(vault_control(&v).type, CONTROL_READY);
    return v;
}

int vault_wait_exit(struct vault *v)
{
    int status = 0;
    struct pollfd ended = {.fd = pidfd_open(v->pid, 0), .events = POLLIN};
    bool late = ended.fd < 0 || poll(&ended, 1, WAIT_MS) != 1;

    if (late) /* a test that fails does not hang */
        (void)kill(v->pid, SIGKILL);
    (void)close(ended.fd);
    assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
    assert_false(late);
    (void)close(v->control);
    (void)close(v->fd);
    ky_channel_wipe(&v->channel);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int vault_exit_code(struct vault *v)
{
    (void)shutdown(v->fd, SHUT_RDWR);
    (void)shutdown(v->control, SHUT_RDWR);
    return vault_wait_exit(v);
}

void vault_stop(struct vault *v)
{
    const struct control_msg m = {.type = CONTROL_DRAIN};

    assert_int_equal(control_send(v->control, &m, -1).code, KY_OK);
    assert_int_equal(vault_wait_exit(v), HSM_EXIT_OK);
}

void vault_post(struct vault *v, const struct ky_schema *s, const void *msg, uint64_t tag)
{
    assert_int_equal(ky_channel_send(&v->channel, s, msg, tag, 0).code, KY_OK);
}

void vault_flush(struct vault *v)
{
    assert_int_equal(ky_channel_flush(&v->channel).code, KY_OK);
    while (ky_channel_has_output(&v->channel)) {
        wait_for(v->fd, POLLOUT);
        assert_int_equal(ky_channel_flush(&v->channel).code, KY_OK);
    }
}

struct ky_record vault_next(struct vault *v)
{
    struct ky_record r;
    struct ky_status st = KY_STATUS(KY_OK);

    while (!ky_channel_next(&v->channel, &r, &st)) {
        assert_int_equal(st.code, KY_OK);
        wait_for(v->fd, POLLIN);
        assert_int_equal(ky_channel_read(&v->channel).code, KY_OK);
    }
    return r;
}

struct ky_status vault_call(struct vault *v, const struct ky_schema *s, const void *msg,
                            const struct ky_schema *reply, void *out)
{
    uint64_t tag = v->next_tag++;
    struct ky_record r;
    struct job_r_done done;
    struct job_plain head;

    memcpy(&head, msg, sizeof(head));
    vault_post(v, s, msg, tag);
    vault_flush(v);
    r = vault_next(v);
    assert_int_equal(r.tag, tag);
    if (r.type == JOB_R_DONE) {
        assert_int_equal(ky_msg_decode(&job_r_done_schema, r.payload, &done).code, KY_OK);
        assert_int_equal(done.generation, head.generation);
        assert_int_equal(done.attempt, head.attempt);
        assert_true(done.code != KY_OK || reply == &job_r_done_schema);
        return KY_STATUS_CAUSE((enum ky_code)done.code, done.cause);
    }
    assert_int_equal(r.type, reply->type);
    assert_int_equal(ky_msg_decode(reply, r.payload, out).code, KY_OK);
    assert_memory_equal(out, &head, sizeof(head));
    return KY_STATUS(KY_OK);
}

struct ky_status vault_generate(struct vault *v, uint8_t key_type, uint8_t storage,
                                struct test_key *out)
{
    struct job_generate in = {
        .generation = 3, .attempt = 9, .key_type = key_type, .storage = storage};
    struct job_r_generate r;
    struct ky_status st;

    assert_int_equal(ky_random(in.key_id, sizeof(in.key_id)).code, KY_OK);
    st = vault_call(v, &job_generate_schema, &in, &job_r_generate_schema, &r);
    if (!ky_ok(st))
        return st;
    *out = (struct test_key){.key_type = key_type,
                             .storage = storage,
                             .row = (uint32_t)v->next_tag,
                             .blob_len = r.blob.len,
                             .spki_len = r.public_key.len};
    memcpy(out->blob, r.blob.data, r.blob.len);
    memcpy(out->spki, r.public_key.data, r.public_key.len);
    if (storage == KY_STORE_RESIDENT)
        assert_memory_equal(out->blob, in.key_id, sizeof(in.key_id));
    return st;
}

struct job_sign sign_job(const struct test_key *k, const struct ky_algorithm *a,
                         struct ky_span digests)
{
    return (struct job_sign){
        .generation = 3,
        .attempt = 1,
        .purpose = KY_PURPOSE_CITIZEN,
        .storage = k->storage,
        .key_type = k->key_type,
        .scheme = a->scheme,
        .hash = a->hash,
        .mgf_hash = a->mgf_hash,
        .salt_len = a->salt_len,
        .verify = JOB_VERIFY_ALWAYS,
        .key_row = k->row,
        .key_epoch = 1,
        .blob = KY_SPAN(k->blob, k->blob_len),
        .public_key = KY_SPAN(k->spki, k->spki_len),
        .digests = digests,
    };
}

struct ky_algorithm plain_algorithm(uint8_t key_type, uint8_t hash)
{
    return (struct ky_algorithm){.scheme = ky_key_info(key_type)->scheme, .hash = hash};
}

static EVP_PKEY_CTX *verify_ctx(EVP_PKEY *key, const struct ky_algorithm *a)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    const EVP_MD *md = EVP_get_digestbyname(ky_hash_name(a->hash));

    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    if (a->scheme == KY_RSA_PKCS1 || a->scheme == KY_RSA_PSS)
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, md), 1);
    if (a->scheme == KY_RSA_PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, a->salt_len), 1);
    }
    return ctx;
}

bool independently_verified(struct ky_span spki, uint8_t key_type, const struct ky_algorithm *a,
                            struct ky_span digest, struct ky_span raw_sig)
{
    const uint8_t *p = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    uint8_t der[KY_SIG_MAX];
    size_t len = 0;
    bool ok = false;

    assert_non_null(key);
    assert_ptr_equal(p, spki.data + spki.len);
    if (key_type == KY_KEY_ED25519) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        ok = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestVerify(md, raw_sig.data, raw_sig.len, digest.data, digest.len) == 1;
        EVP_MD_CTX_free(md);
    } else {
        EVP_PKEY_CTX *ctx = verify_ctx(key, a);

        if (a->scheme == KY_ECDSA) {
            assert_int_equal(ky_ecdsa_raw_to_der(raw_sig, der, sizeof(der), &len).code, KY_OK);
            raw_sig = KY_SPAN(der, len);
        }
        ok = EVP_PKEY_verify(ctx, raw_sig.data, raw_sig.len, digest.data, digest.len) == 1;
        EVP_PKEY_CTX_free(ctx);
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

struct raw raw_open(void)
{
    struct raw r = {.fn = p11_kit_module_load(TEST_MODULE, P11_KIT_MODULE_UNMANAGED)};
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;

    assert_non_null(r.fn);
    assert_int_equal(r.fn->C_Initialize(NULL), CKR_OK);
    assert_int_equal(r.fn->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_true(n >= 1);
    assert_int_equal(
        r.fn->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &r.session),
        CKR_OK);
    assert_int_equal(r.fn->C_Login(r.session, CKU_USER, (CK_BYTE_PTR)TEST_PIN, strlen(TEST_PIN)),
                     CKR_OK);
    return r;
}

void raw_close(struct raw *r)
{
    assert_int_equal(r->fn->C_Finalize(NULL), CKR_OK);
    p11_kit_module_release(r->fn);
}

CK_OBJECT_HANDLE raw_find(const struct raw *r, CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)},
                        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
    CK_OBJECT_HANDLE h = CK_INVALID_HANDLE;
    CK_ULONG n = 0;

    assert_int_equal(r->fn->C_FindObjectsInit(r->session, t, 2), CKR_OK);
    assert_int_equal(r->fn->C_FindObjects(r->session, &h, 1, &n), CKR_OK);
    assert_int_equal(r->fn->C_FindObjectsFinal(r->session), CKR_OK);
    return n == 1 ? h : CK_INVALID_HANDLE;
}
