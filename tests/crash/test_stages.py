# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each role at each stage of a request, from before its intent is written until after its receipt is: the request is
held there by the disk or by the token, and someone dies. The same request id is then sent again until it is answered, its proof is
tried for another request, and kyso-check judges it all (P1, P2, P5, I1 to I4; faults 16, 38). KYSO_ROUNDS=100: every pair."""

import itertools
import os
import signal
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from diskcase import DiskCase, grpc, harness, new_id, signer_pb2
from faultcase import FaultCase

# Where a request stands, and who holds it there: the disk, or the token for a second and a half.
STAGES = {
    "nothing is written": ("disk", "write nth 1 hang"),
    "the intent is written": ("disk", "sync nth 1 hang"),
    "the intent is committed": ("disk", "sync nth 1 hang-after"),
    "C_UnwrapKey": ("token", "C_UnwrapKey total 1 delay 1500"),
    "C_SignInit": ("token", "C_SignInit unwrapped total 1 delay 1500"),
    "C_Sign": ("token", "C_Sign unwrapped total 1 delay 1500"),
    "the receipt is written": ("disk", "sync nth 2 hang"),
    "the receipt is committed": ("disk", "sync nth 2 hang-after"),
}
LONG_ENOUGH_S = 0.1  # for what must not happen meanwhile
ROLES = ("kyso-authority", "kyso-vault", "kyso-front", "kysod")
EVERY = list(itertools.product(STAGES, ROLES))
FEW = [(stage, "kyso-authority") for stage in STAGES] + [
    ("C_UnwrapKey", "kyso-vault"), ("C_Sign", "kyso-vault"), ("the receipt is written", "kyso-vault"),
    ("the intent is written", "kyso-front"), ("C_SignInit", "kyso-front"), ("the receipt is committed", "kyso-front"),
    ("C_Sign", "kysod"), ("the receipt is written", "kysod")]
PAIRS = EVERY if int(os.environ.get("KYSO_ROUNDS") or 0) >= 100 else FEW


class Stages(DiskCase, FaultCase):
    config = {**DiskCase.config, "limits.sign_deadline_ms": 20000}
    people = ("alice", "bob", "carol", "dave", "erin")

    def tearDown(self):
        self.write_script("")
        self.disk("")

    def held(self, stage):
        """Whoever holds it has it now."""
        if STAGES[stage][0] == "disk":
            self.wait_for_strike()
        else:
            self.h.wait_for(lambda: self.fired(STAGES[stage][1].split()[0]), f"the token to be at {stage}")

    def hold(self, stage):
        keeper, script = STAGES[stage]
        self.obey(script if keeper == "token" else "")
        self.disk(script if keeper == "disk" else "")

    def victim(self, role, stage):
        if role == "kysod":
            return self.h.process.pid
        pids = self.h.children(role)
        if role == "kyso-front":
            return next(pid for pid in pids if "signer" in harness.command_line(pid))
        if role == "kyso-vault" and STAGES[stage][0] == "token":
            return self.fired(STAGES[stage][1].split()[0])[0]
        return pids[0]

    def kill(self, role, stage):
        pids = [pid for name in ROLES[:3] for pid in self.h.children(name)]
        os.kill(self.victim(role, stage), signal.SIGKILL)
        self.disk("")
        if role == "kysod":
            self.h.process.wait()
            self.h.wait_for(lambda: not any(harness.command_line(pid) for pid in pids), "the roles to end after kysod")
            self.h.run_server()

    def one(self, stage, role, person, make):
        """`make` gives two requests under one proof. Was the first signed in the end?"""
        self.h.wait_for(self.logged_in, "both vaults to be logged in", 60)
        stub, lives = self.signer(), self.opened()
        message, other, *_ = make(stub, person)
        self.hold(stage)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.outcome, self.sign, stub, person, message)
            self.held(stage)
            time.sleep(LONG_ENOUGH_S)
            self.assertFalse(first.done(), "answered before its receipt was committed (I2)")
            if "intent" in stage or stage == "nothing is written":
                self.assertEqual(self.calls("C_Sign", data=message.request.hashes[0].hex()[:16]), [],
                                 "signed before its intent was committed (I1)")
            self.kill(role, stage)
            if role in ("kyso-authority", "kysod"):
                self.wait_for_start(lives)
            first.result()
        self.obey("")
        stub = self.signer()
        about = {"subject_id": person["subject_id"]}
        reply = self.clients.call(self.recorder.sign, stub, message, **about)
        if role in ("kyso-front", "kyso-vault") or stage == "the receipt is committed":
            self.assertIsNotNone(reply, "the request is lost")
        again = signer_pb2.SignRequest()
        again.CopyFrom(message)
        again.request_id = new_id()
        self.assertIsNone(self.clients.call(self.recorder.sign, stub, again, **about), "spent twice")
        rest = self.clients.call(self.recorder.sign, stub, other, **about)
        self.assertEqual(rest is not None, role in ("kyso-front", "kyso-vault"), "a proof outlives a front, a vault, and no start")
        return reply is not None

    def by_code(self, _, person):
        proof = self.clients.code(person)[0]
        return [signer_pb2.SignRequest(request_id=new_id(), request=self.request(person), totp=proof) for _ in range(2)]

    def test_16_a_code_stays_spent(self):
        """The first, while codes are taken: after an unclean start none of its window is."""
        self.one("the intent is committed", "kyso-authority", self.citizens[0], self.by_code)

    def test_16_killed_at_every_stage(self):
        signed = 0
        for (stage, role), person in zip(PAIRS, itertools.cycle(self.citizens)):
            with self.subTest(f"{role} dies: {stage}"):
                signed += self.one(stage, role, person, self.sad)
        self.assertEqual(self.h.stop_server(), 0)
        told = self.judge()
        print(f"\nfigures: P2, P5: {len(PAIRS)} kills by stage, {signed} of the requests signed under their own id, 0 under another; "
              f"{told['signed']} signatures judged", flush=True)


if __name__ == "__main__":
    unittest.main()
