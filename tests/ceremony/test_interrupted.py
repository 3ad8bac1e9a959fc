# SPDX-License-Identifier: Apache-2.0
"""A ceremony killed at each step goes on, or begins that step anew; there is never half a key (fault 60)."""

import json
import os
import shutil
import unittest

from ceremony import BIN, Room


def custody(room, t):
    for number in range(1, room.n + 1):
        room.receive(t, number)


def at_the_trial(room, t):
    t.expect("attributes of token keys")


def before_the_first(room, t):
    t.expect("alone see the screen")


def in_a_share(room, t):
    before_the_first(room, t)
    t.type()
    t.expect("Press Enter when they are written")


def between_two(room, t):
    room.receive(t, 1)
    t.expect("alone see the screen")


def while_typing(room, t):
    room.receive(t, 1)
    in_a_share(room, t)
    t.type()
    t.expect("activation, line 1: ")


def before_the_token(room, t):
    custody(room, t)
    t.expect("Press Enter to go on")


def at_the_token(room, t):
    before_the_token(room, t)
    t.type()


def at_the_keys(room, t):
    at_the_token(room, t)
    t.expect("has its name and PINs")


def before_the_end(room, t):
    at_the_token(room, t)
    t.expect("made of their backup")


def at_the_end(room, t):
    at_the_token(room, t)
    t.expect("The transcript is closed")


EARLY = (at_the_trial, before_the_first, in_a_share, between_two, while_typing)
LATE = (before_the_token, at_the_token, at_the_keys, before_the_end, at_the_end)
# The module ends the process in this call of the token's making, or does what it was asked and fails. With
# KYSO_EVERY_CALL all of them.
CALLS = ("C_SetPIN after CKR_DEVICE_ERROR", "C_UnwrapKey nth 2 exit 9")
EVERY_CALL = tuple(f"{call} {how}" for call in (
    "C_SetPIN", "C_InitToken", "C_InitPIN", "C_CreateObject", "C_GenerateKey", "C_GenerateKey nth 2", "C_GenerateKeyPair",
    "C_WrapKey", "C_WrapKey nth 3", "C_UnwrapKey", "C_UnwrapKey nth 2", "C_UnwrapKey nth 3", "C_CreateObject nth 2",
    "C_UnwrapKey nth 5", "C_WrapKey nth 5", "C_Sign") for how in ("exit 9", "after CKR_DEVICE_ERROR"))


class Killed(unittest.TestCase):
    def events(self, room):
        with open(room.transcript) as f:
            return [json.loads(line)["event"] for line in f if line.endswith("\n")]

    def kill(self, room, step):
        t = room.terminal("init", room.plan)
        step(room, t)
        self.assertEqual(t.kill(), -9)

    def go_on(self, room):
        """To the end, whatever the transcript says is left to do."""
        if "closed" in self.events(room):
            return
        t = room.terminal("init", room.plan)
        if "custody-whole" in self.events(room):
            t.expect("Custodians bring their shares")
            room.bring(t, 2, 1)
        else:
            custody(room, t)
        t.expect("Press Enter to go on")
        t.type()
        t.expect("The transcript is signed")
        self.assertEqual(t.wait(), 0, t.text[-2000:])

    def whole(self, room, drill=True):
        done = room.run("verify", room.transcript)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout[-2000:])
        if not drill:
            return
        t = room.terminal("drill", room.plan)  # the backup that is named is the one whose keys can be made
        room.bring(t, 1, 2)
        t.expect("The transcript is signed")
        self.assertEqual(t.wait(), 0, t.text[-2000:])

    def test_60_killed_at_each_step(self):
        for step in EARLY + LATE:
            with self.subTest(step=step.__name__):
                room = Room(m=2, n=2)
                self.addCleanup(room.close)
                self.kill(room, step)
                self.go_on(room)
                self.whole(room, drill=step in (at_the_keys, at_the_end))

    def test_60_ended_within_a_call(self):
        for rule in EVERY_CALL if "KYSO_EVERY_CALL" in os.environ else CALLS:
            with self.subTest(rule=rule):
                room = Room(m=2, n=2, module=f"{BIN}/kyso-fault.so")
                self.addCleanup(room.close)
                room.env["KYSO_FAULT_SCRIPT"] = script = f"{room.dir}/script"
                with open(script, "w") as f:
                    f.write("# nothing\n")
                t = room.terminal("init", room.plan)
                before_the_token(room, t)
                with open(script + ".new", "w") as f:
                    f.write(rule + "\n")
                os.rename(script + ".new", script)
                t.type()
                self.assertIn(t.wait(), (1, 9), t.text[-2000:])
                self.assertNotIn("closed", self.events(room))
                with open(script, "w") as f:
                    f.write("# nothing\n")
                self.go_on(room)
                self.whole(room)

    def test_60_a_restore_that_was_killed(self):
        room = Room(m=2, n=2)
        self.addCleanup(room.close)
        room.init()
        room.lose_token()
        for ending in ("has its name and PINs", "The transcript is signed"):
            t = room.terminal("kek", "restore", room.plan)
            room.bring(t, 1, 2)
            t.expect(ending)
            if ending == "has its name and PINs":
                t.kill()
        self.assertEqual(t.wait(), 0)
        self.whole(room)

    def test_60_another_token_is_not_taken_for_the_one_that_was_begun(self):
        room = Room(m=2, n=2)
        self.addCleanup(room.close)
        room.init()
        objects, served, begun = (f"{room.dir}/{name}" for name in ("objects", "served", "begun"))
        os.rename(objects, served)
        os.mkdir(objects)
        t = room.terminal("kek", "restore", room.plan)
        room.bring(t, 1, 2)
        t.expect("has its name and PINs")
        t.kill()
        os.rename(objects, begun)
        shutil.copytree(served, objects)  # the one that a server uses: the same name, the same PINs
        t = room.terminal("kek", "restore", room.plan)
        t.expect("there is a token already that fits")
        self.assertEqual(t.wait(), 1)
        self.assertEqual(self.contents(objects), self.contents(served))
        shutil.rmtree(objects)
        os.mkdir(objects)  # a blank one, which fits no less
        t = room.terminal("kek", "restore", room.plan)
        room.bring(t, 2, 1)
        t.expect("The transcript is signed")
        self.assertEqual(t.wait(), 0, t.text[-2000:])
        room.lose_token()
        shutil.copytree(begun, objects, dirs_exist_ok=True)  # restored meanwhile: what was begun is anybody's
        t = room.terminal("kek", "restore", room.plan)
        t.expect("there is a token already that fits")
        self.assertEqual(t.wait(), 1)

    @staticmethod
    def contents(folder):
        found = {}
        for path, _, names in os.walk(folder):
            for name in names:
                with open(f"{path}/{name}", "rb") as f:
                    found[os.path.relpath(f"{path}/{name}", folder)] = f.read()
        return found

    def test_ctrl_c_leaves_no_share_on_the_screen(self):
        room = Room(m=2, n=2)
        self.addCleanup(room.close)
        os.mkdir(os.path.dirname(room.transcript))
        open(room.transcript, "w").close()  # killed before its first line: nothing has begun
        t = room.terminal("init", room.plan)
        in_a_share(room, t)
        os.write(t.fd, b"\x03")
        self.assertEqual(t.wait(), 130)
        self.assertTrue(t.text.endswith("\033[2J\033[3J\033[H"), t.text[-50:])

    def test_60_killed_again_and_again(self):
        room = Room(m=2, n=2)
        self.addCleanup(room.close)
        for step in EARLY + (at_the_keys,):
            self.kill(room, step)
        self.go_on(room)
        self.whole(room)


if __name__ == "__main__":
    unittest.main()
