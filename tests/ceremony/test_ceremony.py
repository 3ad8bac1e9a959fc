# SPDX-License-Identifier: Apache-2.0
"""Ceremonies as people hold them: read from the screen, typed on a terminal, on a private SoftHSM2."""

import itertools
import json
import os
import re
import stat
import subprocess
import unittest

from ceremony import MODULE, NAMES, Room
import forms
from server import ServerOn


def records(room):
    with open(room.transcript) as f:
        return [json.loads(line) for line in f]


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Whole(unittest.TestCase):
    """One 3-of-5 ceremony; the tests look at what it left."""

    @classmethod
    def setUpClass(cls):
        cls.room = Room()
        cls.addClassCleanup(cls.room.close)
        cls.terminal = cls.room.init("--demo-pin-file", f"{cls.room.dir}/pin")
        nonce = next(r for r in records(cls.room) if r["event"] == "shares-made")["nonce"]
        shares = [forms.share(lines, 0) for lines in cls.room.forms.values()]
        cls.activation = forms.join(shares[:3])
        cls.so_pin, cls.user_pin = forms.pins(cls.activation, bytes.fromhex(nonce))

    def verify(self, *words, path=None):
        return self.room.run("verify", path or self.room.transcript, *words)

    def test_a_every_set_of_three_gives_the_pin(self):
        self.assertIn("All 10 sets of 3 shares give the secrets; none of the 15 smaller", self.terminal.text)
        self.assertEqual(read(f"{self.room.dir}/pin").decode(), self.user_pin)
        for kind in (0, 1):
            shares = [forms.share(lines, kind) for lines in self.room.forms.values()]
            secrets = {forms.join(three) for three in itertools.combinations(shares, 3)}
            self.assertEqual(len(secrets), 1)
            for size in (1, 2):
                for few in itertools.combinations(shares, size):
                    self.assertNotIn(forms.join(few), secrets)

    def test_b_the_transcript_verifies(self):
        done = self.verify("--key", f"{self.room.dir}/kept/first.ledger.pub", "--json")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertEqual(json.loads(done.stdout)["lines"], len(records(self.room)))
        people = self.verify().stdout
        for text in ("possession", "Le Van Bon", *NAMES):
            self.assertIn(text, people)
        self.assertEqual([r["name"] for r in records(self.room) if r["event"] == "possession"], NAMES)

    def test_c_nothing_secret_was_kept(self):
        kept = b"".join(read(os.path.join(self.room.dir, "kept", name)) for name in os.listdir(f"{self.room.dir}/kept"))
        secrets = [self.so_pin, self.user_pin, self.activation.hex()]
        for lines in self.room.forms.values():
            secrets += lines + [line.replace(" ", "") for line in lines]
            secrets += [forms.share(lines, kind)[1].hex() for kind in (0, 1)]
        for secret in secrets:
            self.assertNotIn(secret.encode(), kept)
        for pin in (self.so_pin, self.user_pin):
            self.assertNotIn(pin, self.terminal.text)
        for secret in secrets:
            self.assertNotIn(secret.encode(), self.terminal.argv)
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.room.dir}/pin").st_mode), 0o600)

    def test_compliance_24_its_keys_cannot_leave(self):
        listed = subprocess.run(["pkcs11-tool", "--module", MODULE, "--token-label", "kyso", "--login", "--pin", self.user_pin,
                                 "--list-objects"], env=self.room.env, capture_output=True, text=True, check=True).stdout
        keys = re.split(r"^(?=\S)", listed, flags=re.M)
        for label in ("kyso-root", "kyso-kek", "kyso-ledger"):
            key = next(k for k in keys if label in k and not k.startswith("Public"))
            access = re.search(r"Access: +(.*)", key).group(1)
            self.assertIn("sensitive", access)
            self.assertNotIn("extractable", access.replace("never extractable", ""))

    def test_d_the_screen_is_cleared_after_each_share(self):
        text = self.terminal.text
        for lines in self.room.forms.values():
            last = text.rindex(lines[-1])
            self.assertIn("\033[2J\033[3J\033[H", text[last:last + 100 + len(lines[-1])])

    def test_e_a_closed_ceremony_and_its_token_are_not_begun_again(self):
        t = self.room.terminal("init", self.room.plan)
        t.expect("kyso-ceremony: .*token")
        self.assertEqual(t.wait(), 1)
        self.assertEqual(self.verify().returncode, 0)

    def test_f_a_server_signs_on_it(self):
        with ServerOn(self.room) as h:
            h.add_clients()
            h.sign(h.add_citizen("alice"))
            genesis, ceremony = h.ledger("genesis", "ceremony")
        self.assertEqual((genesis["index"], ceremony["index"]), (0, 1))
        self.assertEqual(genesis["ledger_key"], next(r for r in records(self.room) if r["event"] == "keys-made")["ledger_key"])
        self.assertEqual(self.verify("--ledger-sha256", ceremony["transcript_sha256"]).returncode, 0)
        self.assertEqual(self.verify("--ledger-sha256", genesis["config_sha256"]).returncode, 4)

    def test_g_every_changed_bit_is_found(self):
        whole = read(self.room.transcript)
        path = f"{self.room.dir}/changed.jsonl"
        step = max(1, len(whole) * 8 // int(os.environ.get("KYSO_BITS", "24")))
        for bit in range(0, len(whole) * 8, step):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            with open(path, "wb") as f:
                f.write(changed)
            done = self.verify(path=path)
            self.assertEqual(done.returncode, 4, f"bit {bit}: {done.stdout[-300:]}")


if __name__ == "__main__":
    unittest.main()
