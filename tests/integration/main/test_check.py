# SPDX-License-Identifier: Apache-2.0
"""The server under load while its roles are killed, judged by tests/check, which shares no code with it; and that checker judged
by forged ledgers: each rule must see its violation."""

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from base import HERE, ServerCase, harness, new_id, signer_pb2

sys.path.insert(0, os.path.join(HERE, "../../check"))
import forge  # noqa: E402
from clients import Clients  # noqa: E402
from kysocheck.forms import CODES  # noqa: E402
from kysocheck.recorder import Recorder  # noqa: E402
from kysocheck.rule import RULES  # noqa: E402
from kysocheck.run import Check, Options  # noqa: E402
import mutations_history  # noqa: E402,F401
import mutations_ledger  # noqa: E402,F401
import mutations_spend  # noqa: E402,F401
from mutations import MUTATIONS  # noqa: E402

CHECK = os.path.join(HERE, "../../check/kyso-check")
SEED = int(os.environ.get("KYSO_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
ROLES = ("kyso-vault", "kyso-front", "kyso-authority")
STEPS = 150
BETWEEN = int(os.environ.get("KYSO_TEST_STEPS") or STEPS)  # two kills
ROUNDS = int(os.environ.get("KYSO_TEST_ROUNDS") or 5)  # one role killed in each
EDITS = int(os.environ.get("KYSO_TEST_EDITS") or 100)


def flip(rng, lines):
    """One bit of one leaf, its JSON left as it was."""
    at = rng.randrange(len(lines) - 1)
    value = json.loads(lines[at])
    leaf = bytearray(base64.b64decode(value["leaf"]))
    leaf[rng.randrange(len(leaf))] ^= 1 << rng.randrange(8)
    lines[at] = json.dumps({**value, "leaf": base64.b64encode(leaf).decode()}, separators=(",", ":"))
    return lines


def drop(rng, lines):
    del lines[rng.randrange(len(lines) - 1)]
    return lines


def double(rng, lines):
    at = rng.randrange(len(lines) - 1)
    return lines[:at] + lines[at:at + 1] + lines[at:]


def swap(rng, lines):
    a, b = rng.sample(range(len(lines) - 1), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def cut(rng, lines):
    return lines[:rng.randrange(1, len(lines) - 1)] + lines[-1:]


EDIT_KINDS = (flip, drop, double, swap, cut)

# Fields that say who or what a record is about: one of them is never empty.
WHO = {"genesis": ("server_id",), "start": ("boot",), "stop": ("boot",), "anchored": ("head_size",), "operation": ("operators",),
       "admin": ("row",), "begin": ("client_row",), "authorized": ("authenticator_row",), "ended": ("transaction_id",),
       "intent": ("credential_row",), "receipt": ("sig_len", "cause"), "denied": ("client_row", "subject_row", "spki")}


class CheckCase(ServerCase):
    config = {"ledger.checkpoint_interval_s": 1, "policy.lock_tries": 20, "policy.lock_total": 100,
              "policy.client_failures_per_minute": 10000, "policy.begins_per_5min": 8}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.history = f"{cls.h.dir}/history.jsonl"
        cls.export_path = f"{cls.h.dir}/ledger.jsonl"
        cls.recorder = Recorder(cls.history)
        cls.addClassCleanup(cls.recorder.close)
        cls.checkpoints = []

    def keep_checkpoint(self):
        """As an auditor does who collects them."""
        source = f"{self.h.state}/state/checkpoint"
        if os.path.exists(source):
            path = f"{self.h.dir}/checkpoint-{len(self.checkpoints)}"
            shutil.copy(source, path)
            self.checkpoints.append(path)

    def key_file(self):
        """The ledger's verifier key, as one would pin it."""
        path = f"{self.h.dir}/ledger.pem"
        if not os.path.exists(path):
            genesis = self.h.ledger("genesis")[0]
            subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-out", path],
                           input=bytes.fromhex(genesis["ledger_key"]), check=True)
        return path

    def export(self):
        """Stops the server in order; the offline export."""
        self.key_file()
        self.keep_checkpoint()
        self.assertEqual(self.h.stop_server(), 0)
        self.keep_checkpoint()
        with open(self.export_path, "w", encoding="utf-8") as out:
            subprocess.run([f"{self.h.bin}/kyso-authority", "--export", f"{self.h.state}/state/kyso.db", "--private"], stdout=out,
                           env=self.h.env, check=True)

    def check(self, *words, complete=True):
        words = ("--complete", *words) if complete else words
        checkpoints = [word for path in self.checkpoints for word in ("--checkpoint", path)]
        done = subprocess.run([CHECK, "--ledger", self.export_path, "--history", self.history, "--key", self.key_file(),
                               *checkpoints, *words, "--json"], capture_output=True, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return json.loads(done.stdout)

    def logged_in(self):
        """No vault is between its start and its login: one that dies there closes the PIN latch, as it should."""
        log = self.h.log_text()
        for index in range(2):
            started = log.rfind(f'role-started role_kind="vault" door="none" index={index} ')
            if started < 0 or f"vault-joined index={index} " not in log[started:]:
                return False
        return True

    def kill(self, role):
        def act():
            if role == "kyso-vault":
                self.h.wait_for(self.logged_in, "both vaults to be logged in")
            pids = self.h.children(role)
            if pids:
                os.kill(self.rng.choice(pids), signal.SIGKILL)
                self.killed.append(role)
        return act

    def operate(self, operation, target, state, *words):
        """An operator's act, recorded: what is acknowledged must hold."""
        return self.recorder.operate(operation, target, lambda: self.h.kyso(*words, check=False).returncode == 0, state)


class UnderFire(CheckCase):
    """kill -9 of every role at random moments of a load, a restart in between, revocations at the end."""

    config = {**CheckCase.config, "limits.sign_deadline_ms": 20000}

    @classmethod
    def seed(cls):
        kinds = (("p256", 6), ("p256", 2), ("p384", 1), ("rsa2048", 1), ("ed25519", 1)) * (1 + ROUNDS // 100)
        cls.citizens = [cls.h.add_citizen(f"citizen-{i}", key_type=kind, totps=totps) for i, (kind, totps) in enumerate(kinds)]
        cls.waiting = cls.h.add_citizen("waiting", totp_hash=None)

    def test_killed_and_revoked(self):
        print(f"\nKYSO_TEST_SEED={SEED}")
        self.rng, self.killed = random.Random(SEED), []
        clients = Clients(self, self.recorder, self.citizens, SEED)
        clients.credential_keys(self.citizens + [self.waiting])
        rounds = list(ROLES) + [self.rng.choice(ROLES) for _ in range(ROUNDS - len(ROLES))]
        self.rng.shuffle(rounds)
        for number, role in enumerate(rounds):
            clients.run(BETWEEN, {self.rng.randrange(10, BETWEEN): self.kill(role)})
            self.h.wait_for(self.h._is_serving, f"the server after a {role} was killed")
            self.keep_checkpoint()
            if number == 2:
                self.assertEqual(self.h.stop_server(), 0)
                self.h.run_server()
        late = self.revoke_in_the_vault(clients)
        replayed = clients.replay_all()
        clients.run(STEPS, self.revocations())
        self.export()
        told = self.check()
        print(json.dumps({**told, "outcomes": clients.outcomes, "killed": self.killed}))
        print(f"figures: P5: {len(rounds)} kills under load, {told['signed']} signatures judged, {len(told['violations'])} violations; "
              f"each replayed under another id: {replayed} accepted", flush=True)
        self.assertEqual(told["violations"], [])
        self.assertEqual((told["unverified"], self.killed), (0, rounds))
        self.assertEqual((late, replayed), (0, 0), "signed for a suspended credential; by a spent proof")
        self.assertGreater(told["signed"], 100)
        self.assertVerifiesInC(self.export_path)

    def revoke_in_the_vault(self, clients):
        """P21: eight hashes are intended and with vaults that stand still when the credential is suspended. How many come back."""
        stub, person = self.signer(), self.waiting
        request, proof = clients.approved(stub, person, inline=False)
        self.h.wait_for(self.logged_in, "both vaults to be logged in")
        vaults, before = self.h.children("kyso-vault"), len(self.h.ledger("intent"))
        for pid in vaults:
            os.kill(pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(clients.sign, stub, person, self.request(person, [h]), **proof) for h in request.hashes[:8]]
                self.h.wait_for(lambda: len(self.h.ledger("intent")) == before + 8, "eight intents")
                self.assertTrue(self.operate("set-credential-state", person["credential_id"], "suspended", "credential",
                                             "suspend", person["credential_id"]))
                self.go_on(vaults)
                return sum(w.result() is not None for w in waiting)
        finally:
            self.go_on(vaults)

    @staticmethod
    def go_on(pids):
        """Those that were not killed for standing still too long."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def revocations(self):
        """Suspended and resumed, suspended for good, a device and a code generator removed; at last nobody may sign."""
        first, second = (c["credential_id"] for c in self.citizens[:2])

        def state(to, credential):
            word = {"suspended": "suspend", "active": "resume"}[to]
            return lambda: self.operate("set-credential-state", credential, to, "credential", word, credential)

        def remove(authenticator):
            name = authenticator["authenticator_id"]
            return lambda: self.operate("remove-authenticator", name, "", "authenticator", "remove", name)

        acts = (state("suspended", first), remove(self.citizens[2]["device"]), state("active", first), state("suspended", second),
                remove(self.citizens[0]["totps"][0]), state("suspended", first),
                lambda: self.operate("set-client-state", "portal", "suspended", "client", "suspend", "portal"))
        return {(n + 1) * STEPS // (len(acts) + 1): lambda act=act: self.assertTrue(act()) for n, act in enumerate(acts)}

    def assertVerifiesInC(self, path):
        for checkpoint in self.checkpoints:
            self.h.kyso("ledger", "verify", "--file", path, "--key", self.key_file(), "--checkpoint", checkpoint)


class AtSpeed(CheckCase):
    """Thousands of signatures in full batches, each role killed once: no client wrote them down, the ledger shows what was done."""

    def seeded(self):
        """20 people, by the benchmark's own program."""
        path, pki, ends = f"{self.h.dir}/people.jsonl", f"{self.h.state}/pki", self.h.endpoints()
        subprocess.run([f"{self.h.bin}/kyso-seed", "--socket", ends["operator"], "--server-id", ends["server_id"], "--operator-key",
                        self.h.env["KYSO_OPERATOR_KEY"], "--ca", f"{pki}/citizen-ca.pem", "--ca-key", f"{pki}/citizen-ca.key",
                        "--out", path, "--citizens", "20", "--totps", "6", "--devices", "0"], check=True, stderr=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as f:
            for person in map(json.loads, f):
                self.recorder.key(person["credential_id"], bytes.fromhex(person["public_key"]))
        return path

    def signed(self):
        with urllib.request.urlopen(f"http://{self.h.endpoints()['status']}/metrics", timeout=10) as reply:
            return int(re.search(r"^kyso_signatures_total (\d+)$", reply.read().decode(), re.M).group(1))

    def load_and_kill(self, people, role, skip):
        pki, before = f"{self.h.state}/pki", self.signed()
        argv = [f"{self.h.bin}/kyso-load", "--endpoint", self.h.endpoints()["signer"], "--cert", f"{pki}/portal.pem", "--key",
                f"{pki}/portal.key", "--ca", f"{pki}/tls-ca.pem", "--population", people, "--proof", "sad", "--seconds", "4",
                "--quiet", "--in-flight", "64", "--skip", str(skip), "--citizens", "6"]
        with subprocess.Popen(argv, env=self.h.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as clients:
            try:
                self.h.wait_for(lambda: self.signed() > before + 200 or clients.poll() is not None, "200 signatures")
                self.assertIsNone(clients.poll(), "the load ended by itself: " + (clients.stderr.read() if clients.poll() else ""))
                self.kill(role)()
                clients.communicate(timeout=60)
            finally:
                clients.kill()
        self.h.wait_for(self.h._is_serving, f"the server after a {role} was killed")
        self.keep_checkpoint()

    def test_killed_at_speed(self):
        self.rng, self.killed = random.Random(SEED), []
        people = self.seeded()
        for number, role in enumerate(ROLES):
            self.load_and_kill(people, role, 6 * number)
        self.export()
        told = self.check(complete=False)
        print(json.dumps(told))
        self.assertEqual((told["violations"], told["unverified"], self.killed), ([], 0, list(ROLES)))
        self.assertGreater(told["signed"], 600)


class Forged(CheckCase):
    """One server's life with every kind of proof, a crash and a restart, then forged in every way that a rule knows."""

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=2)
        cls.bob = cls.h.add_citizen("bob", totps=1)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("test_every_rule_fires")
        case.live()
        cls.book = forge.Book(cls.export_path, cls.history)

    def live(self):
        self.clients = Clients(self, self.recorder, [self.alice, self.bob], 1)
        self.clients.credential_keys(self.clients.citizens)
        stub = self.signer()
        self.assertIsNotNone(self.clients.by_code(stub, self.alice))
        self.sad_by_code(stub)
        self.sad_by_approval(stub)
        self.assertIsNotNone(self.clients.by_approval(stub, self.bob))
        self.clients.replay(stub, None)
        self.assertEqual(self.h.stop_server(), 0)
        self.h.run_server()
        os.kill(self.h.children("kyso-authority")[0], signal.SIGKILL)
        self.h.wait_for(lambda: self.h.log_text().count(" opened ") == 3, "the next authority")
        self.h.wait_for(self.h._is_serving, "the server after its authority was killed")
        self.assertIsNotNone(self.clients.by_approval(self.signer(), self.bob))
        self.operate("set-credential-state", self.alice["credential_id"], "suspended", "credential", "suspend",
                     self.alice["credential_id"])
        self.export()

    def sad_by_code(self, stub):
        """Three hashes, two of them signed."""
        proof, about = self.clients.code(self.alice)
        request = self.request(self.alice, [os.urandom(32) for _ in range(3)])
        told = self.recorder.authorize(stub, "portal", signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=request, totp=proof), subject_id="alice", **about)
        for digest in request.hashes[:2]:
            self.assertIsNotNone(self.clients.sign(stub, self.alice, self.request(self.alice, [digest]), sad=told.sad))

    def sad_by_approval(self, stub):
        request, proof = self.clients.approved(stub, self.bob, inline=False)
        self.assertIsNotNone(self.clients.sign(stub, self.bob, self.request(self.bob, request.hashes[:1]), **proof))

    def judge(self, book):
        """(the rules that fired, exit code of the C verifier)"""
        folder = f"{self.h.dir}/forged"
        os.makedirs(folder, exist_ok=True)
        book.write(folder)
        return self.fired(folder), self.verdict(folder)

    def fired(self, folder):
        check = Check(Options(complete=True, pinned=self.book.key))
        check.read_history(f"{folder}/history.jsonl")
        with open(f"{folder}/checkpoint", encoding="utf-8") as f:
            check.add_checkpoint(f.read(), "checkpoint")
        check.read_ledger(f"{folder}/ledger.jsonl")
        return set(check.fired)

    def verdict(self, folder):
        return self.h.kyso("ledger", "verify", "--file", f"{folder}/ledger.jsonl", "--checkpoint", f"{folder}/checkpoint",
                           "--key", f"{folder}/key.pem", check=False).returncode

    def test_a_true_history_holds(self):
        told = self.check()
        self.assertEqual((told["violations"], told["unverified"]), ([], 0))
        self.assertEqual(self.judge(self.book.copy()), (set(), 0))

    def test_every_rule_fires(self):
        for m in MUTATIONS:
            with self.subTest(m.spoil.__name__):
                book = self.book.copy()
                m.spoil(book)
                fired, verdict = self.judge(book)
                self.assertIn(m.rule, fired)
                if m.sealed is not None:
                    self.assertEqual(verdict, 0 if m.sealed else 4, "what the C verifier says of the tree")

    def test_compliance_35_random_edits_are_found(self):
        """P7: leaves flipped, dropped, doubled, swapped, cut: found by index and tree alone. The C verifier is asked 40 times."""
        rng, folder = random.Random(SEED), f"{self.h.dir}/forged"
        self.judge(self.book.copy())
        with open(f"{folder}/ledger.jsonl", encoding="utf-8") as f:
            good = f.read().splitlines()
        for number in range(EDITS):
            how = rng.choice(EDIT_KINDS)
            forge.put(folder, "ledger.jsonl", "\n".join(how(rng, list(good))) + "\n")
            with self.subTest(number=number, how=how.__name__, seed=SEED):
                self.assertTrue({"P7-root", "P7-reach", "P7-index"} & self.fired(folder))
                self.assertEqual(self.verdict(folder) if number < 40 else 4, 4)

    def test_compliance_34_every_event_has_time_type_identity_and_outcome(self):
        with open(self.export_path, encoding="utf-8") as f:
            records = [r for r in map(json.loads, f) if "leaf" in r]
        self.assertEqual({r["type"] for r in records} - {"event"}, WHO.keys() - {"ended"} | {r["type"] for r in records} & {"ended"})
        for r in records:
            self.assertRegex(r["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
            if r["type"] in WHO and r.get("outcome", 1) == 1:
                self.assertTrue(any(str(r[name]).strip("0") for name in WHO[r["type"]]), r)
        ended = {r["intent"]: r["outcome"] for r in records if r["type"] == "receipt"}
        self.assertEqual(sorted(ended), [r["index"] for r in records if r["type"] == "intent"])
        self.assertLessEqual(set(ended.values()), {1, 2, 3})
        self.assertNotIn("ok", {r["reason"] for r in records if r["type"] == "denied"})

    def test_codes_are_numbered_as_documented(self):
        """The codes' numbers are bytes of the ledger: document, checker and server must agree, and never renumber."""
        with open(f"{harness.ROOT}/proto/LEDGER.md", encoding="utf-8") as f:
            paragraph = f.read().split("Codes by number")[1].split("Another number")[0]
        self.assertEqual(re.findall("`([a-z0-9-]+)`", paragraph), CODES)
        with open(f"{harness.ROOT}/proto/include/kyso/status.h", encoding="utf-8") as f:
            numbers = re.findall(r"^    (KY_[A-Z_]+)(?: = 0)?,", f.read().split("enum ky_code {")[1].split("};")[0], re.M)
        with open(f"{harness.ROOT}/proto/status.c", encoding="utf-8") as f:
            names = dict(re.findall(r'\[(KY_[A-Z_]+)\] = \{"([a-z-]+)"', f.read()))
        self.assertEqual([names[n] for n in numbers], CODES)

    def test_every_rule_has_a_forgery(self):
        self.assertEqual({r.name for r in RULES} - {m.rule for m in MUTATIONS}, set())


if __name__ == "__main__":
    unittest.main()
