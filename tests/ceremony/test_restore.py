# SPDX-License-Identifier: Apache-2.0
"""What M custodians can do with the backup file, what fewer and wrong ones cannot, and what a blank token is told."""

import glob
import json
import os
import shutil
import subprocess
import unittest

from ceremony import MODULE, NAMES, Room
import forms
from server import HarnessError, ServerOn


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Restore(unittest.TestCase):
    def setUp(self):
        self.room = Room(m=2, n=3)
        self.addCleanup(self.room.close)
        self.room.init("--demo-pin-file", f"{self.room.dir}/pin")
        self.pin = read(f"{self.room.dir}/pin")

    def verified(self):
        done = self.room.run("verify", self.room.transcript, "--key", f"{self.room.dir}/kept/first.ledger.pub", "--json")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return json.loads(done.stdout)

    def objects(self):
        return sorted(os.listdir(f"{self.room.dir}/objects"))

    def finish(self, t, code=0):
        self.assertEqual(t.wait(), code, t.text[-2000:])

    def test_compliance_31_restoring_takes_m_custodians(self):
        self.room.lose_token()
        t = self.room.terminal("kek", "restore", self.room.plan, "--demo-pin-file", f"{self.room.dir}/pin2")
        self.room.bring(t, 3, 1)
        t.expect("are in the token, made of their backup, and compared with it")
        t.expect("The transcript is signed")
        self.finish(t)
        self.assertEqual(read(f"{self.room.dir}/pin2"), self.pin)  # the same keys under the same PIN: a server goes on
        self.assertEqual(self.verified()["signatures"], 2)

    def restore(self, *words):
        t = self.room.terminal("kek", "restore", self.room.plan, *words)
        self.room.bring(t, 3, 2)
        t.expect("The transcript is signed|is no checkpoint that the restored key has signed")
        return t.wait()

    def test_p23_a_server_goes_on_with_a_restored_token(self):
        with ServerOn(self.room, config={"ledger.checkpoint_interval_s": 1}) as h:
            h.add_clients()
            alice, bob = h.add_citizen("alice"), h.add_citizen("bob")
            h.sign(alice)
            self.assertEqual(h.stop_server(), 0)
            kept = f"{h.dir}/checkpoint"
            shutil.copy(f"{h.state}/state/checkpoint", kept)
            self.room.lose_token()
            self.assertEqual(self.restore(), 0)
            h.launch()  # a token without an anchor: any database would do for it, so none does
            h.wait_for(lambda: "the token has no anchor of this ledger" in h.log_text(), "the seal")
            h.stop_server()
            self.room.lose_token()
            with open(kept) as f, open(kept + ".forged", "w") as g:
                g.write(f.read().replace("\n", "0\n", 2).replace("0\n", "\n", 1))  # ten times as many records
            self.assertEqual(self.restore("--checkpoint", kept + ".forged"), 4)
            self.room.lose_token()
            t = self.room.terminal("kek", "restore", self.room.plan, "--checkpoint", kept)
            self.room.bring(t, 1, 2)
            t.expect("The token takes the ledger of [0-9]+ records")
            self.finish(t)
            h.run_server()
            with self.assertRaisesRegex(HarnessError, "proof-needed"):
                h.sign(bob)  # a code of a time before the anchor might have been spent in what is lost
            h.sign_by_approval(alice)
            self.verified()

    def test_drill_leaves_a_blank_token(self):
        before = self.objects()
        t = self.room.terminal("drill", self.room.plan)
        self.room.bring(t, 2, 3)
        t.expect("The transcript is signed")
        self.finish(t)
        self.assertEqual(self.verified()["signatures"], 2)
        self.assertTrue(set(before) <= set(self.objects()))  # the token that is in use was not touched
        left = set(self.objects()) - set(before)
        kept = [name for folder in left for name in os.listdir(f"{self.room.dir}/objects/{folder}")
                if name.endswith(".object") and name != "token.object"]
        self.assertEqual(kept, [])
        self.finish_check("kyso-trial")

    def finish_check(self, label):
        done = self.room.run("check", self.room.plan)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"label={label}", done.stdout)

    def test_59_wrong_shares_are_named_and_change_nothing(self):
        other = Room(m=2, n=3)
        self.addCleanup(other.close)
        other.init()
        self.room.lose_token()
        t = self.room.terminal("kek", "restore", self.room.plan)
        t.expect("type your four lines")
        good = self.room.forms[2]
        t.expect("activation, line 1: ")
        t.type(other.forms[2][0])
        t.expect("This line is of another ceremony")
        t.type(good[2])
        t.expect("This line is not the line that was asked for")
        t.type(good[0][:-1] + ("0" if good[0][-1] != "0" else "1"))
        t.expect("This line is mistyped")
        t.type(good[0])
        t.expect("activation, line 2: ")
        t.type(self.room.forms[1][1])
        t.expect("This line is another custodian's")
        for line in good[1:]:
            t.type(line)
        t.expect(f"The share of {NAMES[1]} is right")
        t.expect("type your four lines")
        self.room.give(t, good)
        t.expect(f"The share of {NAMES[1]} is here already")
        t.expect("type your four lines")
        lines = self.room.forms[3]
        self.room.give(t, lines[:3] + [forms.forged(lines[3])])
        t.expect(rf"The backup share of {NAMES[2]} is .*its commitment differs")
        t.expect("type your four lines")  # one right share of two: nothing has been done
        self.assertEqual(t.kill(), -9)
        tokens = [read(f"{self.room.dir}/objects/{name}/token.object") for name in self.objects()]
        self.assertFalse(any(b"kyso            " in token for token in tokens))
        self.assertTrue(any(b"kyso-trial" in token for token in tokens))

    def test_a_changed_backup_is_refused(self):
        copy = f"{self.room.dir}/copy.json"
        self.assertEqual(self.room.run("kek", "backup", self.room.plan, copy).returncode, 0)
        self.assertEqual(read(copy), read(self.room.backup))
        changed = bytearray(read(copy))
        changed[len(changed) // 2] ^= 1
        with open(copy, "wb") as f:
            f.write(changed)
        t = self.room.terminal("drill", self.room.plan, "--backup", copy)
        t.expect("is not the backup of this ceremony, or was changed")
        self.finish(t, 4)

    def test_a_token_that_restricts_nobody_is_refused(self):
        """NSS softokn, blank and with a PIN: neither is taken, and no ceremony begins."""
        module, = (glob.glob("/usr/lib/*/libsoftokn3.so") + glob.glob("/usr/lib/*/nss/libsoftokn3.so"))[:1]
        for blank in (True, False):
            folder = f"{self.room.dir}/nss-{blank}"
            os.mkdir(folder)
            if not blank:
                with open(f"{folder}/pin", "w") as f:
                    f.write("a pin of a test\n")
                subprocess.run(["certutil", "-N", "-d", f"sql:{folder}", "-f", f"{folder}/pin"], check=True)
            path = f"{self.room.dir}/nss.yaml"
            with open(self.room.plan) as f, open(path, "w") as g:
                g.write(f.read().replace(MODULE, module).replace("  uri:", f"  init_args: \"configdir='sql:{folder}' certPrefix='' "
                                                                           "keyPrefix='' secmod='secmod.db' flags=\"\n  uri:"))
            done = self.room.run("check", path)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1 if blank else 5, 1), done.stderr)
            self.assertIn("the token on trial: CKR_PIN_INCORRECT" if blank else "there is no blank token", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_a_full_slot_a_missing_module_and_bad_plans_give_one_line(self):
        def says(code, text, *words, plan=None):
            path = self.room.plan
            if plan:
                path = f"{self.room.dir}/other.yaml"
                with open(self.room.plan) as f, open(path, "w") as g:
                    g.write(f.read().replace(*plan))
            done = self.room.run(*words, path)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (code, 1), done.stderr)
            self.assertIn(text, done.stderr)

        says(5, "CKR_LIBRARY_LOAD_FAILED", "check", plan=("libsofthsm2.so", "no-such-module.so"))
        says(5, "there is no blank token that fits", "check", plan=("token=kyso", "token=kyso;serial=nowhere"))
        says(1, "this token is refused: it wraps no ed25519 keys", "check", plan=("[p256]", "[p256, ed25519]"))
        says(2, "threshold: 1 of 3 custodians", "plan", plan=("threshold: 2", "threshold: 1"))
        says(2, "stands twice", "plan", plan=("name: Binh", "name: An"))
        says(2, "there is no p257", "plan", plan=("p256", "p257"))
        says(2, "this needs a terminal", "init")
        with open(self.room.plan) as f, open(f"{self.room.dir}/other.yaml", "w") as g:
            g.write(f.read().replace("demo: true", "demo: false").replace("id: first", "id: second"))
        t = self.room.terminal("init", f"{self.room.dir}/other.yaml", "--demo-pin-file", f"{self.room.dir}/pin2")
        t.expect("--demo-pin-file is for a plan with demo: true")
        self.finish(t, 2)


if __name__ == "__main__":
    unittest.main()
