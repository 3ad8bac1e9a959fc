# SPDX-License-Identifier: Apache-2.0
"""A server that nobody has the PIN of: custodians unlock it while it runs, each at a terminal of their own (P22, P11)."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.request

from ceremony import MODULE, Room
from custodian import NOT_COMMITTED, NOT_OPENED, TAKEN, TWICE, WHOLE, Visit
import forms
from server import HarnessError, ServerOn, command_line


class Sealed(ServerOn):
    """Its configuration names no PIN, only where custodians come."""

    def make_state(self):
        super().make_state()
        self.socket = self.ask_custodians()

    def init(self):
        """kysod --init, which waits for custodians too."""
        with open(self.log_path, "ab") as log:
            return subprocess.Popen([f"{self.bin}/kyso", "init", "--operator", "demo", "--operator-key", f"{self.state}/operator.key"],
                                    env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_custodians(self, times):
        """The name of the start that is the times-th in the log."""
        pattern = re.compile(r'custodians-awaited .*this_start="([0-9a-f ]+)"')
        self.wait_for(lambda: len(pattern.findall(self.log_text())) >= times, f"custodians to be awaited {times} times")
        return pattern.findall(self.log_text())[times - 1]

    def readyz(self):
        with contextlib.suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://{self.endpoints()['status']}/readyz", timeout=30) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as e:
                return e.read().decode()
        return ""

    def missing(self):
        with urllib.request.urlopen(f"http://{self.endpoints()['status']}/metrics", timeout=30) as answer:
            return int(re.search(r"^kyso_custodian_shares_missing (\d+)$", answer.read().decode(), re.M).group(1))


class Case(unittest.TestCase):
    """One 3-of-5 ceremony and one server; each test leaves the server stopped."""

    @classmethod
    def setUpClass(cls):
        cls.room = Room()
        cls.addClassCleanup(cls.room.close)
        cls.room.init()
        cls.h = Sealed(cls.room, config={"policy.begins_per_5min": 8})
        cls.addClassCleanup(shutil.rmtree, cls.h.dir, ignore_errors=True)
        cls.h.make_state()
        cls.starts = 0
        cls.argv = b""
        init = cls.h.init()
        try:
            cls.names = [cls.activate_all(1, 3, 5)]
            assert init.wait(120) == 0, cls.h.log_text()[-3000:]
        finally:
            init.kill()
            init.wait()
        cls.h.launch()
        cls.names.append(cls.activate_all(5, 2, 4))
        cls.h.wait_for(cls.h._is_serving, "the server to serve")
        cls.h.add_clients()
        cls.alice = cls.h.add_citizen("alice")
        cls.h.stop_server()

    def tearDown(self):
        self.h.stop_server(signal.SIGKILL)

    @classmethod
    def activate(cls, number, lines=None, name=None, expect=r"The share of custodian \d is taken"):
        """One custodian at a terminal; returns it when it has ended."""
        t = cls.room.terminal("activate", cls.room.transcript, "--socket", cls.h.socket)
        shown = t.expect(r"^ {4}([0-9a-f]{4}( [0-9a-f]{4}){7})\r?$").group(1)
        assert name in (None, shown), (name, shown)
        t.expect(r"\(yes\) ")
        t.type("yes")
        for i, line in enumerate((lines or cls.room.forms[number])[:2]):
            t.expect(f"activation, line {i + 1}: ")
            t.type(line)
        t.note_argv()
        cls.argv += t.argv
        t.expect(expect)
        t.wait()
        return t

    @classmethod
    def activate_all(cls, *numbers):
        cls.starts += 1
        name = cls.h.await_custodians(cls.starts)
        for number in numbers:
            t = cls.activate(number, name=name)
            assert t.code == 0, t.text[-2000:]
        return name

    def started(self):
        """Launched, and waiting: the name of this start."""
        self.h.launch()
        type(self).starts += 1
        return self.h.await_custodians(self.starts)

    def restarted_key(self):
        type(self).starts += 1
        return self.h.await_custodians(self.starts)

    def share(self, number):
        return forms.share(self.room.forms[number], 0)[1]

    def hand_in(self, number, share=None):
        with Visit(self.h.socket) as v:
            return v.send(v.seal(number, share or self.share(number)))

    def signs(self):
        self.h.wait_for(self.h._is_serving, "the server to serve")
        self.h.sign_by_approval(self.alice)

    def assertNothingDone(self):
        self.assertFalse(self.h._is_serving())
        self.assertEqual(self.h.children("kyso-vault"), [])
        with self.assertRaisesRegex(HarnessError, "(?i)unavailable"):
            self.h.sign(self.alice)


class Activation(Case):
    def test_p22_three_custodians_unlock_a_running_server(self):
        name = self.started()
        self.h.wait_for(lambda: self.h.readyz() == "waiting for custodians\n", "the status page")
        self.assertEqual(self.h.missing(), 3)
        self.assertNothingDone()
        for number, missing in ((4, 2), (1, 1)):
            t = self.activate(number, name=name)
            self.assertEqual(t.code, 0, t.text[-500:])
            self.h.wait_for(lambda: self.h.missing() == missing, "the share to be counted")  # noqa: B023
            self.assertIn(f"{3 - missing} of 3 are there", t.text)
            self.assertTrue("\033[2J\033[3J" in t.text[t.text.rindex(self.room.forms[number][1]):])
        self.assertNothingDone()
        self.assertEqual(self.activate(2, name=name, expect="it was the last that was needed").code, 0)
        self.signs()
        self.assertEqual((self.h.missing(), self.h.readyz()), (0, "ready\n"))
        self.assertEqual(self.h.children("kyso-custody"), [])
        records = self.h.ledger("activated")
        records = records[:2] + records[-1:]
        self.assertEqual([r["custodians"] for r in records], ["1,3,5", "2,4,5", "1,2,4"])
        self.assertEqual([r["start_sha256"][:32] for r in records], [n.replace(" ", "") for n in self.names + [name]])
        old = self.h.children("kyso-vault")
        os.kill(old[0], signal.SIGKILL)
        self.h.wait_for(lambda: set(self.h.children("kyso-vault")) - set(old), "another vault, which needs nobody")
        self.signs()
        self.assertEqual(self.h.stop_server(), 0)

    def test_p22_shares_of_a_start_that_was_killed_are_gone(self):
        first = self.started()
        with Visit(self.h.socket) as v:
            kept = v.seal(1, self.share(1))
            self.assertEqual(v.send(kept), (TAKEN, 1, 3))
        self.assertEqual(self.hand_in(3), (TAKEN, 2, 3))
        self.h.stop_server(signal.SIGKILL)
        second = self.started()
        self.assertNotEqual(first, second)
        with Visit(self.h.socket) as v:
            self.assertEqual((v.name, v.have), (second, 0))
            self.assertEqual(v.send(kept), (NOT_OPENED, 0, 3))  # replayed
        self.assertEqual([self.hand_in(n)[:2] for n in (2, 4, 5)], [(TAKEN, 1), (TAKEN, 2), (WHOLE, 3)])
        self.signs()

    def test_59_wrong_shares_are_named_and_cost_no_try(self):
        other = Room(m=2, n=2)
        self.addCleanup(other.close)
        other.init()
        name = self.started()
        t = self.activate(1, [self.room.forms[1][0], forms.forged(self.room.forms[1][1])], name,
                          r"share of custodian 1 is .*its commitment differs")
        self.assertEqual(t.code, 4)
        t = self.room.terminal("activate", other.transcript, "--socket", self.h.socket)
        t.expect("does not ask for shares of ceremony first")
        self.assertEqual(t.wait(), 4)
        t = self.room.terminal("activate", self.room.transcript, "--socket", self.h.socket)
        t.expect(r"\(yes\) ")
        t.type("yes")
        for line, fault in ((other.forms[1][0], "of another ceremony"), (self.room.forms[2][2], "not the line that was asked for"),
                            (self.room.forms[2][0][:-1] + "U", "mistyped")):
            t.expect("activation, line 1: ")
            t.type(line)
            t.expect(f"This line is {fault}")
        t.kill()
        # what kyso-ceremony would not send
        self.assertEqual(self.hand_in(1, os.urandom(32)), (NOT_COMMITTED, 0, 3))
        self.assertEqual(self.hand_in(1, self.share(2)), (NOT_COMMITTED, 0, 3))
        self.assertEqual(self.hand_in(0, self.share(2)), (NOT_COMMITTED, 0, 3))
        self.assertEqual(self.hand_in(1), (TAKEN, 1, 3))
        self.assertEqual(self.hand_in(1), (TWICE, 1, 3))
        with Visit(self.h.socket) as v:
            message = bytearray(v.seal(3, self.share(3)))
            message[0] = 4
            self.assertEqual(v.send(bytes(message)), (NOT_OPENED, 1, 3))
        with Visit(self.h.socket) as v:
            self.assertEqual(v.send(bytes(114)), (NOT_OPENED, 1, 3))
        self.assertEqual(self.h.children("kyso-vault"), [])
        log = self.h.log_text()
        for line in (r"share-refused custodian=1 uid=%d why=\"not the share" % os.getuid(), r"share-refused custodian=4 .*another start",
                     r"share-taken custodian=1 uid=%d have=1 needed=3" % os.getuid()):
            self.assertRegex(log, line)

    def test_it_waits_for_nobody_who_only_talks(self):
        self.started()
        idle = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for s in idle:
            s.connect(self.h.socket)
            s.send(b"\1" * 50)  # half a share
        self.assertEqual(self.hand_in(1), (TAKEN, 1, 3))
        for s in idle:
            s.close()

    def test_a_custodian_who_sees_another_name_gives_nothing(self):
        self.started()
        t = self.room.terminal("activate", self.room.transcript, "--socket", self.h.socket)
        t.expect(r"\(yes\) ")
        t.type("no")
        t.expect("nothing was given")
        self.assertEqual(t.wait(), 4)
        t = self.room.terminal("activate", self.room.transcript, "--socket", self.h.socket)
        t.expect(r"\(yes\) ")
        t.type("yes")
        t.expect("activation, line 1: ")
        self.h.stop_server(signal.SIGKILL)
        self.started()
        t.type(self.room.forms[1][0])
        t.expect("activation, line 2: ")
        t.type(self.room.forms[1][1])
        t.expect("the server was started again meanwhile, and nothing was given")
        self.assertEqual(t.wait(), 1)
        self.assertEqual(self.h.missing(), 3)

    def test_shares_are_forgotten_when_the_others_do_not_come(self):
        self.h.config["token.custodian_wait_s"] = 1
        self.h.configure()
        try:
            first = self.started()
            self.assertEqual(self.hand_in(1), (TAKEN, 1, 3))
            self.h.wait_for(lambda: "shares-forgotten had=1 needed=3" in self.h.log_text(), "the share to be forgotten")
            self.assertNotEqual(self.restarted_key(), first)
            with Visit(self.h.socket) as v:
                self.assertEqual(v.have, 0)
        finally:
            self.h.stop_server(signal.SIGKILL)
            self.h.config["token.custodian_wait_s"] = 900
            self.h.configure()

    def test_p11_a_pin_that_the_token_refuses_costs_one_try(self):
        pin = forms.pins(*self.secret())[1]
        self.change_pin(pin, "another-pin")
        try:
            self.started()
            for number in (1, 2, 3):
                self.hand_in(number)
            self.h.wait_for(lambda: "latch-closed" in self.h.log_text(), "the latch")
        finally:
            self.change_pin("another-pin", pin)
        self.assertEqual(self.h.children("kyso-vault") + self.h.children("kyso-custody"), [])
        self.assertEqual(self.h.kysod("--clear-latch").returncode, 0)
        self.restarted_key()  # custodians again: what they gave before is not kept
        for number in (5, 4, 3):
            self.hand_in(number)
        self.signs()
        self.assertEqual(self.h.log_text().count("kysod error login-failed"), 1)

    def change_pin(self, old, new):
        subprocess.run(["pkcs11-tool", "--module", MODULE, "--token-label", "kyso", "--login", "--pin", old, "--change-pin", "--new-pin", new],
                       env=self.room.env, check=True, capture_output=True)

    def secret(self):
        with open(self.room.transcript) as f:
            nonce = next(json.loads(line)["nonce"] for line in f if '"shares-made"' in line)
        return forms.join([forms.share(self.room.forms[n], 0) for n in (1, 2, 3)]), bytes.fromhex(nonce)

    def test_p25_neither_pin_nor_share_is_anywhere(self):
        self.started()
        self.activate(1)
        self.activate(2)
        argv = self.argv + self.role_argv()
        self.activate(3)
        self.signs()
        argv += self.role_argv()
        secret, nonce = self.secret()
        canaries = [*forms.pins(secret, nonce), secret, secret.hex()]
        for lines in self.room.forms.values():
            share = forms.share(lines, 0)[1]
            canaries += [share, share.hex(), *lines, *(line.replace(" ", "") for line in lines)]
        canaries = [c.encode() if isinstance(c, str) else c for c in canaries]
        ledger = self.h.kyso("ledger", "export").stdout.encode()
        self.h.stop_server()
        places = {"argv": argv, "ledger": ledger}
        for top in (self.h.dir, f"{self.room.dir}/kept"):
            for folder, _, names in os.walk(top):
                for path in (os.path.join(folder, n) for n in names if not os.path.islink(os.path.join(folder, n))):
                    if os.path.isfile(path):
                        with open(path, "rb") as f:
                            places[path] = f.read()
        self.assertIn(self.h.log_path, places)
        for place, data in places.items():
            for canary in canaries:
                self.assertNotIn(canary, data, place)

    def role_argv(self):
        pids = [self.h.process.pid] + [pid for name in ("custody", "vault", "authority", "front", "status")
                                       for pid in self.h.children("kyso-" + name)]
        return repr([command_line(pid) for pid in pids]).encode()


if __name__ == "__main__":
    unittest.main()
