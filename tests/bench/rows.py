# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is asked of the server, what of the bare token, and with whom. README.md says it in words."""

import math
from dataclasses import dataclass, field

WARMUP_S = 0.5


@dataclass
class Row:
    name: str
    what: str
    ceiling: str = "hot"        # mode of kyso-bench-ceiling
    processes: int = 2
    ceiling_keys: int = 8       # per process
    key_type: str = "p256"
    storage: str = "wrapped"
    proof: str = "sad"
    hashes: int = 1
    in_flight: int = 512
    connections: int = 2
    stream: bool = False
    rate_share: float = 0       # open loop at this share of the ceiling; 0 = closed loop
    target: float = None
    config: dict = field(default_factory=dict)
    citizens: int = 128
    totps: int = 15             # authenticators of each
    devices: int = 0
    codes_per_s: float = 0      # where each request spends a code or an approval: how many a second at most

    def setting(self):
        """Rows that agree in this share a server and its population."""
        return (tuple(sorted(self.config.items())), self.key_type, self.storage, self.citizens, self.totps, self.devices,
                self.codes_per_s)

    def people(self, seconds, rounds):
        """Citizens and authenticators that give enough codes: three each at once, one more every 30 s."""
        if not self.codes_per_s:
            return self.citizens, self.totps
        if self.proof == "approval":  # one open transaction a person, and eight pushes in five minutes
            return max(self.citizens, math.ceil(self.codes_per_s * (seconds + WARMUP_S))), self.totps
        need = self.codes_per_s * (seconds + WARMUP_S) * rounds
        steps = 3 + rounds * 2 * seconds / 30 * 0.8
        return max(self.citizens, math.ceil(need / steps / self.totps)), self.totps


FIRST_USE = {"token.verify": "first-use"}
ALWAYS = {"token.verify": "always"}
COLD = {"token.cache_keys": 16}

ROWS = [
    Row("hot-p256", "one hash a call, SAD, warm keys, unary, verify: first-use", config=FIRST_USE, target=0.70),
    Row("hot-p256-stream", "the same over one SignStream per connection", config=FIRST_USE, stream=True, target=0.70),
    Row("hot-p256-threads", "the same as hot-p256 against two threads in one process", config=FIRST_USE,
        ceiling="threads", target=1.4),
    Row("inflight-1", "hot-p256 with one request in flight", config=FIRST_USE, in_flight=1, connections=1),
    Row("inflight-8", "with 8", config=FIRST_USE, in_flight=8),
    Row("inflight-64", "with 64", config=FIRST_USE, in_flight=64),
    Row("inflight-512", "with 512", config=FIRST_USE, in_flight=512),
    Row("open-half", "hot-p256, open loop at 0.35 of the ceiling", config=FIRST_USE, rate_share=0.35),
    Row("hot-p256-verified", "hot-p256 with verify: always", config=ALWAYS, target=0.33),
    Row("dossier-p256", "64 hashes a request, TOTP, one unwrap each, verify: first-use", ceiling="dossier",
        ceiling_keys=64, config={**FIRST_USE, **COLD}, proof="totp", hashes=64, in_flight=16, citizens=64, totps=10,
        codes_per_s=750, target=0.88),
    Row("cold-p256", "every request another citizen, TOTP, unwrapped each time, each verified", ceiling="cold",
        ceiling_keys=64, config={**ALWAYS, **COLD}, proof="totp", citizens=200, totps=10, codes_per_s=4500, in_flight=256,
        target=0.80),
    Row("cold-p256-tuned", "cold-p256 with token.software_tuning, against the stock ceiling", ceiling="cold",
        ceiling_keys=64, config={**ALWAYS, **COLD, "token.software_tuning": True}, proof="totp", citizens=200, totps=10,
        codes_per_s=12000, in_flight=256, target=2.2),
    Row("approval-p256", "cold-p256 with an ES256 device approval instead of the code", ceiling="cold", ceiling_keys=64,
        config={**ALWAYS, **COLD, "policy.begins_per_5min": 8}, proof="approval", citizens=200, totps=0,
        devices=1, codes_per_s=4500, in_flight=256, target=0.70),
    Row("hot-rsa2048", "hot-p256-verified with RSA-2048 keys", key_type="rsa2048", config=ALWAYS, citizens=32,
        ceiling_keys=1, in_flight=128, target=0.90),
    Row("cold-rsa2048", "RSA-2048, SADs of different citizens in turn, unwrapped each time, each verified", ceiling="cold",
        ceiling_keys=4, key_type="rsa2048", config={**ALWAYS, **COLD}, citizens=96, totps=2, in_flight=128, target=0.90),
    Row("resident-p256", "200 keys on the token, SAD, verify: first-use; ceiling: C_Sign on token objects",
        ceiling="hot-token", ceiling_keys=100, storage="resident", config=FIRST_USE, citizens=200),
]
