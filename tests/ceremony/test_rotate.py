# SPDX-License-Identifier: Apache-2.0
"""Another KEK beside a running server: killed, resumed, killed; then every credential signs under the new one alone (fault 60)."""

import csv
import glob
import json
import os
import shutil
import unittest

from ceremony import BIN, MODULE, Room
from server import ServerOn, harness

PEOPLE = 70
BEGUN, ENDED = 1, 2


class Rotate(unittest.TestCase):
    def setUp(self):
        self.room = room = Room(m=2, n=3, module=f"{BIN}/kyso-fault.so")
        self.addCleanup(room.close)
        room.env["KYSO_FAULT_SCRIPT"] = f"{room.dir}/script"
        self.fault("# nothing")
        room.init("--demo-pin-file", f"{room.dir}/pin")

    def fault(self, rule):
        """What the module does to the ceremony; the server has the real one."""
        with open(f"{self.room.dir}/script.new", "w") as f:
            f.write(rule + "\n")
        os.rename(f"{self.room.dir}/script.new", f"{self.room.dir}/script")

    def server(self):
        return ServerOn(self.room, config={"token.pool": "{p256: 6}", "token.software_tuning": True, "token.module": MODULE,
                                           "ledger.checkpoint_interval_s": 1})

    def fill(self, h):
        """Citizens of several kinds, and keys in the pool. The credentials without a certificate: all but one."""
        h.add_clients()
        self.alice = h.add_citizen("alice")
        self.resident = h.add_credential("alice", "p256", "resident")
        found = [h.add_credential("alice", "rsa2048"), h.add_credential("alice", "p384"), self.resident]
        path = f"{h.dir}/people.csv"
        with open(path, "w", newline="") as f:
            csv.writer(f).writerows([("subject_id", "name", "dn", "key_type"),
                                     *((f"c{i}", f"C {i}", f"CN=C {i},C=VN", "p256") for i in range(PEOPLE))])
        h.kyso("credential", "enroll", "--csv", path, "--out", f"{h.dir}/people", "--relying-party", "*", "--seal-to",
               harness.reader(h.dir))
        for name in glob.glob(f"{h.dir}/people/*.jsonl"):
            with open(name) as f:
                found += [json.loads(line)["credential_id"] for line in f]
        self.assertEqual(len(found), PEOPLE + 3)
        return found

    def rotate(self, h, *custodians):
        t = self.room.terminal("kek", "rotate", self.room.plan, "--socket", f"{h.state}/state/run/kek.sock")
        self.room.bring(t, *custodians)
        return t

    def finish(self, t):
        t.expect("Type DESTROY")
        t.type("DESTROY")
        t.expect("The transcript is signed")
        self.assertEqual(t.wait(), 0, t.text[-2000:])

    def records(self, h):
        return [(r["event"], r["generation"]) for r in h.ledger("kek")]

    def sign_all(self, h, credentials):
        for credential in credentials:
            h.kyso("credential", "csr", credential, "--dn", "CN=again,C=VN", "--output", f"{h.dir}/again.csr")

    def restart(self, h):
        self.assertEqual(h.stop_server(), 0)
        h.run_server()

    def test_60_killed_and_resumed_then_every_credential_signs(self):
        with self.server() as h:
            credentials = self.fill(h)
            self.fault("C_WrapKey nth 72 exit 9")  # in the second bite: the first is kept
            t = self.rotate(h, 1, 2)
            t.expect("Step 3")
            self.assertEqual(t.wait(), 9, t.text[-2000:])
            self.restart(h)  # some rows are under either KEK
            self.assertIn("kek=2 older-kek=1", h.log_text())
            h.sign_by_approval(self.alice)
            credentials.append(h.add_credential("alice"))
            self.fault("C_UnwrapKey nth 12 exit 9")
            t = self.rotate(h, 2, 3)
            t.expect("The rotation goes on")
            self.assertEqual(t.wait(), 9, t.text[-2000:])
            self.fault("# nothing")
            t = self.rotate(h, 3, 1)
            t.expect("Type DESTROY")
            t.kill()  # both KEKs stay
            self.assertEqual(self.records(h), [(BEGUN, 2)] * 3 + [(ENDED, 2)])
            self.finish(self.rotate(h, 1, 3))
            ended = h.ledger("kek")[-1]
            self.assertEqual((ended["credentials"], ended["custodians"]), (PEOPLE + 4, "1,3"))
            self.sign_all(h, credentials)
            self.restart(h)
            self.assertIn("kek=2 older-kek=0", h.log_text())
            h.sign_by_approval(self.alice)
            self.sign_all(h, [*credentials[:8], h.add_credential("alice")])
            h.kyso("ledger", "verify")
        self.after()

    def after(self):
        """The backup of the new KEK restores; the old one is named as stale; the transcript verifies."""
        room = self.room
        done = room.run("verify", room.transcript, "--key", f"{room.dir}/kept/first.ledger.pub", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        t = room.terminal("drill", room.plan)
        room.bring(t, 3, 2)
        t.expect("The transcript is signed")
        self.assertEqual(t.wait(), 0, t.text[-2000:])
        done = room.run("kek", "backup", room.plan, f"{room.dir}/copy.json", "--backup", room.backup)
        self.assertEqual(done.returncode, 4)
        self.assertIn("is stale: the KEK was rotated since", done.stderr)

    def test_60_the_authority_is_killed_and_the_token_lost_on_the_way(self):
        with self.server() as h:
            credentials = self.fill(h)
            self.fault("C_WrapKey delay 20")
            t = self.rotate(h, 1, 2)
            t.expect("Step 3")
            h.wait_for(lambda: self.records(h), "the rotation to begin")
            os.kill(h.children("kyso-authority")[0], 9)
            self.finish(t)  # it has waited, and gone on
            self.sign_all(h, credentials[:12])
            self.fault("C_WrapKey nth 72 exit 9")
            self.assertEqual(self.rotate(h, 1, 2).wait(), 9)
            self.assertEqual(h.stop_server(), 0)
            shutil.copy(f"{h.state}/state/checkpoint", f"{h.dir}/checkpoint")
            self.room.lose_token()
            self.fault("# nothing")
            t = self.room.terminal("kek", "restore", self.room.plan, "--checkpoint", f"{h.dir}/checkpoint")
            self.room.bring(t, 2, 3)
            t.expect("The transcript is signed")
            self.assertEqual(t.wait(), 0, t.text[-2000:])
            h.run_server()
            self.assertIn("kek=3 older-kek=2", h.log_text())
            credentials = [x for x in credentials if x != self.resident]
            self.sign_all(h, credentials[:12])
            self.finish(self.rotate(h, 3, 1))
            self.sign_all(h, credentials[:12])

    def test_nobody_rotates_a_server_that_is_not_there_or_another_token_s(self):
        t = self.room.terminal("kek", "rotate", self.room.plan, "--socket", f"{self.room.dir}/nowhere.sock")
        t.expect("nowhere.sock: No such file or directory")
        self.assertEqual(t.wait(), 1)
        other = Room(m=2, n=2)
        self.addCleanup(other.close)
        other.init()
        with self.server() as h:
            t = other.terminal("kek", "rotate", other.plan, "--socket", f"{h.state}/state/run/kek.sock")
            other.bring(t, 1, 2)
            t.expect("the server: denied")
            self.assertEqual(t.wait(), 1)
            self.assertEqual(self.records(h), [])


if __name__ == "__main__":
    unittest.main()
