# SPDX-License-Identifier: Apache-2.0
"""The ordinary row: the bare token and the server in turn, and what the rounds come to."""

import math
import statistics

from bench import WARMUP_S, Load, say

SPARE = 1.3  # proofs made beyond what the best ceiling so far could use
SAD_HASHES = 256


def measure(bench, row, options):
    seconds, rounds = row.seconds_of(options), row.rounds_of(options)
    ceilings, loads = [], []
    with Load(bench, row) as load:
        for i in range(rounds):
            ceilings.append(bench.ceiling(row, seconds))
            ceiling = ceilings[-1]["per_s"]
            loads.append(load.run(seconds, rate=row.rate_share * ceiling / row.hashes,
                                  stock=stock(bench, row, ceiling, seconds)))
            say(f"  {row.name} round {i + 1}: ceiling {ceiling:.0f}/s, server {loads[-1]['per_s']:.0f}/s, "
                f"errors {loads[-1]['errors']} {loads[-1]['errors_by_status'] or ''} {loads[-1].get('last_error', '')}".rstrip())
    return summary(row, bench, ceilings, loads)


def stock(bench, row, ceiling, seconds):
    """SADs or approvals to be made before the clock."""
    kind = (row.ceiling, row.key_type)
    bench.best[kind] = max(ceiling, bench.best.get(kind, 0))
    signatures = bench.best[kind] * (seconds + WARMUP_S) * SPARE
    if row.proof == "sad":
        return sads_for(signatures, row.hashes)
    if row.proof == "approval":  # one open transaction a person; of those in flight when a round ended some are open still
        return min(math.ceil(signatures / row.hashes), bench.citizens - row.in_flight)
    return 0


def sads_for(signatures, hashes=1):
    return math.ceil(signatures / (SAD_HASHES // hashes * hashes)) + 2


def median(values):
    values = [v for v in values if v is not None]
    return round(statistics.median(values), 6) if values else None


def add_up(dicts):
    total = {}
    for d in dicts:
        for key, n in d.items():
            total[key] = total.get(key, 0) + n
    return total


def shared(row, bench, loads):
    """What every kind of row says of its loads."""
    return {
        "errors": sum(x["errors"] for x in loads), "errors_by_status": add_up([x["errors_by_status"] for x in loads]),
        "verified": sum(x["verified"] for x in loads), "signatures": sum(x["signatures"] for x in loads),
        "in_flight": row.in_flight, "connections": row.connections, "hashes": row.hashes, "proof": row.proof,
        "stream": row.stream, "citizens": bench.citizens, "config": row.config,
        "exhausted": any(x["exhausted"] for x in loads),
        **({"last_error": loads[-1]["last_error"]} if "last_error" in loads[-1] else {}),
    }


def served(loads):
    """What the rounds of one load come to: latency and CPU."""
    roles = sorted({r for x in loads for r in x["cpu_us_per_sig"]})
    return {**{p: median([x[p] for x in loads]) for p in ("p50_ms", "p99_ms", "p999_ms")},
            "cpu_us_per_sig": {r: round(median([x["cpu_us_per_sig"].get(r, 0.0) for x in loads]), 2) for r in roles}}


def summary(row, bench, ceilings, loads):
    workers = median([c["processes"] * c["threads"] for c in ceilings])
    ceiling, server = median([c["per_s"] for c in ceilings]), median([x["per_s"] for x in loads])
    result = {
        "name": row.name, "kind": row.kind, "ceiling": row.ceiling, "ceiling_per_s": round(ceiling, 1),
        "server_per_s": round(server, 1), "ratio": round(server / ceiling, 3),
        **served(loads),
        "ceiling_cpu_us_per_sig": median([c["cpu_us_per_sig"] for c in ceilings]),
        "fsyncs_per_sig": median([x.get("fsyncs_per_sig") for x in loads]),
        "commit_ms": median([x.get("commit_ms") for x in loads]), "workers": workers,
        **shared(row, bench, loads), "rounds": len(loads), "ceilings": [c["per_s"] for c in ceilings],
        **({"ceilings_tried": [c["tried"] for c in ceilings]} if row.best_of else {}),
        "servers": [x["per_s"] for x in loads],
    }
    if sum(result["cpu_us_per_sig"].values()) > 0:
        result["cpu_ratio"] = round(result["ceiling_cpu_us_per_sig"] / sum(result["cpu_us_per_sig"].values()), 3)
    # the time of one request's signatures in one worker that does nothing else
    result["hsm_ms"] = round(1e3 * row.hashes * workers / ceiling, 3)
    if row.allowed_ms is not None and result["commit_ms"] is not None:
        result["allowance_ms"] = round(result["hsm_ms"] + 2 * result["commit_ms"] + row.allowed_ms, 3)
    if result["p50_ms"]:
        result["p99_by_p50"] = round(result["p99_ms"] / result["p50_ms"], 2)
        result["p50_by_hsm"] = round(result["p50_ms"] / result["hsm_ms"], 2)
    return result
