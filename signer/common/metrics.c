/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the figures, and the page they live in. */
#include "metrics.h"

#include <sys/mman.h>

static const struct metric_info infos[METRIC_COUNT] = {
    [METRIC_HEARTBEAT_US] = {"kyso_heartbeat_microseconds", "gauge",
                             "Monotonic time of the authority's last turn loop"},
    [METRIC_SERVING] = {"kyso_serving", "gauge", "1 while requests are decided"},
    [METRIC_SEALED] = {"kyso_sealed", "gauge", "1 after the node sealed itself"},
    [METRIC_TURNS] = {"kyso_turns_total", "counter", "Turns of the authority's loop"},
    [METRIC_REQUESTS] = {"kyso_requests_total", "counter", "Requests taken from the fronts"},
    [METRIC_SIGNATURES] = {"kyso_signatures_total", "counter", "Signatures released"},
    [METRIC_DENIALS] = {"kyso_denials_total", "counter", "Requests refused and recorded"},
    [METRIC_REPLAYS] = {"kyso_replays_total", "counter", "Repeats answered from their receipt"},
    [METRIC_QUEUE] = {"kyso_queue", "gauge", "Jobs that wait for a vault"},
    [METRIC_IN_FLIGHT] = {"kyso_in_flight", "gauge", "Jobs at the vaults"},
    [METRIC_LEDGER_SIZE] = {"kyso_ledger_records", "gauge", "Records of the ledger"},
    [METRIC_CHECKPOINT_SIZE] = {"kyso_checkpoint_records", "gauge", "Size in the last checkpoint"},
    [METRIC_COMMIT_US] = {"kyso_commit_microseconds_total", "counter", "Time spent in commits"},
    [METRIC_JOBS_FAILED] = {"kyso_jobs_failed_total", "counter", "Jobs that no vault could do"},
    [METRIC_LATE_RESULTS] = {"kyso_late_results_total", "counter", "Results dropped as stale"},
    [METRIC_VAULTS] = {"kyso_vaults", "gauge", "Vaults that are ready"},
    [METRIC_SHED] = {"kyso_shed_total", "counter", "Requests refused for load or deadline"},
    [METRIC_CODES_SUSPENDED] = {"kyso_codes_suspended", "gauge",
                                "1 while nobody's code is taken: somebody sprays through clients"},
    [METRIC_POOL_KEYS] = {"kyso_pool_keys", "gauge", "Keys made in advance, of nobody yet"},
    [METRIC_POOL_WANTED] = {"kyso_pool_wanted", "gauge", "Keys that the pool should hold"},
    [METRIC_CLOCK_SYNCED] = {"kyso_clock_synchronised", "gauge",
                             "1 while the kernel says that the clock is synchronised with UTC"},
    [METRIC_CERTIFICATES_EXPIRING] = {"kyso_certificates_expiring", "gauge",
                                      "Certificates that end within 30 days, as counted each minute"},
    [METRIC_RESTARTS_AUTHORITY] = {"kyso_authority_restarts_total", "counter",
                                   "Times the authority was started again"},
    [METRIC_RESTARTS_VAULT] = {"kyso_vault_restarts_total", "counter",
                               "Times a vault was started again"},
    [METRIC_RESTARTS_FRONT] = {"kyso_front_restarts_total", "counter",
                               "Times a front was started again"},
    [METRIC_LATCH_CLOSED] = {"kyso_pin_latch_closed", "gauge",
                             "1 while no vault may log in until an operator acts"},
    [METRIC_SHARES_MISSING] = {"kyso_custodian_shares_missing", "gauge",
                               "Shares without which the server has no PIN; 0 once it has"},
};

const struct metric_info *metric_info(enum metric m)
{
    return &infos[m];
}

struct metrics_page *metrics_map(bool writable)
{
    void *p = mmap(NULL, sizeof(struct metrics_page), writable ? PROT_READ | PROT_WRITE : PROT_READ,
                   MAP_SHARED, KY_METRICS_FD, 0);

    return p == MAP_FAILED ? NULL : p;
}
