/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor's files share. One thread, one event loop, no PKCS#11, no database: it
 * starts the roles, watches them, and alone keeps the PIN.
 */
#ifndef KYSO_SUPERVISOR_H
#define KYSO_SUPERVISOR_H

#include <sys/types.h>

#include <event2/event.h>

#include "kyso/control.h"
#include "kyso/door.h"
#include "kyso/secret.h"

#include "config.h"
#include "log.h"
#include "metrics.h"

enum role_kind { ROLE_AUTHORITY, ROLE_VAULT, ROLE_FRONT, ROLE_STATUS, ROLE_USERS, /* each a user of its own */
                 ROLE_CUSTODY = ROLE_USERS, /* as the vaults' user: it has the PIN in its hands as they have */
                 ROLE_KIND_COUNT };
#define DOOR_CUSTODY 5u /* of a listener; beside enum ky_door */

enum role_state {
    ROLE_IDLE,       /* not running; a vault may wait for its turn to start */
    ROLE_STARTING,   /* spawned, has not said ready */
    ROLE_LOGGING_IN, /* a vault that was given the PIN */
    ROLE_READY,
};

struct supervisor;

struct role { /* one slot: a process that is started again when it ends */
    struct supervisor *sup; /* borrowed: the supervisor outlives its roles */
    uint8_t kind;
    uint8_t state;
    uint32_t door;          /* fronts */
    uint32_t index;
    uint32_t generation;    /* rises with every start */
    pid_t pid;              /* 0 when not running */
    int control_fd;         /* owned; -1 when not running */
    int channel_fd;         /* owned: the authority's end, until it is handed over */
    int listen_fd;          /* borrowed from the listener table; -1 for others */
    bool wanted;            /* started again when it ends; a vault's stand-in only when the vault is worn */
    bool ending;            /* killed, or seen to end: what it still says starts nothing, and its pid may be another's */
    bool said_hello;        /* a vault's: the token is there, a login may have been tried */
    uint32_t backoff_ms;
    struct event *control_event; /* owned */
    struct event *timer;         /* owned: start deadline, or back-off */
};

#define SUPERVISOR_ROLES_MAX 224 /* 64 vaults, their stand-ins, 64 fronts and the rest */
#define SUPERVISOR_LISTENERS_MAX 5
#define SUPERVISOR_OPERATORS_MAX 16

struct listener {
    int fd;
    uint32_t door; /* 0: the status page */
    char address[128];
};

#define ROLE_GROUPS_MAX 64

struct role_user { /* whom a kind of role runs as */
    uid_t uid;
    gid_t gid;
    gid_t groups[ROLE_GROUPS_MAX];
    int group_count;
};

enum supervisor_phase { PHASE_PROBE, PHASE_PROVISION_TOKEN, PHASE_PROVISION_STATE, PHASE_RUN, PHASE_DRAIN_FRONTS,
                        PHASE_DRAIN_AUTHORITY, PHASE_DRAIN_REST };

struct supervisor {
    struct config *config;      /* owned */
    const char *config_path;    /* borrowed from argv */
    char *operators[SUPERVISOR_OPERATORS_MAX]; /* to be added, "NAME:" and the PEM text; owned */
    int operator_count;
    bool creates;               /* --init, not --add-operator */
    char ceremony[65];          /* for --init, hex of the transcript's SHA-256, or empty */
    char program_dir[512];      /* where the role programs are */
    int config_fd;              /* sealed memory file */
    int metrics_fd;
    int metrics_view_fd;        /* the same, read-only */
    int lock_fd;
    int transcript_fd;          /* for ROLE_CUSTODY; -1: the PIN is read from somewhere */
    struct metrics_page *metrics;
    struct ky_secret pin;       /* empty while custodians are awaited */
    uint8_t activation[32];     /* which start's key their shares were sealed to */
    uint32_t pin_givers;        /* whose they were, a bit each; 0: nobody was asked */
    struct role_user users[ROLE_USERS]; /* if apart */
    bool apart;                 /* root started this: each kind of role runs as a user of its own */
    bool latched;               /* no vault may log in until an operator acts */
    uint8_t phase;
    int exit_code;
    struct event_base *base;
    struct event *drain_timer;
    struct role roles[SUPERVISOR_ROLES_MAX];
    int role_count;
    struct listener listeners[SUPERVISOR_LISTENERS_MAX];
    int listener_count;
    struct listener custodians; /* the ceremony's door: this process takes the connection, the authority gets it */
    struct event *custodian_event;
    uint32_t custodian_count;
};

/* latch.c: the PIN, and the marker that keeps a wrong one from being tried twice */
KY_MUST_CHECK struct ky_status latch_read_pin(const struct config *c, struct ky_secret *out_pin);
/* Writes and syncs the login-pending marker. */
KY_MUST_CHECK struct ky_status latch_arm(const struct config *c, const char *who);
void latch_disarm(const struct config *c);         /* no login came of it */
void latch_reset(const struct config *c);          /* a login succeeded, or an operator says so */
#define LATCH_NOT_TRIED 0u                         /* CKR_OK: the vault did not come to C_Login */
/* Disarms and returns NULL where another login may follow; else says why none may, and the marker stays. */
const char *latch_login_failed(const struct config *c, uint64_t ckr);
bool latch_is_armed(const struct config *c, char *out_reason, size_t cap);

/* listen.c */
KY_MUST_CHECK struct ky_status listen_open_all(struct supervisor *s); /* the custodians' alone unless PHASE_RUN */
KY_MUST_CHECK struct ky_status listen_publish(const struct supervisor *s); /* state_dir/run/endpoints.json */
void listen_close_all(struct supervisor *s);

/* users.c; exit codes, 0 or what was complained about on stderr */
int users_choose(struct supervisor *s);
int users_give_state(const struct supervisor *s);  /* --init: the state's folder, to the authority's group */
int users_check_state(const struct supervisor *s);
bool users_become(const struct role_user *u);      /* in the child; for good */

/* roles.c: one process each */
void roles_build(struct supervisor *s);            /* the table, by configuration and phase */
void roles_free(struct supervisor *s);             /* none may be running */
void role_start(struct role *r);                   /* if it may now: a vault needs the PIN, and no other that starts */
void role_kill(struct role *r);                    /* SIGKILL; the slot is freed when waitpid has seen it end */
/* Gives the authority its end of a front's or a ready vault's channel. While none runs the end is kept for the next one. */
void role_hand_over(struct role *r);
void role_ended(struct role *r, int wait_status);  /* after waitpid */
struct role *role_stand_in(struct role *r);        /* a vault's other slot */
struct role *role_by_pid(struct supervisor *s, pid_t pid);
struct role *role_find(struct supervisor *s, uint8_t kind, uint32_t door, uint32_t index);
void roles_start_next_vault(struct supervisor *s); /* vaults start one after another */

/* supervisor.c: what their messages mean */
int supervisor_run(struct supervisor *s);
void supervisor_on_control(struct role *r);
void supervisor_on_end(struct role *r, bool finished); /* it had said ready or done, and exited 0 */
void supervisor_authority_started(struct supervisor *s);
/* KY_UNAVAILABLE: none runs. One that cannot take it any more is ended: it would go on with a wrong picture. */
struct ky_status supervisor_tell_authority(struct supervisor *s, const struct control_msg *m, int fd);

#endif
