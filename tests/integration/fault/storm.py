# SPDX-License-Identifier: Apache-2.0
"""A load that goes on while a fault strikes again and again, and what both cost. KYSO_ROUNDS says how often it strikes: the promises
say a hundred, and only then are times judged, which a busy machine spoils."""

import datetime
import os
import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from faultcase import CODE, VAULT, FaultCase, grpc, k

ROUNDS = int(os.environ.get("KYSO_ROUNDS", "4"))
JUDGED = ROUNDS >= 100
RATE = 100  # requests a second
PATIENCE_S = 5 if JUDGED else 60
STOCK = 200
QUIET_S = 20 if JUDGED else 1  # of load before the first strike
AGAIN = (CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED)


def p99(values):
    return statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else max(values, default=0)


class Traffic:
    """An open loop: a request of everybody in turn each 10 ms, until the block ends. A client asks again, with the same request id,
    what was UNAVAILABLE or BUSY, for at most PATIENCE_S in all."""

    def __init__(self, case):
        self.case = case
        self.answers = []  # (when it was due, how long it took, tries, status when it failed)
        self.waiting = set()  # when they were due
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def run(self):
        stock = []
        with ThreadPoolExecutor(64) as pool:
            due = time.monotonic()
            while not self.ended.wait(max(0, due - time.monotonic())):
                if not stock:
                    stock = [pair for turn in zip(*(zip([c] * STOCK, self.case.requests(c, STOCK)) for c in self.case.people))
                             for pair in turn]
                    due = time.monotonic()
                self.waiting.add(due)
                pool.submit(self.one, due, *stock.pop())
                due += 1 / RATE

    def one(self, due, citizen, request):
        tries, failed = 0, None
        while True:
            tries += 1
            try:
                reply = self.case.stub.Sign(request, timeout=PATIENCE_S)
                k.verify(self.case.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                         reply.signatures[0])
                break
            except grpc.RpcError as e:
                if e.code() not in AGAIN or time.monotonic() - due > PATIENCE_S:
                    failed = e.code()
                    break
                time.sleep(0.02)
            except Exception as e:  # a signature that does not verify
                failed = repr(e)
                break
        self.answers.append((due, time.monotonic() - due, tries, failed))
        self.waiting.discard(due)

    def answered_until(self, due):
        return all(waiting > due for waiting in self.waiting.copy())

    def failures(self, *but):
        return [failed for _, _, _, failed in self.answers if failed is not None and failed not in but]

    def took(self, windows, inside):
        """Seconds that the requests took which were due in one of these windows, or in none."""
        return [took for due, took, _, _ in self.answers if inside == any(a <= due <= b for a, b in windows)]


class StormCase(FaultCase):
    def ended(self):
        return len(self.lines(" warn role-ended", VAULT))

    def strike(self, rule, each=1):
        """The rule, ROUNDS times; each time it ends so many vaults, and the next time is when all are back. Returns the load and
        when vaults were missing."""
        self.may_end, windows = ROUNDS * each, []
        with Traffic(self) as load:
            self.h.wait_for(lambda: len(load.answers) > QUIET_S * RATE, "a load")
            for n in range(ROUNDS):
                self.obey(rule)
                self.h.wait_for(lambda: self.fired("C_Sign"), "a strike")
                began = time.monotonic() - 0.1
                self.h.wait_for(lambda: self.ended() >= (n + 1) * each, "the end of what was struck")
                self.wait_for_vaults(60)
                windows.append((began, time.monotonic()))
                # what was struck has been tried again: nothing is struck twice
                self.h.wait_for(lambda: load.answered_until(windows[-1][1]), "what was struck")
        self.assertEqual(self.lines("key-quarantined"), [])
        return load, windows

    def absences(self):
        """How long each vault that ended was missed, seconds: from its end, as kysod saw it, until its successor served."""
        gone, found = {}, []
        for line in self.log().splitlines():
            words = line.split()
            if len(words) < 4 or words[3] not in ("role-ended", "vault-joined"):
                continue
            index = re.search(r" index=(\d+)", line).group(1)
            at = datetime.datetime.fromisoformat(words[0].replace("Z", "+00:00"))
            if words[3] == "role-ended" and VAULT in line:
                gone[index] = at
            elif words[3] == "vault-joined" and index in gone:
                found.append((at - gone.pop(index)).total_seconds())
        return found

    def judge(self, what, value, most):
        """A time that is a promise."""
        if JUDGED:
            self.assertLessEqual(value, most, what)

    def tell(self, promise, load, text):
        tries = sum(tries - 1 for _, _, tries, _ in load.answers)
        print(f"\nfigures: {promise}: {len(load.answers)} requests, {len(load.failures())} failed, {tries} asked again; {text}", flush=True)
