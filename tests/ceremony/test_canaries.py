# SPDX-License-Identifier: Apache-2.0
"""Canaries: from the ceremony to a signature, and after a crash, no PIN, share, seed, SAD, code or confirmation code stands in a log, a
transcript, an export, a backup, a core file or a process's arguments."""

import base64
import glob
import os
import re
import resource
import signal
import threading
import unittest

from ceremony import Room
from server import ServerOn
import harness


def unlimited_cores():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Arguments(threading.Thread):
    """Every command line of the machine that it could see while it ran."""

    def __init__(self):
        super().__init__()
        self.seen, self.ended = set(), threading.Event()

    def run(self):
        while not self.ended.wait(0.002):
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    self.seen.add(read(path))
                except OSError:  # it has ended
                    pass

    def stop(self):
        self.ended.set()
        self.join()


class Canaries(unittest.TestCase):
    def setUp(self):
        self.room = Room(m=2, n=3)
        self.addCleanup(self.room.close)
        self.arguments = Arguments()
        self.arguments.start()
        self.addCleanup(self.arguments.stop)
        self.secrets = {}  # name: bytes; found anywhere it is a leak
        self.numbers = {}  # codes: so short that they must stand alone

    def keep_seed(self, name, secret):
        seed = base64.b32decode(secret + "=" * (-len(secret) % 8))
        self.secrets |= {f"{name}'s seed, base32": secret.encode(), f"{name}'s seed": seed, f"{name}'s seed, hex": seed.hex().encode(),
                         f"{name}'s seed, base64": base64.b64encode(seed).rstrip(b"=")}
        return self.put(f"{name}.seed", secret)

    def put(self, name, text):
        """What a person knows, where the command reads it: a word of a command line is seen by all."""
        path = f"{self.room.dir}/{name}"
        with open(path, "w") as f:
            f.write(text)
        return path

    def ceremony(self):
        self.room.init("--demo-pin-file", f"{self.room.dir}/pin")
        self.secrets["PIN"] = read(f"{self.room.dir}/pin").strip()
        for number, lines in self.room.forms.items():
            for i, line in enumerate(lines):
                self.secrets[f"share {number}, line {i}"] = line.encode()
                self.secrets[f"share {number}, line {i}, joined"] = line.replace(" ", "").encode()

    def enrol(self, h):
        """Two people: one whose seed is shown, one by a letter of the bulk enrolment."""
        h.kyso("subject", "add", "alice", "--name", "Alice")
        credential = h.add_credential("alice")
        made = h.kyso("authenticator", "enroll-totp", "--subject", "alice", "--show", json_out=True)
        self.numbers["alice's confirmation code"] = str(harness.find_key(made, "confirmation_code"))
        seed = self.keep_seed("alice", harness.find_key(made, "otpauth_uri").split("secret=")[1].split("&")[0])
        h.kyso("authenticator", "confirm", harness.find_key(made, "authenticator"),
               "@" + self.put("code.seed", self.numbers["alice's confirmation code"]))
        h.certify(credential, "alice")
        reader = harness.reader(self.room.dir)
        with open(f"{self.room.dir}/people.csv", "w") as f:
            f.write("subject_id,name,dn\nbob,Bob,\"CN=Bob,C=VN\"\n")
        h.kyso("credential", "enroll", "--csv", f"{self.room.dir}/people.csv", "--out", f"{self.room.dir}/enrolled", "--relying-party", "*",
               "--seal-to", reader, "--split")
        (letter,) = glob.glob(f"{self.room.dir}/enrolled/**/*.p7m", recursive=True)
        uri, _, code = harness.open_letter(reader, read(letter))
        self.numbers["bob's confirmation code"] = code
        self.keep_seed("bob", uri.split("secret=")[1].split("&")[0])
        return credential, seed

    def sign(self, h, credential, seed):
        path = f"{self.room.dir}/document"
        with open(path, "w") as f:
            f.write("a document")
        h.kyso("sign", path, "--profile", h.profile("portal"), "--credential", credential, "--totp-secret", f"@{seed}")
        sad = os.urandom(32)  # nobody's: what is refused is not told either
        self.secrets |= {"SAD": sad, "SAD, hex": sad.hex().encode(), "SAD, base64": base64.b64encode(sad).rstrip(b"=")}
        done = h.kyso("sign", path, "--profile", h.profile("portal"), "--credential", credential, "--sad",
                      "@" + self.put("sad.seed", sad.hex()), check=False)
        self.assertIn("refused", done.stderr)

    def crash(self, h):
        """Each kind of role ends by a signal that dumps core, where cores are allowed; and comes back."""
        for name in ("kyso-front", "kyso-vault", "kyso-authority"):
            os.kill(h.children(name)[0], signal.SIGABRT)
            h.wait_for(h._is_serving, f"the server to serve after {name}")
        h.process.send_signal(signal.SIGABRT)
        h.process.wait(60)
        h.run_server()

    def written(self, h):
        """All that is told or kept, but where a secret belongs: the token, the PIN's file, and what this test holds itself."""
        own = ("/objects/", "/pin", ".seed", "/demo/token/", "/demo/so-pin", "/demo/pin")
        texts = {"the ledger's export": h.kyso("ledger", "export", "--private").stdout.encode(),
                 "the syslog export": h.kyso("ledger", "export", "--format", "rfc5424", "--private").stdout.encode(),
                 "the status": h.kyso("status", "--json").stdout.encode()}
        h.kyso("backup", "--output", f"{self.room.dir}/backup.db")
        for folder in (self.room.dir, h.dir, os.getcwd()):
            for path in glob.glob(f"{folder}/**", recursive=True):
                if os.path.isfile(path) and not any(part in path for part in own) and not path.endswith((".py", ".pyc")):
                    texts[path] = read(path)
        self.arguments.stop()
        texts["some process's arguments"] = b"\n".join(self.arguments.seen)
        return texts

    def leaks(self, texts):
        found = [f"{name} in {where}" for name, secret in self.secrets.items() for where, text in texts.items() if secret in text]
        return found + [f"{name} in {where}" for name, code in self.numbers.items() for where, text in texts.items()
                        if re.search(rb"(?<![0-9A-Za-z+/])%s(?![0-9A-Za-z+/])" % code.encode(), text)]

    def test_p25_from_the_ceremony_to_a_crash(self):
        self.ceremony()
        with ServerOn(self.room, config={"log_level": "debug", "ledger.checkpoint_interval_s": 1},
                      spawn={"preexec_fn": unlimited_cores, "cwd": self.room.dir}) as h:
            h.add_clients()
            self.sign(h, *self.enrol(h))
            h.wait_for(lambda: h.kyso("ledger", "verify", check=False).returncode == 0, "a checkpoint")
            self.crash(h)
            texts = self.written(h)
            self.assertTrue(any(path.endswith("backup.db") for path in texts))
            self.assertTrue(any(b"kyso-vault" in line for line in self.arguments.seen), "the arguments were looked at")
            self.assertEqual([p for p in texts if os.path.basename(p).startswith("core")], [])
            self.assertEqual(self.leaks(texts), [])
            for name, secret in list(self.secrets.items())[:1]:  # the search finds what is there
                self.assertEqual(self.leaks({"here": b"x" + secret + b"y"}), [f"{name} in here"])


if __name__ == "__main__":
    unittest.main()
