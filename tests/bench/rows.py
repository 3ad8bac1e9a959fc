# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is asked of the server, what of the bare token, and with whom. README.md says it in words."""

import math
from dataclasses import dataclass, field

import campaign
import measure
from bench import WARMUP_S

MEASURES = {"ratio": measure.measure, "overload": campaign.overload, "mixed": campaign.mixed, "drift": campaign.drift}


@dataclass
class Row:
    name: str
    what: str
    kind: str = "ratio"         # of MEASURES
    ceiling: str = "hot"        # mode of kyso-bench-ceiling
    processes: int = 2
    best_of: tuple = ()         # of so many processes or threads instead: the ceiling is the best of them
    ceiling_keys: int = 8       # per process
    key_type: str = "p256"
    storage: str = "wrapped"
    proof: str = "sad"
    hashes: int = 1
    in_flight: int = 512
    connections: int = 2
    stream: bool = False
    rate_share: float = 0       # open loop at this share of the ceiling; 0 = closed loop
    rate: float = 0             # open loop of the person of a mixed row
    beside: object = None       # row of the bulk client of a mixed row
    deadline_ms: int = 0        # of each request; 0 = none
    allowed_ms: float = None    # beyond the HSM's own time and two commits, at the median
    asks: tuple = ()            # (figure, "<=" or ">=", number or another figure)
    config: dict = field(default_factory=dict)  # "@/NAME": a file in the folder of programs
    env: dict = field(default_factory=dict)     # "@/NAME": a file in the server's folder
    citizens: int = 128
    totps: int = 15             # authenticators of each
    devices: int = 0
    codes_per_s: float = 0      # where requests spend codes or approvals: signatures a second at most
    seconds: float = 5          # unless the command line says otherwise
    rounds: int = 5
    by_default: bool = True     # in a run that names no row

    def setting(self, options):
        """Rows that agree in this share a server and its population. The two clients of a mixed row each remember the
        spent codes of their own part of it, so nobody shares with them."""
        return (tuple(sorted(self.config.items())), tuple(sorted(self.env.items())), self.key_type, self.storage,
                self.people(options), self.devices, self.name if self.kind == "mixed" else "")

    def seconds_of(self, options):
        return options.seconds or self.seconds

    def rounds_of(self, options):
        return options.rounds or self.rounds

    def measure(self, bench, options):
        return MEASURES[self.kind](bench, self, options)

    def people(self, options):
        """Citizens, and authenticators of each."""
        totps = options.totps or self.totps
        return options.citizens or max(self.citizens, self.needed(options, totps)), totps

    def needed(self, options, totps):
        """Citizens who together have enough codes: three each authenticator at once, one more every 30 s."""
        if not self.codes_per_s:
            return 0
        seconds, rounds = self.seconds_of(options) + WARMUP_S, self.rounds_of(options)
        if self.proof == "approval":  # one open transaction a person, and eight pushes in five minutes
            return math.ceil(self.codes_per_s * seconds)
        sides = 2  # the ceiling takes as long as the server
        if self.kind == "overload":  # the peak before and what comes after
            seconds, sides = seconds + campaign.PEAK_S + campaign.AFTER_S + WARMUP_S, 1
        codes = self.codes_per_s * seconds * rounds / (measure.SAD_HASHES if self.proof == "sad" else 1)
        steps = 3 + rounds * sides * seconds / 30 * 0.8
        return math.ceil(codes / steps / totps)

    def own_citizens(self, bench):
        """Of a mixed row: the person's part of the population; the bulk client has the rest."""
        return max(1, bench.citizens * 2 // 3)


FIRST_USE = {"token.verify": "first-use"}
ALWAYS = {"token.verify": "always"}
COLD = {"token.cache_keys": 16}
COLD_P256 = {"ceiling": "cold", "ceiling_keys": 64, "config": {**ALWAYS, **COLD}, "proof": "totp", "citizens": 200,
             "totps": 10, "codes_per_s": 4500, "in_flight": 256}
MANY_STREAMS = {"doors.max_streams": 4096}  # an overload has thousands of calls in flight
LATENCY = {"KYSO_LATENCY_MS": "4", "KYSO_LATENCY_PARALLEL": "32", "KYSO_LATENCY_SHARED": "@/latency-slots"}


def ratio(least):
    return (("ratio", ">=", least),)


def in_flight(n, allowed_ms, connections=2):
    return Row(f"inflight-{n}", f"hot-p256 with {n} in flight", config=FIRST_USE, in_flight=n, connections=connections,
               allowed_ms=allowed_ms, asks=(("p50_ms", "<=", "allowance_ms"),) if allowed_ms else ())


def vaults(n):
    return Row(f"vaults-{n}", f"hot-p256 with {n} vaults, ceiling of {n} processes", processes=n,
               config={**FIRST_USE, "token.vaults": n})


ROWS = [
    Row("hot-p256", "one hash a call, SAD, warm keys, unary, verify: first-use", config=FIRST_USE, asks=ratio(0.70)),
    Row("hot-p256-stream", "the same over one SignStream per connection", config=FIRST_USE, stream=True, asks=ratio(0.70)),
    Row("hot-p256-threads", "the same as hot-p256 against the best of 1, 2 and 4 threads in one process", config=FIRST_USE,
        ceiling="threads", best_of=(1, 2, 4), asks=ratio(1.4)),
    in_flight(1, 0.5, connections=1), in_flight(8, 1.5), in_flight(64, 3.0), in_flight(512, None),
    Row("open-half", "hot-p256, open loop at 0.35 of the ceiling", config=FIRST_USE, rate_share=0.35,
        asks=(("p99_by_p50", "<=", 5),)),
    Row("overload-hot", "hot-p256, open loop at three times the peak, deadlines of 1 s", kind="overload",
        config={**FIRST_USE, **MANY_STREAMS}, deadline_ms=1000, connections=2, codes_per_s=45000, seconds=60, rounds=1, asks=(("past_deadline", "<=", 0),)),
    vaults(1), vaults(2), vaults(4),
    Row("mixed", "a person at 200 requests a second, TOTP, alone and beside a bulk client with 512 in flight", kind="mixed",
        config=FIRST_USE, proof="totp", in_flight=64, connections=1, rate=200, codes_per_s=500, citizens=256,
        beside=Row("bulk", "hot-p256 of another client", config=FIRST_USE), asks=(("p99_by_alone", "<=", 2),)),
    Row("hot-p256-verified", "hot-p256 with verify: always", config=ALWAYS, asks=ratio(0.33)),
    Row("dossier-p256", "64 hashes a request, TOTP, one unwrap each, verify: first-use", ceiling="dossier",
        ceiling_keys=64, config={**FIRST_USE, **COLD}, proof="totp", hashes=64, in_flight=16, citizens=64, totps=10,
        codes_per_s=1000, asks=ratio(0.88)),
    Row("dossier-alone", "one request of 64 hashes at a time: is it split over the vaults?", ceiling="dossier",
        ceiling_keys=64, config={**FIRST_USE, **COLD}, proof="totp", hashes=64, in_flight=1, connections=1, citizens=64,
        totps=10, codes_per_s=1000, asks=(("p50_by_hsm", "<=", 1),)),
    Row("cold-p256", "every request another citizen, TOTP, unwrapped each time, each verified", **COLD_P256, asks=ratio(0.80)),
    Row("overload-cold", "cold-p256, open loop at three times the peak, deadlines of 1 s", kind="overload",
        **{**COLD_P256, "totps": 15, "config": {**ALWAYS, **COLD, **MANY_STREAMS}}, deadline_ms=1000, connections=2, seconds=60,
        rounds=1,
        asks=(("goodput_by_peak", ">=", 0.9), ("refusal_p99_ms", "<=", 50), ("past_deadline", "<=", 0), ("recovery_by_peak", ">=", 0.9))),
    Row("cold-p256-tuned", "cold-p256 with token.software_tuning, against the stock ceiling",
        **{**COLD_P256, "config": {**ALWAYS, **COLD, "token.software_tuning": True}, "codes_per_s": 12000}, asks=ratio(2.2)),
    Row("approval-p256", "cold-p256 with an ES256 device approval instead of the code",
        **{**COLD_P256, "config": {**ALWAYS, **COLD, "policy.begins_per_5min": 8}, "proof": "approval", "totps": 0},
        devices=1, asks=ratio(0.70)),
    Row("hot-rsa2048", "hot-p256-verified with RSA-2048 keys", key_type="rsa2048", config=ALWAYS, citizens=32,
        ceiling_keys=1, in_flight=128, asks=ratio(0.90)),
    Row("cold-rsa2048", "RSA-2048, SADs of different citizens in turn, unwrapped each time, each verified", ceiling="cold",
        ceiling_keys=4, key_type="rsa2048", config={**ALWAYS, **COLD}, citizens=96, totps=2, in_flight=128, asks=ratio(0.90)),
    Row("resident-p256", "1 000 keys on the token, SAD, verify: first-use; ceiling: C_Sign on token objects",
        ceiling="hot-token", ceiling_keys=500, storage="resident", config=FIRST_USE, citizens=1000),
    Row("latency-p256", "a network HSM of 4 ms and 32 places, SAD, one SignStream per connection; ceiling: 32 threads",
        ceiling="threads", processes=32, ceiling_keys=1, stream=True, env=LATENCY, asks=ratio(0.90),
        config={"token.module": "@/kyso-latency.so", "token.vaults": 2, "token.sessions": 32}),
    Row("drift", "a million unwrap-signs of a leaky token while vaults are replaced", kind="drift", by_default=False,
        config={**FIRST_USE, **COLD, "token.software_tuning": True, "token.recycle_after": 50000,
                "limits.replay_requests": campaign.REMEMBERED},
        in_flight=128, codes_per_s=12000, seconds=10,
        asks=(("drift_mib", "<=", 64), ("errors", "<=", 0), ("vaults_replaced", ">=", 1))),
]
