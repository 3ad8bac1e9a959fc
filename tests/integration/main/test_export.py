# SPDX-License-Identifier: Apache-2.0
"""The ledger of a server that is stopped: exported without its doors, the same records, verified offline."""

import base64
import json
import os
import subprocess
import unittest

from base import ServerCase
import rfc5424


class Export(ServerCase):
    config = {"ledger.checkpoint_interval_s": 1}

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", device=None)

    def export(self, *words):
        return subprocess.run([f"{self.h.bin}/kyso-authority", "--export", f"{self.h.state}/state/kyso.db", *words],
                              capture_output=True, text=True, env=self.h.env)

    def test_offline_export(self):
        self.signer().Sign(self.sign_request(self.alice), timeout=10)
        online = self.h.ledger()
        beside = self.export()
        self.assertEqual(beside.returncode, 1)
        self.assertIn("its server runs", beside.stderr)
        self.assertEqual(beside.stdout, "")

        checkpoint = f"{self.h.state}/state/checkpoint"
        self.h.wait_for(lambda: os.path.exists(checkpoint), "a checkpoint", 10)
        self.assertEqual(self.h.stop_server(), 0)
        done = self.export()
        self.assertEqual(done.returncode, 0, done.stderr)
        *offline, tail = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertIn("checkpoint", tail)
        self.assertEqual(offline[:len(online)], online)
        self.assertEqual(offline[-1]["type"], "stop")
        self.assertFalse(any("private" in r for r in offline))
        self.assertTrue(any("private" in json.loads(line) for line in self.export("--private").stdout.splitlines()))

        path = os.path.join(self.h.dir, "ledger.jsonl")
        with open(path, "w") as f:
            f.write(done.stdout)
        verify = ["ledger", "verify", "--file", path, "--checkpoint", checkpoint, "--key", self.ledger_key(offline)]
        self.h.kyso(*verify)
        with open(path, "w") as f:  # one record changed, by a byte
            f.write(done.stdout.replace('"leaf":"', '"leaf":"AAAA', 1))
        self.assertEqual(self.h.kyso(*verify, check=False).returncode, 4)

    def ledger_key(self, records):
        """The checkpoint key, PEM, from the genesis record."""
        path = os.path.join(self.h.dir, "ledger.pem")
        genesis = next(r for r in records if r["type"] == "genesis")
        subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-out", path],
                       input=bytes.fromhex(genesis["ledger_key"]), check=True)
        return path

    def test_as_syslog(self):
        """Every line by RFC 5424's grammar; its parameters are the record's fields."""
        records = self.h.ledger()
        path = os.path.join(self.h.dir, "ledger.log")
        self.h.wait_for(lambda: self.h.kyso("ledger", "verify", check=False).returncode == 0, "a checkpoint")
        self.h.kyso("ledger", "export", "--format", "rfc5424", "--output", path)
        with open(path, encoding="utf-8", newline="\n") as f:
            *lines, tail = [rfc5424.parse(line) for line in f]
        for record, line in zip(records, lines):
            self.assertEqual((line["msgid"], line["timestamp"]), (record.pop("type"), record.pop("time")))
            self.assertEqual((line["facility"], line["hostname"], line["app"], line["msg"]), (13, self.h.endpoints()["server_id"], "kyso", ""))
            self.assertEqual(line["data"], {"kyso@32473": {name: str(value) for name, value in record.items()}})
        self.assertGreaterEqual(len(lines), len(records))
        self.assertEqual(tail["msgid"], "checkpoint")
        note = base64.b64decode(tail["data"]["kyso@32473"]["checkpoint"]).decode()
        self.assertIn(self.h.endpoints()["server_id"], note)

    def test_missing_database(self):
        done = subprocess.run([f"{self.h.bin}/kyso-authority", "--export", "/nonexistent/kyso.db"], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot export", done.stderr)


if __name__ == "__main__":
    unittest.main()
