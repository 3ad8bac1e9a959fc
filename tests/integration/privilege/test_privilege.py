# SPDX-License-Identifier: Apache-2.0
"""What code that was smuggled into a role could do (P25): an intruder inside each role of a running server tries it, and the
kernel's answers are compared with one table. Once with a user for each role, as root starts a server, and once with
one user for all, where only the filters are left."""

import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../main"))

from base import Clock, ServerCase, harness  # noqa: E402

ROLES = ("front", "status", "authority", "vault")
LANDLOCK_CREATE_RULESET, LANDLOCK_VERSION = 444, 1
LANDLOCK = ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION) > 0

OK, EPERM, EACCES = 0, errno.EPERM, errno.EACCES
FENCED = EACCES if LANDLOCK else OK  # what of the authority only Landlock keeps from a file that everyone may read

# The filters' work, whoever the roles run as. attempt: front, status, authority, vault
FILTERED = {
    "memory-read": (EPERM, EPERM, EPERM, EPERM),
    "ptrace": (EPERM, EPERM, EPERM, EPERM),
    "kill": (EPERM, EPERM, EPERM, EPERM),
    "pidfd": (EPERM, EPERM, EPERM, EPERM),
    "signal-by-fcntl": (EPERM, EPERM, EPERM, EPERM),
    "signal-by-ioctl": (EPERM, EPERM, EPERM, EPERM),
    "socket-inet": (EPERM, EPERM, EPERM, EPERM),
    "socket-unix": (EPERM, EPERM, EPERM, EPERM),
    "socketpair": (EPERM, EPERM, EPERM, EPERM),
    "connect": (EPERM, EPERM, EPERM, EPERM),
    "connect-by-sendto": (EPERM, EPERM, EPERM, errno.EBADF),  # a vault has no socket that could
    "connect-by-sendmsg": (EPERM, EPERM, EPERM, errno.EBADF),
    "new-code": (EPERM, EPERM, EPERM, OK),
    "fork": (EPERM, EPERM, EPERM, OK),
    "figures": (None, EACCES, OK, None),  # the others have no such descriptor
    "become-root": (EPERM, EPERM, EPERM, EPERM),
    "exec": (EPERM, EPERM, EPERM, EPERM),
    "passwd": (EPERM, EPERM, FENCED, OK),
}
# With users apart, file rights too. The authority's folder is the state's; the vault's is the token's.
APART = {
    "memory-file": (EPERM, EPERM, EACCES, EACCES),
    "database": (EPERM, EPERM, OK, EACCES),
    "token": (EPERM, EPERM, EACCES, OK),
    "tls-key": (EPERM, EPERM, EACCES, EACCES),
    "pin": (EPERM, EPERM, EACCES, EACCES),
    "plant-file": (EPERM, EPERM, OK, EACCES),
    "move-run": (EPERM, EPERM, FENCED or EPERM, EACCES),
}


class SigVal(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("pointer", ctypes.c_void_p)]


def named(number):
    return errno.errorcode.get(number, number)


def send(pid, value):
    """SIGUSR2 with a value, which Python's os cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sigqueue.argtypes = (ctypes.c_int, ctypes.c_int, SigVal)
    if libc.sigqueue(pid, signal.SIGUSR2, SigVal(number=value)) != 0:
        raise OSError(ctypes.get_errno(), "sigqueue")


def share_programs(h):
    """The roles' users may have no way to where it was built."""
    h.bin = shutil.copytree(h.bin, f"{h.dir}/bin")
    subprocess.run(["chmod", "-R", "a+rX", h.bin], check=True)


class Probed(ServerCase):
    users = spawn = None
    config = {"token.vaults": 2}

    @classmethod
    def setUpClass(cls):
        cls.h = harness.Harness(config=cls.config, users=cls.users, spawn=cls.spawn)
        cls.addClassCleanup(cls.h.stop)
        share_programs(cls.h)
        intruder = shutil.copy(os.environ["KYSO_INTRUDER"], cls.h.bin)
        state = cls.h.state
        files = {"passwd": "/etc/passwd", "database": f"{state}/state/kyso.db", "token": f"{state}/token/objects",
                 "tls-key": f"{state}/pki/server.key", "pin": f"{state}/pin"}
        cls.h.env |= {"LD_PRELOAD": intruder, "KYSO_INTRUDER_FILES": "".join(f"{name}={path}:" for name, path in files.items())}
        if cls.users:
            cls.h.env["KYSO_INTRUDER_STATE"] = f"{state}/state"
        cls.h.start()
        cls.h.add_clients()
        cls.clock, cls.channels = Clock(), []
        cls.addClassCleanup(lambda: [c.close() for c in cls.channels])
        cls.alice = cls.h.add_citizen("alice")

    def intrude(self, role):
        """{attempt: errno} of the role, which tries to harm another."""
        pid, other = (self.h.children(f"kyso-{name}")[0] for name in (role, "authority" if role == "front" else "front"))
        pattern = re.compile(rf"^intruder {pid} ([\w-]+) (\d+)$", re.M)
        send(pid, other)
        self.h.wait_for(lambda: re.search(rf"^intruder {pid} exec", self.h.log_text(), re.M) or
                        not harness.command_line(pid) or harness.command_line(pid)[0] == "true", f"the intruder in {role}")
        return {attempt: int(number) for attempt, number in pattern.findall(self.h.log_text())}

    def assertTable(self, table):
        for column, role in enumerate(ROLES):
            answers = self.intrude(role)
            for attempt, row in table.items():
                with self.subTest(role=role, attempt=attempt):
                    if row[column] is not None:
                        self.assertEqual(named(answers.get(attempt)), named(row[column]))

    def assertSigns(self):
        stub = self.signer()
        asked = self.sign_request(self.alice)
        self.assertSigned(stub, self.alice, asked.request, stub.Sign(asked, timeout=10))


class OneUser(Probed):
    """Started by somebody else than root, or a demo: the filters are all there is. This one's module may use sockets."""

    config = {"token.vaults": 2, "token.network": True}

    def test_filters(self):
        sockets = {"socket-inet": OK, "socket-unix": OK, "socketpair": OK, "connect": errno.EBADF}
        self.assertTable(FILTERED | {name: (EPERM, EPERM, EPERM, vault) for name, vault in sockets.items()})
        self.assertSigns()


class Apart(Probed):
    """Started by root: numbers, so that no account need be made."""

    users = {role: 64001 + i for i, role in enumerate(ROLES)}
    spawn = {"extra_groups": [64010]}  # kysod's own, which no role may keep

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root, to start roles as others")
        super().setUpClass()

    def test_users(self):
        for role, uid in self.users.items():
            for pid in self.h.children(f"kyso-{role}"):
                with open(f"/proc/{pid}/status") as f:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
                self.assertEqual(status["Uid"].split(), [str(uid)] * 4, role)
                self.assertEqual(status["Gid"].split(), [str(uid)] * 4, role)
                self.assertEqual(status["Groups"].split(), [], role)
                self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0, role)

    def test_filters_and_files(self):
        self.assertTable(FILTERED | APART)
        self.assertSigns()

    def test_state(self):
        """A folder or a file that is not as --init leaves it: no start, and the words that mend it."""
        h, state = self.h, f"{self.h.state}/state"
        markers = [f"{state}/login-{name}" for name in ("pending", "failures")]

        def plant(path):
            with open(path, "wb"):
                os.chown(path, self.users["authority"], -1)
        self.assertEqual(h.stop_server(), 0)
        spoiled = (lambda: os.chmod(state, 0o777), lambda: os.chmod(state, 0o770), lambda: os.chown(state, 0, 0),
                   lambda: os.chown(state, self.users["authority"], -1), lambda: os.chown(f"{state}/kyso.db", 0, 0),
                   lambda: os.chown(f"{state}/run", self.users["authority"], -1),
                   *(lambda path=path: plant(path) for path in markers))
        for spoil in spoiled:
            spoil()
            refused = h.kysod()
            self.assertEqual(refused.returncode, 1, refused.stderr)
            command = refused.stderr.splitlines()[-1]
            self.assertIn("chown", command)
            subprocess.run(["sh", "-c", command], check=True)
        for path in markers:
            self.assertEqual(os.stat(path).st_uid, 0, "the command keeps kysod's from the authority")
            os.unlink(path)
        h.run_server()
        self.assertSigns()

    def test_export_by_root(self):
        """An offline export leaves nothing of root's, which the next start would refuse."""
        h, state = self.h, f"{self.h.state}/state"
        self.assertEqual(h.stop_server(), 0)
        os.unlink(f"{state}/kyso.db.lock")
        done = subprocess.run([f"{h.bin}/kyso-authority", "--export", f"{state}/kyso.db"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"checkpoint"', done.stdout)
        self.assertEqual(os.stat(f"{state}/kyso.db.lock").st_uid, self.users["authority"])
        h.run_server()
        self.assertSigns()


class Refused(unittest.TestCase):
    """What a server that cannot have its users says."""

    def setUp(self):
        self.h = harness.Harness()
        self.addCleanup(self.h.stop)
        share_programs(self.h)
        self.h.make_state()
        subprocess.run(["chmod", "a+rX", self.h.dir, self.h.state, f"{self.h.state}/kyso.yaml"], check=True)

    def refusal(self, config):
        self.h.config = config
        self.h.configure()
        done = self.h.kysod("--init", "--operator", f"demo:{self.h.state}/pki/portal.pem")
        self.assertEqual(done.returncode, 1)
        self.assertFalse(os.path.exists(f"{self.h.state}/state"), "it was refused before anything was made")
        return done.stderr

    def test_root_needs_users(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        self.assertIn("no such user", self.refusal({"demo": False, "users.front": "kyso-nobody-at-all"}))
        self.assertIn("no such user", self.refusal({"demo": True, "users.front": "kyso-nobody-at-all"}))
        numbers = {f"users.{role}": 64001 + i for i, role in enumerate(ROLES)}
        self.assertIn("of its own", self.refusal(numbers | {"users.vault": 64001}))
        self.assertIn("must not run as root", self.refusal(numbers | {"users.vault": 0}))

    def test_others_cannot_have_them(self):
        if os.geteuid() == 0:
            self.h.spawn = {"user": 64005, "group": 64005, "extra_groups": []}
        self.assertIn("only root", self.refusal({f"users.{role}": 64001 + i for i, role in enumerate(ROLES)}))


if __name__ == "__main__":
    unittest.main()
