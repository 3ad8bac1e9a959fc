# SPDX-License-Identifier: Apache-2.0
"""kyso backup beside a load, and kysod --restore: what comes back is whole, and nothing older than the token knows is served."""

import os
import shutil
import threading
import unittest

from statecase import StateCase


class Backup(StateCase):
    config = {**StateCase.config, "ledger.checkpoint_interval_s": 1}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=3)

    def backup(self):
        """Once there is a checkpoint: the copy's path; FILE.checkpoint is beside it."""
        path = f"{self.h.dir}/copy.db"
        self.h.wait_for(lambda: self.h.kyso("ledger", "verify", check=False).returncode == 0, "a checkpoint")
        self.h.kyso("backup", "--output", path)
        return path

    def lose_database(self):
        for name in os.listdir(f"{self.h.state}/state"):
            if name.startswith(("kyso.db", "backup")):
                os.remove(f"{self.h.state}/state/{name}")

    def restore(self, path, checkpoint=None, code=0):
        done = self.h.kysod("--restore", path, "--checkpoint", checkpoint or f"{path}.checkpoint")
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(sorted(n for n in os.listdir(f"{self.h.state}/state") if n.startswith("kyso.db")),
                         ["kyso.db"] if code == 0 else [])
        return done.stdout + done.stderr

    def test_49_restored_where_the_token_knows_no_newer(self):
        """The copy of a server that then did nothing and was killed: the anchor agrees, and what could be lost is distrusted."""
        self.serve()
        self.stub.Sign(self.sign_request(self.alice), timeout=10)
        path = self.backup()
        self.kill()
        size = self.sql("SELECT max(idx) FROM ledger")[0][0] + 1
        self.put_back("base", database=False)  # a token that was not told of the last records
        self.lose_database()
        said = self.restore(path)
        self.assertRegex(said, "restored: [0-9]+ records")
        self.assertLessEqual(self.sql("SELECT max(idx) FROM ledger")[0][0] + 1, size)
        self.serve()
        self.assertLedgerVerifies()
        self.assertIn("anchor-mismatch", self.log())

    def test_50_a_copy_is_a_rollback(self):
        self.serve()
        path = self.backup()
        self.add_records(10)
        self.wait_for_anchor(self.head_of(path) + 10)
        self.kill()
        self.lose_database()
        self.restore(path)
        self.assertSeals("the database is older than the token's anchor: restore the newest one")

    def head_of(self, path):
        import sqlite3
        db = sqlite3.connect(path)
        try:
            return db.execute("SELECT max(idx) + 1 FROM ledger").fetchone()[0]
        finally:
            db.close()

    def test_restore_refuses(self):
        self.serve()
        path = self.backup()
        done = self.h.kysod("--restore", path, "--checkpoint", f"{path}.checkpoint")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another server runs", done.stderr)
        self.add_records(5)
        newest = f"{self.h.dir}/newest"
        self.h.wait_for(lambda: self.checkpoint_size() > self.head_of(path), "a newer checkpoint")
        shutil.copy(f"{self.h.state}/state/checkpoint", newest)
        self.kill()
        done = self.h.kysod("--restore", path, "--checkpoint", f"{path}.checkpoint")
        self.assertIn("a ledger is never overwritten", done.stderr)
        self.lose_database()
        self.assertIn("older than this checkpoint", self.restore(path, newest, code=1))
        with open(f"{path}.checkpoint") as f, open(newest, "w") as g:
            g.write(f.read().replace("\n", "0\n", 2).replace("0\n", "\n", 1))
        self.assertIn("no checkpoint that this ledger's key has signed", self.restore(path, newest, code=1))
        with open(path, "r+b") as f:  # cut in half
            f.truncate(os.path.getsize(path) // 8192 * 4096)
        self.assertIn("the backup is not restored", self.restore(path, code=1))
        self.assertIn("cannot read", self.restore(f"{path}-none", f"{path}.checkpoint", code=1))

    def checkpoint_size(self):
        with open(f"{self.h.state}/state/checkpoint") as f:
            return int(f.read().splitlines()[1])

    def test_whole_beside_a_load(self):
        """Copied while records are written: whole, and it runs through the checkpoint beside it."""
        self.serve()
        self.add_records(5000)  # a copy of several steps
        ended = threading.Event()

        def load():
            while not ended.is_set():
                self.add_records(50)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            paths = []
            for i in range(3):
                paths.append(f"{self.backup()}.{i}")
                shutil.copy(f"{self.h.dir}/copy.db", paths[-1])
                shutil.copy(f"{self.h.dir}/copy.db.checkpoint", paths[-1] + ".checkpoint")
        finally:
            ended.set()
            thread.join()
        self.assertIn("done, ", self.h.kyso("status", json_out=True)["backup"])
        self.kill()
        for path in paths:
            self.lose_database()
            self.restore(path)
            self.assertEqual(self.sql("PRAGMA integrity_check"), [("ok",)])


if __name__ == "__main__":
    unittest.main()
