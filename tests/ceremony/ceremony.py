# SPDX-License-Identifier: Apache-2.0
"""A room with a ceremony in it: kyso-ceremony on a pseudo-terminal, people who read its screen and type, and a private
SoftHSM2. Tests import it."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("KYSO_BIN") or os.path.join(ROOT, "build/dev/bin")
PROGRAM = os.path.join(BIN, "kyso-ceremony")
MODULE = os.environ.get("KYSO_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
NAMES = ["An", "Binh", "Chi", "Dung", "Em"]
WAIT_S = int(os.environ.get("KYSO_WAIT_S", "180"))  # sanitized builds beside other work
SHARE_LINE = re.compile(r"^ {4}((?:[0-9A-Z]{4} ){9}[0-9A-Z]{4})\r?$", re.M)

PLAN = """
id: first
title: The first ceremony of a test
demo: true
threshold: {m}
custodians:
{custodians}
people:
  - {{role: ceremony administrator, name: Tran Thi Ba}}
  - {{role: witness, name: Le Van Bon}}
key_types: [p256]
token:
  module: {module}
  uri: pkcs11:token=kyso
folder: {folder}/kept
"""


class Gone(Exception):
    pass


class Terminal:
    """A program on a terminal of its own. What it printed is consumed as it is expected."""

    def __init__(self, argv, env):
        self.text, self.at, self.code = "", 0, None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, env)

    def _more(self, timeout):
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other end is closed
            data = b""
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, pattern):
        """The match, once it is on the screen."""
        end = time.monotonic() + WAIT_S
        compiled = re.compile(pattern, re.M)
        while True:
            found = compiled.search(self.text, self.at)
            if found:
                self.at = found.end()
                return found
            if not self._more(1) or time.monotonic() > end:
                raise Gone(f"no /{pattern}/ on the screen:\n{self.text[-3000:]}")

    def type(self, line=""):
        os.write(self.fd, line.encode() + b"\n")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        """Reads to the end; the exit code, or minus the signal."""
        while self._more(WAIT_S):
            pass
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.fd)
        return self.code

    def note_argv(self):
        """Its arguments as other processes see them, now."""
        with open(f"/proc/{self.pid}/cmdline", "rb") as f:
            self.argv = f.read()


class Room:
    """A folder with a blank token, a plan and the forms that custodians have written."""

    def __init__(self, m=3, n=5, module=MODULE):
        self.dir = tempfile.mkdtemp(prefix="kyso-ceremony-")
        self.m, self.n = m, n
        self.forms = {}
        self.screens = []
        self.open = []
        self.plan = f"{self.dir}/ceremony.yaml"
        os.mkdir(f"{self.dir}/objects")
        with open(f"{self.dir}/softhsm2.conf", "w") as f:
            f.write(f"directories.tokendir = {self.dir}/objects\nobjectstore.backend = file\nlog.level = ERROR\n"
                    "slots.removable = false\n")
        with open(self.plan, "w") as f:
            f.write(PLAN.format(m=m, folder=self.dir, module=module,
                                custodians="\n".join(f"  - {{name: {name}}}" for name in NAMES[:n])))
        self.env = dict(os.environ, SOFTHSM2_CONF=f"{self.dir}/softhsm2.conf", TERM="xterm")

    def close(self):
        for t in self.open:
            if t.code is None:
                t.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def transcript(self):
        return f"{self.dir}/kept/first.transcript.jsonl"

    @property
    def backup(self):
        return f"{self.dir}/kept/first.backup.json"

    def run(self, *words):
        """Without a terminal, to its end."""
        return subprocess.run([PROGRAM, *words], env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=WAIT_S)

    def terminal(self, *words):
        t = Terminal([PROGRAM, *words], self.env)
        self.open.append(t)
        return t

    def lose_token(self):
        """The HSM burns."""
        shutil.rmtree(f"{self.dir}/objects")
        os.mkdir(f"{self.dir}/objects")

    # --- what people do -------------------------------------------------------------------------

    def receive(self, t, number):
        """One custodian at the screen: reads, writes the form, types it back."""
        t.expect(rf"Custodian {number} of {self.n}: {NAMES[number - 1]}\.")
        t.expect("alone see the screen")
        t.type()
        start = t.at
        t.expect("Press Enter when they are written")
        lines = SHARE_LINE.findall(t.text[start:t.at].replace("\r", ""))
        assert len(lines) == 4, t.text[start:t.at]
        self.forms[number] = lines
        t.type()
        self.give(t, lines)
        t.expect("has proved possession")

    @staticmethod
    def give(t, lines):
        """Types a form's four lines."""
        for i, line in enumerate(lines):
            t.expect(r"(activation|backup), line %d: " % (i % 2 + 1))
            t.type(line)

    def bring(self, t, *custodians):
        for number in custodians:
            t.expect("type your four lines")
            self.give(t, self.forms[number])
            t.expect(rf"The share of {NAMES[number - 1]} is right")

    def unlock(self, t, *custodians):
        """`kyso-ceremony activate`, once for each of them."""
        for number in custodians:
            t.expect(r"\(yes\) ")
            t.type("yes")
            for i, line in enumerate(self.forms[number][:2]):
                t.expect(f"activation, line {i + 1}: ")
                t.type(line)
            t.expect(f"The share of custodian {number} is taken")

    def init(self, *words):
        """The whole ceremony, to its end."""
        t = self.terminal("init", self.plan, *words)
        t.expect("Custodians get their shares")
        for number in range(1, self.n + 1):
            self.receive(t, number)
        t.expect("Press Enter to go on")
        t.note_argv()
        t.type()
        t.expect("The transcript is signed")
        assert t.wait() == 0, t.text[-2000:]
        return t
