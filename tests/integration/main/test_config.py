# SPDX-License-Identifier: Apache-2.0
"""kysod --check-config: each kind of mistake is refused, in words that name the option; nothing is started or written."""

import os
import subprocess
import tempfile
import unittest

BIN = os.environ.get("KYSO_BIN") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../build/dev/bin")
EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../deploy/kyso.example.yaml")
GOOD = """\
server_id: test.kyso.example
state_dir: {dir}/state
tls:
  certificate: /etc/kyso/server.pem
  key: /etc/kyso/server.key
  client_ca: /etc/kyso/ca.pem
token:
  module: /usr/lib/softhsm/libsofthsm2.so
  uri: pkcs11:token=kyso
  pin_file: /etc/kyso/pin
"""

# what, text of the good file, what stands there instead, what one line must say
REPLACED = [
    ("unknown key", "server_id:", "colour: red\nserver_id:", ("colour",)),
    ("unknown key in a section", "  uri:", "  slot: 0\n  uri:", ("slot",)),
    ("no server_id", "server_id: test.kyso.example\n", "", ("server_id", "missing")),
    ("empty server_id", "test.kyso.example", '""', ("server_id", "missing")),
    ("server_id with a space", "test.kyso.example", "two words", ("server_id",)),
    ("server_id too long", "test.kyso.example", "x" * 65, ("server_id",)),
    ("no state_dir", "state_dir: {dir}/state\n", "", ("state_dir", "missing")),
    ("relative state_dir", "{dir}/state", "state", ("state_dir", "absolute", '"state"')),
    ("relative certificate", "/etc/kyso/server.pem", "server.pem", ("tls.certificate", "absolute")),
    ("no certificate", "  certificate: /etc/kyso/server.pem\n", "", ("tls.certificate", "missing")),
    ("no key", "  key: /etc/kyso/server.key\n", "", ("tls.key", "missing")),
    ("no client_ca", "  client_ca: /etc/kyso/ca.pem\n", "", ("tls.client_ca", "missing")),
    ("no module", "  module: /usr/lib/softhsm/libsofthsm2.so\n", "", ("token.module", "missing")),
    ("relative module", "/usr/lib/softhsm/libsofthsm2.so", "libsofthsm2.so", ("token.module", "absolute")),
    ("no uri", "  uri: pkcs11:token=kyso\n", "", ("token.uri", "missing")),
    ("PIN in the URI", "token=kyso", "token=kyso?pin-value=1234", ("token.uri", "PIN", "pin_file")),
    ("PIN's source in the URI", "token=kyso", "token=kyso?pin-source=/etc/pin", ("token.uri", "PIN")),
    ("no PIN", "  pin_file: /etc/kyso/pin\n", "", ("token.pin_file", "missing")),
    ("two PINs", "  pin_file:", "  pin_credential: pin\n  pin_file:", ("token.pin_file", "not both")),
    ("a PIN in the file", "  pin_file: /etc/kyso/pin", "  pin: 1234", ("pin",)),
]
# what, text after the good file, what one line must say
ADDED = [
    ("number too large", "limits:\n  max_hashes: 257\n", ("limits.max_hashes", "257", "256")),
    ("number too small", "limits:\n  sign_deadline_ms: 99\n", ("limits.sign_deadline_ms", "99", "100")),
    ("negative number", "limits:\n  queue: -1\n", ("queue",)),
    ("number that is a word", "limits:\n  queue: many\n", ("queue",)),
    ("number beyond 32 bits", "limits:\n  queue: 4294967297\n", ("queue",)),
    ("window of an hour", "policy:\n  totp_window: 120\n", ("policy.totp_window", "120")),
    ("locks that contradict", "policy:\n  lock_tries: 30\n  lock_total: 10\n", ("policy.lock_total",)),
    ("fronts", "doors:\n  signer_fronts: 65\n", ("doors.signer_fronts", "65")),
    ("relative socket", "doors:\n  operator_socket: run/op.sock\n", ("doors.operator_socket", "absolute")),
    ("relative checkpoint", "ledger:\n  checkpoint_file: checkpoint\n", ("ledger.checkpoint_file", "absolute")),
    ("status page for all", "status_listen: 0.0.0.0:9090\n", ("status_listen", "loopback", "0.0.0.0:9090")),
    ("status page on a name", "status_listen: www.example.vn:9090\n", ("status_listen", "loopback")),
    ("status page on 1270", "status_listen: 1270.0.0.1:9090\n", ("status_listen", "loopback")),
    ("log format", "log_format: xml\n", ("log_format", '"xml"', "json")),
    ("log level", "log_level: loud\n", ("log_level", '"loud"')),
    ("boolean that is none", "demo: flase\n", ("demo",)),
    ("boolean that is a number", "demo: 1\n", ("demo",)),
    ("key twice", "server_id: other.kyso.example\n", ("server_id",)),
    ("alias", "log_format: &a json\nlog_level: *a\n", ("lias",)),
    ("no mapping", "- a\n- b\n", ("configuration",)),
    ("broken YAML", "tls: {\n", ("configuration",)),
    ("longer than 64 KiB", "# " + "x" * 65536 + "\n", ("64 KiB",)),
]


class CheckConfig(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        self.good = GOOD.replace("{dir}", self.dir)

    def check(self, text, *words):
        path = f"{self.dir}/kyso.yaml"
        with open(path, "w") as f:
            f.write(text)
        return subprocess.run([f"{BIN}/kysod", "--config", path, *words], capture_output=True,
                              text=True, timeout=30, stdin=subprocess.DEVNULL)

    def assertRefused(self, text, said):
        for words in (("--check-config",), ()):  # to serve is refused in the same words
            done = self.check(text, *words)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertEqual((done.stdout, os.listdir(self.dir)), ("", ["kyso.yaml"]))
            lines = done.stderr.splitlines()
            self.assertTrue(lines and lines[0].startswith("kysod: "), done.stderr)
            self.assertTrue(any(all(word in line for word in said) for line in lines), f"{said} in {done.stderr}")
            self.assertLessEqual(len(lines), 6, done.stderr)
            self.assertNotIn("anitizer", done.stderr)

    def test_good(self):
        for text in (self.good, self.good + "status_listen: 127.0.0.1:9090\nlog_format: json\n",
                     self.good + "status_listen: '[::1]:9090'\n"):
            done = self.check(text, "--check-config")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("sound", done.stdout)
        self.assertEqual(os.listdir(self.dir), ["kyso.yaml"], "a check writes nothing")

    def test_checkpoint_folder_that_is_not_there(self):
        """Landlock would keep the authority out of it for good, even when it came."""
        text = self.good + f"demo: true\nledger:\n  checkpoint_file: {self.dir}/later/checkpoint\n"
        done = self.check(text, "--probe")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"ledger.checkpoint_file names a folder that is not there: {self.dir}/later/", done.stderr)
        os.mkdir(f"{self.dir}/later")
        self.assertNotIn("checkpoint_file", self.check(text, "--probe").stderr)

    def test_example(self):
        with open(EXAMPLE) as f:
            done = self.check(f.read(), "--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_mistakes(self):
        for what, old, new, said in REPLACED:
            old = old.replace("{dir}", self.dir)
            with self.subTest(what):
                self.assertEqual(self.good.count(old), 1)
                self.assertRefused(self.good.replace(old, new), said)
        for what, added, said in ADDED:
            with self.subTest(what):
                self.assertRefused(self.good + added, said)

    def test_empty_and_absent(self):
        self.assertRefused("", ("configuration",))
        done = subprocess.run([f"{BIN}/kysod", "--config", f"{self.dir}/none.yaml", "--check-config"],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.yaml", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_usage(self):
        for words in (("--frobnicate",), ("--init",), ("extra",), ("--check-config", "--clear-latch"),
                      ("--operator", "a:b"), ("--check-config", "--init", "--operator", "a:b")):
            done = self.check(self.good, *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("see: kysod --help", done.stderr)


if __name__ == "__main__":
    unittest.main()
