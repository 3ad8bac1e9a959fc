# SPDX-License-Identifier: Apache-2.0
"""The supervisor alone, its roles played by fake_role.py: who gets which descriptor, what a role's end means at each moment of
its life, the PIN latch, and the order and patience of a drain."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from base import ServerCase

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))

CONFIG = """\
server_id: server
state_dir: {dir}/state
demo: true  # or root would want a user for each role
tls: {{certificate: /none.pem, key: /none.key, client_ca: /none.pem}}
doors: {{signer_listen: "127.0.0.1:0", approver_listen: "127.0.0.1:0"}}
token: {{module: /none.so, uri: "pkcs11:token=none", pin_file: {dir}/pin, vaults: 1}}
status_listen: "127.0.0.1:0"
"""
DOORS = {"signer": 1, "approver": 2, "operator": 3}


class Supervisor(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="kyso-supervisor-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.programs = os.path.join(self.dir, "bin")
        for folder in ("bin", "state", "fake"):
            os.mkdir(os.path.join(self.dir, folder), 0o700)
        for role in ("authority", "vault", "front", "status"):
            os.symlink(os.path.join(HERE, "fake_role.py"), os.path.join(self.programs, "kyso-" + role))
        self.write("kyso.yaml", CONFIG.format(dir=self.dir))
        self.write("pin", "1234\n")
        self.write("state/kyso.db", "")
        self.write("fake/right-pin", "1234")
        self.env = dict(os.environ, KYSO_PROGRAM_DIR=self.programs, FAKE_DIR=os.path.join(self.dir, "fake"),
                        FAKE_CONTROL_H=os.path.join(ROOT, "proto/include/kyso/control.h"), PYTHONDONTWRITEBYTECODE="1")
        self.kysod = os.path.join(os.environ.get("KYSO_BIN") or os.path.join(ROOT, "build/dev/bin"), "kysod")
        self.process = None

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def misbehave(self, name):
        self.write("fake/" + name, "")

    def behave(self, name):
        os.unlink(os.path.join(self.dir, "fake", name))

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([self.kysod, "--config", f"{self.dir}/kyso.yaml"], env=self.env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self._end)

    def _end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()  # the roles die with it
            self.process.wait()

    def stop(self, seconds=20):
        self.process.terminate()
        return self.process.wait(seconds)

    def log(self):
        with open(os.path.join(self.dir, "log")) as f:
            return f.read()

    def events(self, role=None, event=None, **more):
        try:
            with open(os.path.join(self.dir, "fake/log")) as f:
                found = [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [e for e in found if role in (None, e["role"]) and event in (None, e["event"]) and
                all(e.get(k) == v for k, v in more.items())]

    def wait_for(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            self.assertIsNone(self.process.poll(), self.log())
            self.assertLess(time.monotonic(), end, f"waited in vain for {what}\n{self.log()}")
            time.sleep(0.02)

    def peers(self, authority):
        """The doors that this authority was given; 0 is a vault."""
        return [e["door"] for e in self.events("authority", "told", type="PEER", pid=authority)]

    def authority(self):
        self.wait_for(lambda: self.events("authority", "start"), "an authority")
        return self.events("authority", "start")[-1]["pid"]

    def serving(self):
        return self.events("authority", "start") and sorted(self.peers(self.authority())) == [0, 1, 2, 3]

    def latched(self):
        return "latch-closed" in self.log()

    # --- starts ----------------------------------------------------------------------------------

    def test_each_role_has_only_its_own(self):
        self.start()
        self.wait_for(self.serving, "the server")
        self.wait_for(lambda: self.events("status", "start"), "the status page")
        wanted = {"authority": [0, 1, 2, 3, 4, 7], "vault": [0, 1, 2, 3, 4, 5], "front": [0, 1, 2, 3, 4, 5, 6],
                  "status": [0, 1, 2, 3, 4, 6, 7]}
        for e in self.events(event="start"):
            self.assertEqual(e["fds"], wanted[e["role"]], e["role"])
            # what a terminal sends to all of them is the supervisor's to hear
            self.assertLessEqual({signal.SIGINT, signal.SIGHUP}, set(e["ignored"]), e["role"])
        self.assertEqual(self.stop(), 0)

    def test_nobody_outlives_the_supervisor(self):
        self.start()
        self.wait_for(self.serving, "the server")
        pids = [e["pid"] for e in self.events(event="start")]
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + 10
        while any(self.alive(pid) for pid in pids):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    @staticmethod
    def alive(pid):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    # --- an authority that is gone ---------------------------------------------------------------

    def test_an_authority_that_cannot_start(self):
        """The others wait for one that can: its back-off bounds the logins and the fronts' starts as well."""
        self.start()
        self.wait_for(self.serving, "the server")
        self.misbehave("authority-dies")
        before = self.authority()
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: len(self.events("authority", "start")) >= 5, "four failed starts")
        self.behave("authority-dies")
        self.wait_for(lambda: self.authority() != before and self.serving(), "the server again")
        tries = len(self.events("authority", "start"))
        self.assertLessEqual(len(self.events("vault", "start")), tries)
        self.assertLessEqual(len(self.events("front", "start")), 3 * tries)
        self.assertEqual(self.stop(), 0)

    def test_authority_ends_while_a_vault_logs_in(self):
        """Killing the vault then would close the latch; it has never met that authority anyway."""
        self.misbehave("vault-slow-login")
        self.start()
        self.wait_for(lambda: self.events("vault", "pin"), "the PIN")
        before = self.authority()
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: self.authority() != before, "another authority")
        self.behave("vault-slow-login")
        self.wait_for(self.serving, "the server")
        self.assertEqual(len(self.events("vault", "pin")), 1)
        self.assertFalse(self.latched())
        self.assertEqual(self.stop(), 0)

    # --- the latch -------------------------------------------------------------------------------

    def test_a_vault_dies_before_it_has_the_pin(self):
        """No try was spent, so nothing is latched, whatever is noticed first."""
        self.misbehave("vault-dies-after-hello")
        self.start()
        self.wait_for(lambda: self.events("vault", "hello") and
                      not self.alive(self.events("vault", "hello")[0]["pid"]), "its last word")
        self.behave("vault-dies-after-hello")
        self.process.send_signal(signal.SIGCONT)
        self.wait_for(self.serving, "the server")
        self.assertFalse(self.latched())
        self.assertFalse(os.path.exists(f"{self.dir}/state/login-pending"))
        self.assertEqual(self.stop(), 0)

    def test_a_vault_dies_while_logging_in(self):
        self.misbehave("vault-slow-login")
        self.start()
        self.wait_for(lambda: self.events("vault", "pin"), "the PIN")
        os.kill(self.events("vault", "pin")[0]["pid"], signal.SIGKILL)
        self.wait_for(self.latched, "the latch")
        self.assertTrue(os.path.exists(f"{self.dir}/state/login-pending"))
        self.assertEqual(self.stop(), 0)
        self.behave("vault-slow-login")
        self.start()  # also after a restart
        self.wait_for(lambda: sorted(self.peers(self.authority())) == [1, 2, 3], "the server")
        self.assertEqual(len(self.events("vault", "pin")), 1)
        self.clear_latch()
        self.wait_for(self.serving, "the vault")
        self.assertEqual(self.stop(), 0)

    def test_a_login_refused_by_a_code_of_the_vendors_own(self):
        self.misbehave("vault-vendor-code")
        self.start()
        self.wait_for(self.latched, "the latch")
        self.assertTrue(os.path.exists(f"{self.dir}/state/login-pending"))
        self.assertEqual(self.stop(), 0)
        self.assertEqual(len(self.events("vault", "pin")), 1)

    def clear_latch(self):
        subprocess.run([self.kysod, "--config", f"{self.dir}/kyso.yaml", "--clear-latch"], check=True, env=self.env,
                       stdout=subprocess.DEVNULL)

    def test_a_pin_that_cannot_be_read_when_the_latch_is_cleared(self):
        self.write("pin", "4321\n")
        self.start()
        self.wait_for(self.latched, "the latch")
        os.unlink(f"{self.dir}/pin")
        self.clear_latch()
        self.wait_for(lambda: "cannot be read" in self.log(), "the complaint")
        self.write("pin", "1234\n")
        self.clear_latch()
        self.wait_for(self.serving, "the server")
        self.assertEqual(len(self.events("vault", "pin")), 2, "one try a clearing")
        self.assertEqual(self.stop(), 0)

    # --- draining --------------------------------------------------------------------------------

    def test_nothing_starts_while_draining(self):
        self.misbehave("vault-dies")
        self.misbehave("front-slow-drain")
        self.start()
        ended = 'role-ended role_kind="vault"'
        self.wait_for(lambda: 4 <= len(self.events("vault", "start")) == self.log().count(ended), "back-off")
        self.process.terminate()
        self.wait_for(lambda: self.events("front", "told", type="DRAIN"), "the drain")
        starts = len(self.events("vault", "start"))
        time.sleep(1.5)  # longer than the back-off then is
        self.assertEqual(len(self.events("vault", "start")), starts)
        self.behave("front-slow-drain")
        self.assertEqual(self.process.wait(20), 0)

    def test_a_front_that_hangs_does_not_cost_the_authority_its_clean_stop(self):
        self.misbehave("front-slow-drain")
        self.start()
        self.wait_for(self.serving, "the server")
        self.assertEqual(self.stop(60), 1)
        self.assertTrue(self.events("authority", "told", type="DRAIN"))
        ended = [line for line in self.log().splitlines() if "role-ended" in line and '"authority"' in line]
        self.assertEqual(len(ended), 1, self.log())
        self.assertIn("signal=0", ended[0])


class Real(ServerCase):
    """A server that is whole."""

    def test_a_vault_leaves_no_channel_to_what_its_module_starts(self):
        pid = self.h.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            vaults = [p for p in f.read().split() if "kyso-vault" in self.command(p)]
        self.assertTrue(vaults)
        for p in vaults:
            for fd in os.listdir(f"/proc/{p}/fd"):
                with open(f"/proc/{p}/fdinfo/{fd}") as f:
                    flags = next(int(line.split()[1], 8) for line in f if line.startswith("flags"))
                if int(fd) > 2:
                    self.assertTrue(flags & os.O_CLOEXEC, f"descriptor {fd} of a vault")

    @staticmethod
    def command(pid):
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read()


if __name__ == "__main__":
    unittest.main()
