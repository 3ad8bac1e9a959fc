# SPDX-License-Identifier: Apache-2.0
"""Old databases and old tokens, in any mix (P6; faults 49 and 50)."""

import os
import shutil
import subprocess
import unittest

from statecase import CODE, SOFTHSM, StateCase

AGES = [1, 10, 1000] + [int(n) for n in os.environ.get("KYSO_AGES", "").split()]
SUBJECT, CREDENTIAL, AUTHENTICATOR, CLIENT, OPERATOR = range(1, 6)


class Rollback(StateCase):
    operators = ("second",)

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=2)
        cls.bob = cls.h.add_citizen("bob", totps=1)
        cls.carol = cls.h.add_citizen("carol", totps=1)

    # --- fault 49 -----------------------------------------------------------------------------------

    def test_49_no_database_at_start(self):
        os.remove(f"{self.h.state}/state/kyso.db")
        done = self.h.kysod()
        self.assertEqual(done.returncode, 1)
        self.assertIn("restore it", done.stderr)
        self.assertFalse(os.path.exists(f"{self.h.state}/state/kyso.db"))

    def test_49_no_database_at_the_authoritys_start(self):
        path = f"{self.h.state}/state/kyso.db"
        self.serve()
        os.rename(path, path + "-away")
        for pid in self.h.children("kyso-authority"):
            os.kill(pid, 9)
        self.assertSeals("the database is missing: restore it, it is never made again", launch=False)
        self.assertFalse(os.path.exists(path))
        self.kill()
        os.rename(path + "-away", path)
        self.serve()

    # --- fault 50: an old database --------------------------------------------------------------------

    def test_50_older_than_the_anchor(self):
        self.serve()
        for age in AGES:
            with self.subTest(age=age):
                self.save("old", token=False)
                self.add_records(age)
                self.wait_for_anchor(self.head("old") + age)
                self.kill()
                self.save("new")
                self.put_back("old", token=False)
                self.assertSeals("the database is older than the token's anchor: restore the newest one")
                self.kill()
                self.put_back("new")
                self.serve()

    def test_50_old_database_beside_a_clean_stop(self):
        self.serve()
        self.stop_cleanly()
        self.put_back("base", token=False)
        self.assertSeals("the database is older than the token's anchor: restore the newest one")

    # --- an old token -----------------------------------------------------------------------------------

    def test_50_old_token(self):
        """The ledger is whole, so nothing is lost; that the token did not see it all is recorded, and proofs are refused a while."""
        self.serve()
        self.add_records(10)
        code = self.clock.code(self.alice)
        self.stub.Sign(self.sign_request(self.alice, code=code), timeout=10)
        self.stop_cleanly()
        self.put_back("base", database=False)
        self.serve()
        self.assertIn(" anchor-mismatch ", self.log())
        self.assertRefused(CODE.PERMISSION_DENIED, self.sign_request(self.alice, code=code))
        anchored, = self.h.ledger("anchored")
        self.assertGreater(anchored["head_size"], anchored["anchor_size"] + 10)

    def pin(self):
        with open(f"{self.h.state}/pin") as f:
            return f.read().strip()

    def test_50_token_without_an_anchor(self):
        for slot in ("0", "1"):
            subprocess.run(["pkcs11-tool", "--module", SOFTHSM, "--token-label", "kyso", "--login", "--pin", self.pin(), "--type",
                            "data", "--label", f"kyso-anchor-{slot}", "--delete-object"], env=self.h.env, capture_output=True)
        self.assertSeals("the token has no anchor of this ledger: another token, or an older copy of it")

    # --- both old -----------------------------------------------------------------------------------------

    def test_50_both_old_are_found_by_the_published_checkpoint(self):
        kept = f"{self.h.dir}/kept"
        published = f"{self.h.state}/state/checkpoint"
        self.serve()
        self.add_records(20)
        self.stop_cleanly()
        self.save("new")
        self.serve()
        self.h.wait_for(lambda: size_of(published) > self.head("new"), "a checkpoint")
        shutil.copy(published, kept)
        self.stop_cleanly()
        self.put_back("base")
        self.serve()
        self.assertNotIn(" anchor-mismatch ", self.log(), "nobody here can tell")
        told = self.verify(kept)
        self.assertIn(f"the checkpoint covers {size_of(kept)} records, the ledger has", told)
        self.add_records(size_of(kept))
        self.assertIn("the ledger does not verify at record", self.verify(kept))
        self.stop_cleanly()
        self.put_back("new", database=False)  # and the token that saw the other history
        self.assertSeals("the database is not the one that the token has anchored: it has forked")

    def verify(self, checkpoint):
        done = self.h.kyso("ledger", "verify", "--checkpoint", checkpoint, check=False)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        return done.stderr

    # --- old rows -------------------------------------------------------------------------------------------

    def old_row(self, table, row):
        """Puts the row of the base back into the database; it had changed since."""
        key = table << 32 | row
        old, = self.sql("SELECT version, body, mac FROM rows WHERE id = ?", key, name="base")
        self.assertNotEqual([old], self.sql("SELECT version, body, mac FROM rows WHERE id = ?", key))
        self.sql("UPDATE rows SET version = ?, body = ?, mac = ? WHERE id = ?", *old, key)

    def test_50_old_rows_of_people(self):
        self.serve()
        self.h.kyso("credential", "suspend", self.alice["credential_id"])
        self.h.kyso("authenticator", "remove", self.bob["totp"]["authenticator_id"])
        self.stop_cleanly()
        self.old_row(CREDENTIAL, row_of(self.alice["credential_id"]))
        self.old_row(AUTHENTICATOR, row_of(self.bob["totp"]["authenticator_id"]))
        # a person's row never changes: another's in its place
        self.sql("UPDATE rows SET (version, body, mac) = (SELECT version, body, mac FROM rows WHERE id = ?) WHERE id = ?",
                 SUBJECT << 32 | 1, SUBJECT << 32 | 3)
        self.serve()
        before = len(self.h.ledger())
        self.assertRefused(CODE.NOT_FOUND, self.sign_request(self.alice))
        self.assertRefused(CODE.PERMISSION_DENIED, self.sign_request(self.bob))
        self.assertRefused(CODE.NOT_FOUND, self.sign_request(self.carol))
        reasons = [r["reason"] for r in self.h.ledger("denied") if r["index"] >= before]
        self.assertEqual(reasons, ["corrupt", "proof-unconfirmed", "not-found"])

    def test_50_old_row_of_a_client(self):
        self.serve()
        self.h.kyso("client", "suspend", "gateway")
        self.stop_cleanly()
        self.old_row(CLIENT, 2)
        self.assertSeals("a client's or operator's row does not hold")

    def test_50_another_row_of_an_operator(self):
        self.sql("UPDATE rows SET (version, body, mac) = (SELECT version, body, mac FROM rows WHERE id = ?) WHERE id = ?",
                 OPERATOR << 32 | 1, OPERATOR << 32 | 2)
        self.assertSeals("a client's or operator's row does not hold")


def row_of(public_id):
    """c1f-... is the row 0x1f."""
    return int(public_id[1:].split("-")[0], 16)


def size_of(checkpoint):
    try:
        with open(checkpoint) as f:
            return int(f.read().splitlines()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    unittest.main()
