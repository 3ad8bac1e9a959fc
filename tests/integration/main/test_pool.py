# SPDX-License-Identifier: Apache-2.0
"""Keys made in advance (token.pool): filled in idle time, handed to the next who wants one, and to nobody else, whatever is killed."""

import os
import random
import signal
import threading

from base import ServerCase, harness


CREDENTIAL, POOL_KEY = 2, 6  # tables, as LEDGER_ADMIN numbers them


class Pool(ServerCase):
    config = {"token.pool": "{p256: 12, rsa2048: 2}", "token.software_tuning": True}

    def pool(self):
        return self.h.kyso("status", json_out=True)["pool"]

    def wait_filled(self):
        """From below half of what is wanted it fills up to all of it."""
        self.h.wait_for(lambda: all(x["keys"] >= (x["wanted"] + 1) // 2 for x in self.pool().values()), "the pool to be filled", 120)

    def handed_out(self, kind):
        """How many pool rows have been written, by their versions: 1 a key, 2 given away, 3 the next key."""
        return [r for r in self.h.ledger("admin") if r["table"] == POOL_KEY and (r["version"] % 2 == 0) == (kind == "given")]

    def test_a_walk_in_takes_what_is_there(self):
        self.wait_filled()
        self.assertEqual(self.pool()["rsa2048"], {"keys": 2, "wanted": 2})
        self.h.kyso("subject", "add", "walk-in", "--name", "Walk In")
        before = len(self.handed_out("given"))
        credential = self.h.add_credential("walk-in", "rsa2048")
        given = self.handed_out("given")
        self.assertEqual(len(given), before + 1)
        made = [r for r in self.h.ledger("admin") if r["table"] == CREDENTIAL][-1]
        self.assertEqual(given[-1]["operation"], made["operation"], "one operation gave it and took it")
        self.h.certify(credential, "walk-in")  # the blob unwraps, and signs
        self.h.add_credential("walk-in", "rsa2048")
        self.wait_filled()
        self.assertIn(" of 2 rsa2048", self.h.kyso("status").stdout)
        self.assertLedgerVerifies()

    def test_it_outlives_a_restart(self):
        self.wait_filled()
        held, before = self.pool(), len(self.handed_out("made"))
        self.assertEqual(self.h.stop_server(), 0)
        self.h.run_server()
        self.assertEqual(self.pool(), held)
        self.assertEqual(len(self.handed_out("made")), before)

    def test_nobody_shares_a_key(self):
        """kill -9 of the authority at any time: a key of the pool is of one credential at most."""
        rounds = int(os.environ.get("KYSO_ROUNDS", "4"))
        self.h.kyso("subject", "add", "many", "--name", "Many")
        for _ in range(rounds):
            self.wait_filled()
            stop = threading.Event()

            def create(stop=stop):
                while not stop.is_set():
                    self.h.kyso("credential", "create", "--subject", "many", "--relying-party", "*", check=False)

            crowd = [threading.Thread(target=create) for _ in range(3)]
            for t in crowd:
                t.start()
            given = len(self.handed_out("given"))
            target = given + random.randrange(1, 9)
            self.h.wait_for(lambda: len(self.handed_out("given")) >= target, "keys to be taken", 120)  # noqa: B023
            os.kill(self.h.children("kyso-authority")[0], signal.SIGKILL)
            stop.set()
            for t in crowd:
                t.join()
            self.h.wait_for(lambda: self.h.kyso("status", check=False).returncode == 0, "the server to be back")
        credentials = self.h.kyso("credential", "list", "--subject", "many", json_out=True)["credentials"]
        keys = [c["public_key"] for c in credentials]
        self.assertGreater(len(keys), rounds)
        self.assertEqual(len(set(keys)), len(keys), "two credentials have one key")
        self.assertLedgerVerifies()
        harness.Harness.wait_for(lambda: self.pool()["p256"]["keys"] > 0, "keys again")
