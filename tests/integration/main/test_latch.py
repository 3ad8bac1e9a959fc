# SPDX-License-Identifier: Apache-2.0
"""Starts that must not go well: the PIN latch (P11, fault 34), a database that is missing (49), older than the token's
anchor or beside another token (50, P6), and a second server (51). Logins are counted inside the module, by a shim."""

import contextlib
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import unittest

from base import ServerCase, grpc, harness, k, signer_pb2

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
CODE = grpc.StatusCode
VAULT = 'role_kind="vault"'


class StartCase(ServerCase):
    """A stopped server with one citizen; each test leaves it as good as it was."""

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=4, device=None)
        cls.stop_cleanly()

    @classmethod
    def stop_cleanly(cls):
        code = cls.h.stop_server()
        assert code == 0, f"kysod ended with {code}: {cls.h.log_text()[-4000:]}"

    def setUp(self):
        self.log_start = len(self.h.log_text())
        self.addCleanup(self.h.stop_server)

    def log(self):
        return self.h.log_text()[self.log_start:]

    def lines(self, *words):
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def wait_for_lines(self, count, *words):
        with contextlib.suppress(harness.HarnessError):
            self.h.wait_for(lambda: self.h.process.poll() is not None or len(self.lines(*words)) >= count, words)
        self.assertGreaterEqual(len(self.lines(*words)), count, self.log()[-3000:])

    def sign(self):
        return self.signer().Sign(self.sign_request(self.alice), timeout=10)

    def assertSigns(self):
        self.assertEqual(len(self.sign().signatures), 1)

    def assertSignsNothing(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.signer().Sign(self.sign_request(self.alice, code="123456"), timeout=10)
        self.assertEqual(caught.exception.code(), CODE.UNAVAILABLE)

    def state(self, name):
        return f"{self.h.state}/state/{name}"


class Latch(StartCase):
    @classmethod
    def setUpClass(cls):
        shim = os.environ.get("KYSO_SHIM_PATH")
        if not shim:
            raise unittest.SkipTest("KYSO_SHIM_PATH does not name the counting module")
        cls.config = {"token.module": shim, "token.vaults": 2}
        cls.env = {"KYSO_SHIM_MODULE": MODULE}
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.counter = f"{self.h.dir}/logins"
        self.h.env["KYSO_SHIM_LOGINS"] = self.counter
        self.pin = k.read(f"{self.h.state}/pin")
        self.addCleanup(self.restore)

    def restore(self):
        self.h.stop_server()
        with open(f"{self.h.state}/pin", "wb") as f:
            f.write(self.pin)
        for path in (self.state("login-pending"), self.counter):
            if os.path.exists(path):
                os.unlink(path)

    def logins(self):
        return os.path.getsize(self.counter) if os.path.exists(self.counter) else 0

    def write_pin(self, text):
        with open(f"{self.h.state}/pin", "w") as f:
            f.write(text)

    def start_latched(self, count=1):
        self.h.launch()
        self.wait_for_lines(count, "latch-closed")

    def test_the_counter_counts(self):
        self.h.run_server()
        self.wait_for_lines(2, "vault-joined")
        self.assertEqual(self.logins(), 2, "one for each vault")
        self.assertFalse(os.path.exists(self.state("login-pending")))

    def test_a_wrong_pin_costs_one_try_however_often_it_restarts(self):
        self.write_pin("not the PIN")
        self.start_latched()
        self.assertEqual(self.logins(), 1)
        self.assertTrue(os.path.exists(self.state("login-pending")))
        self.assertSignsNothing()
        for i in range(10):
            if i % 3 == 2:
                self.assertEqual(self.h.stop_server(signal.SIGKILL), -signal.SIGKILL)
            else:
                self.assertEqual(self.h.stop_server(), 0)
            self.start_latched(i + 2)
        self.assertEqual(self.logins(), 1)
        self.assertEqual(len(self.lines(" kysod ", "login-failed")), 1)
        self.assertEqual(len(self.lines("role-started", VAULT)), 1, "nothing said hello to the token again")
        self.assertSignsNothing()

        # an operator who has not mended it: one more try, no more
        self.assertIn("cleared", self.h.kysod("--clear-latch").stdout)
        self.wait_for_lines(12, "latch-closed")
        self.assertEqual(self.logins(), 2)

        # and one who has
        self.write_pin(self.pin.decode())
        self.assertEqual(self.h.kysod("--clear-latch").returncode, 0)
        self.h.wait_for(lambda: self.lines("serving"), "the server to serve")
        self.assertSigns()
        self.wait_for_lines(2, "vault-joined")
        self.assertFalse(os.path.exists(self.state("login-pending")))

    def test_a_marker_found_at_start_closes_it(self):
        with open(self.state("login-pending"), "w") as f:
            f.write("vault 0\n")
        self.start_latched()
        self.assertSignsNothing()
        self.assertEqual((self.logins(), self.lines("role-started", VAULT)), (0, []))
        self.assertEqual(self.h.stop_server(), 0)
        done = self.h.kysod("--clear-latch")
        self.assertEqual((done.returncode, "vault 0" in done.stdout), (0, True), done.stdout)
        self.h.run_server()
        self.assertSigns()
        self.assertEqual(self.h.kysod("--clear-latch").returncode, 0)  # nothing to clear
        self.assertSigns()

    def test_a_vault_killed_while_it_logs_in(self):
        os.mkfifo(self.counter)  # C_Login waits for a reader
        self.h.launch()
        killed = 0
        while not self.lines("latch-closed") and killed < 5:  # one that dies before it has the PIN is started again
            self.h.wait_for(lambda: len(self.lines("role-started", VAULT)) > killed and os.path.exists(
                self.state("login-pending")) and self.h.children("kyso-vault"), "a vault that is given the PIN")
            os.kill(self.h.children("kyso-vault")[0], signal.SIGKILL)
            killed += 1
            self.h.wait_for(lambda: self.lines("latch-closed") or len(self.lines("role-started", VAULT)) > killed,
                            "the supervisor to notice")
        self.assertEqual(len(self.lines("latch-closed")), 1)
        self.assertTrue(os.path.exists(self.state("login-pending")))
        self.assertEqual(len(self.lines("role-started", VAULT)), killed)
        self.assertEqual(self.h.stop_server(), 0)
        os.unlink(self.counter)
        self.start_latched(2)
        self.assertEqual(self.logins(), 0)

    def test_no_pin_to_be_had(self):
        for text in (None, "", "\n", "x" * 300):
            with self.subTest(text=text):
                os.unlink(f"{self.h.state}/pin")
                if text is not None:
                    self.write_pin(text)
                done = self.h.kysod()
                self.write_pin(self.pin.decode())
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn("cannot read the PIN from", done.stderr)
        self.assertEqual(self.logins(), 0)


class State(StartCase):
    def database(self):
        return {path: k.read(path) for path in glob.glob(self.state("kyso.db*")) if not path.endswith("-shm")}

    def put_database(self, files):
        for path in glob.glob(self.state("kyso.db*")):
            os.unlink(path)
        for path, data in files.items():
            with open(path, "wb") as f:
                f.write(data)

    def assertSeals(self, *words):
        """Up, but sealed: nothing is signed, and the database stays as it is."""
        before = {path: hashlib.sha256(data).digest() for path, data in self.database().items()}
        self.h.launch()
        self.wait_for_lines(1, "sealed", *words)
        self.assertSignsNothing()
        self.assertIsNone(self.h.process.poll())
        self.h.stop_server()
        after = {path: hashlib.sha256(data).digest() for path, data in self.database().items() if path in before}
        self.assertEqual(after, before)

    def test_missing_database_is_never_made_again(self):
        files = self.database()
        self.addCleanup(self.put_database, files)
        self.put_database({})
        done = self.h.kysod()
        self.assertEqual(done.returncode, 1)
        self.assertIn("kyso.db is missing: restore it", done.stderr)
        self.assertEqual(self.database(), {})

    def test_init_never_overwrites(self):
        files = self.database()
        for done in (self.h.kysod("--init", "--operator", f"demo:{self.h.state}/operator.key.pub"),
                     self.h.kyso("init", check=False)):
            self.assertEqual(done.returncode, 1)
            self.assertIn("exists already", done.stderr)
        self.assertEqual(self.database(), files)
        # and a token that anchors a ledger takes no second one
        self.addCleanup(self.put_database, files)
        self.put_database({})
        done = self.h.kysod("--init", "--operator", f"demo:{self.h.state}/operator.key.pub")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)

    def test_51_second_server_on_the_same_state(self):
        self.h.run_server()
        for words in ((), ("--init", "--operator", f"demo:{self.h.state}/operator.key.pub")):
            done = self.h.kysod(*words)
            self.assertEqual(done.returncode, 1)
            self.assertIn("another server runs on", done.stderr)
        self.assertSigns()
        self.stop_cleanly()
        self.h.run_server()
        self.assertSigns()

    def test_database_older_than_the_anchor(self):
        old = self.database()
        self.h.run_server()
        code = self.clock.code(self.alice)
        self.signer().Sign(self.sign_request(self.alice, code=code), timeout=10)
        self.stop_cleanly()
        new = self.database()
        self.put_database(old)
        try:
            self.assertSeals("older than the token's anchor")
        finally:
            self.put_database(new)
        self.log_start = len(self.h.log_text())
        self.h.run_server()
        with self.refused(CODE.PERMISSION_DENIED, "proof-replayed"):
            self.signer().Sign(self.sign_request(self.alice, code=code), timeout=10)
        self.assertSigns()

    def token(self):
        return f"{self.h.state}/token/objects"

    def swap_token(self, folder):
        os.rename(self.token(), self.token() + ".aside")
        shutil.copytree(folder, self.token())

    def restore_token(self):
        self.h.stop_server()
        if os.path.exists(self.token() + ".aside"):
            shutil.rmtree(self.token())
            os.rename(self.token() + ".aside", self.token())

    def test_blank_token_of_the_same_name(self):
        """It has none of our keys: the vault ends and says why, and no key is made in it."""
        self.addCleanup(self.restore_token)
        os.makedirs(f"{self.h.dir}/blank", exist_ok=True)
        self.swap_token(f"{self.h.dir}/blank")
        subprocess.run(["softhsm2-util", "--module", MODULE, "--init-token", "--free", "--label", "kyso", "--pin",
                        k.read(f"{self.h.state}/pin").decode().strip(), "--so-pin", "12345678"], env=self.h.env,
                       check=True, capture_output=True)
        self.h.launch()
        self.wait_for_lines(2, "key-refused")
        self.assertEqual(self.lines("serving") + self.lines("latch-closed"), [])
        self.assertSignsNothing()

    def test_another_servers_token(self):
        """Its kyso-root derives other keys: no row and no root holds."""
        self.addCleanup(self.restore_token)
        with contextlib.ExitStack() as stack:
            other = harness.Harness()
            stack.callback(other.stop)
            other.start()
            other.stop_server()
            pin = k.read(f"{self.h.state}/pin")
            stack.callback(self.put_pin, pin)
            self.put_pin(k.read(f"{other.state}/pin"))
            self.swap_token(f"{other.state}/token/objects")
            self.assertSeals("another token, or it was changed")

    def put_pin(self, pin):
        with open(f"{self.h.state}/pin", "wb") as f:
            f.write(pin)

    def test_z_older_copy_of_the_token(self):
        """The last test, for it spends the window. The ledger is longer than the anchor, as after a crash: it serves,
        but takes no code of the window."""
        shutil.copytree(self.token(), f"{self.h.dir}/older")
        self.h.run_server()
        code = self.clock.code(self.alice)
        self.signer().Sign(self.sign_request(self.alice, code=code), timeout=10)
        self.stop_cleanly()
        self.swap_token(f"{self.h.dir}/older")
        shutil.rmtree(self.token() + ".aside")  # from now on this is the token
        self.h.launch()
        self.h.wait_for(lambda: self.lines("anchor-mismatch"), "the mismatch to be noticed")
        self.h.wait_for(self.h._is_serving, "the server to serve")
        unused = harness.code_at(self.alice["totps"][-1], int(harness.time.time() // 30))
        with self.refused(CODE.PERMISSION_DENIED, "proof-replayed"):
            self.signer().Sign(self.sign_request(self.alice, code=code), timeout=10)
        with self.refused(CODE.FAILED_PRECONDITION, "proof-floored", detail="proof-needed"):
            self.signer().Sign(self.sign_request(self.alice, code=unused), timeout=10)
        self.assertLedgerVerifies()


if __name__ == "__main__":
    unittest.main()
