# SPDX-License-Identifier: Apache-2.0
"""Rows that are not one load against the ceiling: too much load, two clients at once, a million signatures."""

import threading

from bench import WARMUP_S, HarnessError, Load, mib, say
from measure import SPARE, add_up, median, sads_for, shared

PEAK_S = 5.0        # of the peak before an overload; a shorter run has a shorter one
OUTSTANDING = 4352  # requests that an overload keeps unanswered at most: a little more than limits.per_client
TIMES = 3
AFTER_S = 1.0
REMEMBERED = 50000     # request ids of the server of a drift; it forgets the oldest
WARM_SIGNATURES = 2 * REMEMBERED


def overload(bench, row, options):
    """Peak, then three times as much in an open loop, then again what is enough for the peak."""
    seconds, rounds = row.seconds_of(options), row.rounds_of(options)
    peaks, floods = [], []
    with Load(bench, row) as load:
        for i in range(rounds):
            guess = peaks[-1]["per_s"] if peaks else row.codes_per_s
            peaks.append(load.run(min(PEAK_S, seconds), stock=stock_of(row, guess, min(PEAK_S, seconds))))
            peak = peaks[-1]["per_s"]
            if peak == 0:
                raise HarnessError(f"the peak is nothing: {peaks[-1]}")
            floods.append(load.run(seconds, in_flight=OUTSTANDING, rate=TIMES * peak, after=AFTER_S,
                                   stock=stock_of(row, peak, seconds + AFTER_S)))
            say(f"  {row.name} round {i + 1}: peak {peak:.0f}/s, goodput {floods[-1]['per_s']:.0f}/s of "
                f"{TIMES * peak:.0f}/s, errors {floods[-1]['errors']} {floods[-1].get('last_error', '')}")
    return {**overload_summary(row, bench, peaks, floods, seconds), "receipts_past_deadline": bench.receipts_past()}


def stock_of(row, per_s, seconds):
    return sads_for(per_s * (seconds + WARMUP_S) * SPARE + OUTSTANDING) if row.proof == "sad" else 0


def overload_summary(row, bench, peaks, floods, seconds):
    def of(name, default=None):
        return median([x.get(name, default) for x in floods])

    def by_peak(name):  # none: connections were lost before there was a figure
        value = median([f[name] / p["per_s"] for f, p in zip(floods, peaks) if name in f])
        return None if value is None else round(value, 3)

    peak, goodput = median([x["per_s"] for x in peaks]), of("per_s")
    offered = of("offered_per_s") * seconds
    return {
        "name": row.name, "kind": row.kind, "seconds": seconds, "rounds": len(peaks), "deadline_ms": row.deadline_ms,
        "peak_per_s": round(peak, 1), "offered_per_s": of("offered_per_s"), "goodput_per_s": round(goodput, 1),
        "goodput_by_peak": by_peak("per_s"),
        "recovery_per_s": of("after_per_s"),
        "recovery_by_peak": by_peak("after_per_s"),
        **{name: of(name) for name in ("refused", "refusal_p50_ms", "refusal_p99_ms", "refusal_max_ms", "expired")},
        "refused_by_status": add_up([f["refused_by_status"] for f in floods]),
        "expired_share": round(of("expired") / offered, 4), "unsent_share": round(of("unsent") / offered, 4),
        **{name: sum(f[name] for f in floods) for name in ("past_deadline", "past_deadline_50ms")},
        "past_deadline_max_ms": max(f["past_deadline_max_ms"] for f in floods),
        "released_by_goodput": median([f["released"] / f["signatures"] for f in floods
                                       if f.get("released") and f["signatures"]]),
        "p50_ms": of("p50_ms"), "p99_ms": of("p99_ms"), "cpu_us_per_sig": floods[-1]["cpu_us_per_sig"],
        **shared(row, bench, peaks + floods),
    }


def mixed(bench, row, options):
    """An interactive client alone, then beside a bulk client that keeps the server full."""
    seconds, rounds = row.seconds_of(options), row.rounds_of(options)
    bulk_row, own = row.beside, row.own_citizens(bench)
    alone, beside, bulks = [], [], []
    with Load(bench, row, "gateway", "ministry-a", citizens=own) as person, Load(bench, bulk_row, skip=own) as bulk:
        per_s = bench.ceiling(row, seconds)["per_s"]
        for i in range(rounds):
            alone.append(person.run(seconds, rate=row.rate))
            longer = seconds + 2 * WARMUP_S  # the bulk client begins before the person's clock and ends after it
            bulk.run(0.2, stock=sads_for(per_s * (longer + 2 * WARMUP_S) * SPARE))  # makes its SADs, warms its keys
            bulk.start(longer)
            person.start(seconds, rate=row.rate)
            beside.append(person.result())
            bulks.append(bulk.result())
            per_s = max(per_s, bulks[-1]["per_s"])
            say(f"  {row.name} round {i + 1}: p99 alone {alone[-1]['p99_ms']:.2f} ms, beside {beside[-1]['p99_ms']:.2f} ms, "
                f"bulk {bulks[-1]['per_s']:.0f}/s, errors {alone[-1]['errors'] + beside[-1]['errors']}")
    times = {f"{who}_{p}": median([x[p] for x in loads])
             for who, loads in (("alone", alone), ("beside", beside)) for p in ("p50_ms", "p99_ms")}
    return {"name": row.name, "kind": row.kind, "seconds": seconds, "rounds": rounds, "rate": row.rate, **times,
            "p99_by_alone": round(median([b["p99_ms"] / a["p99_ms"] for a, b in zip(alone, beside)]), 2),
            "p50_by_alone": round(median([b["p50_ms"] / a["p50_ms"] for a, b in zip(alone, beside)]), 2),
            "bulk_per_s": median([x["per_s"] for x in bulks]), "bulk_in_flight": bulk_row.in_flight,
            **shared(row, bench, alone + beside + bulks)}


class Memory:
    """Resident memory of kysod and its roles, each second, until stopped."""

    def __init__(self, bench):
        self.bench, self.samples, self.vaults = bench, [], set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.samples.append(self.sample())
        self.vaults_at_start = len(self.vaults)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.samples.append(self.sample())

    def watch(self):
        while not self.ended.wait(1.0):
            self.samples.append(self.sample())

    def sample(self):
        """MiB by role."""
        by_role = {}
        for name, pid, status in self.bench.processes():
            if name == "kyso-vault":
                self.vaults.add(pid)
            by_role[name] = by_role.get(name, 0) + mib(status, "VmRSS")
        return by_role


def drift(bench, row, options):
    """Unwrap-signs until there are enough; memory from the end of the warm-up on."""
    step, loads = row.seconds_of(options), []

    def go_on_until(count):
        while bench.counter("kyso_signatures_total") < count:
            rate = max(x["per_s"] for x in loads) if loads else row.codes_per_s
            loads.append(load.run(step, stock=sads_for(rate * (step + WARMUP_S) * SPARE)))
            say(f"  {row.name}: {bench.counter('kyso_signatures_total')} signatures so far")

    with Load(bench, row) as load:
        go_on_until(min(WARM_SIGNATURES, options.signatures))
        began = bench.counter("kyso_signatures_total")
        with Memory(bench) as memory:
            go_on_until(began + options.signatures)
        made = bench.counter("kyso_signatures_total") - began
    sums = [sum(s.values()) for s in memory.samples]
    roles = sorted({r for s in memory.samples for r in s})
    return {"name": row.name, "kind": row.kind, "unwrap_signs": made, "start_mib": round(sums[0], 1),
            "highest_mib": round(max(sums), 1), "end_mib": round(sums[-1], 1), "drift_mib": round(max(sums) - sums[0], 1),
            "drift_mib_by_role": {r: round(max(s.get(r, 0) for s in memory.samples) - memory.samples[0].get(r, 0), 1)
                                  for r in roles},
            "samples": len(sums), "vaults_replaced": len(memory.vaults) - memory.vaults_at_start,
            "vault_restarts": bench.counter("kyso_vault_restarts_total"), "server_per_s": median([x["per_s"] for x in loads]),
            **shared(row, bench, loads)}
