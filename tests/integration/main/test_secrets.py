# SPDX-License-Identifier: Apache-2.0
"""Canaries (P25): secrets that the test knows are looked for in every role's memory, as a debugger would, and in
everything that is written. Each may be only where the design says."""

import base64
import contextlib
import glob
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import unittest

from base import ServerCase, grpc, harness, k, memory, new_id, signer_pb2

ROLES = ("kyso-front", "kyso-authority", "kyso-vault", "kyso-status")
NOBODY = 65534
DISPLAY = "a text that is personal"


def seed_forms(name, seed):
    b32 = base64.b32encode(seed).decode().rstrip("=")
    return {f"{name} raw": seed, f"{name} base32": b32.encode(), f"{name} hex": seed.hex().encode(),
            f"{name} HEX": seed.hex().upper().encode(), f"{name} base64": base64.b64encode(seed).rstrip(b"=")}


def sad_forms(name, sad):
    return {f"{name} raw": sad, f"{name} hex": sad.hex().encode(), f"{name} base64": base64.b64encode(sad).rstrip(b"=")}


def row_fields(body, layout):
    """A row's fields; layout: "b" for length-prefixed bytes, a number for so many fixed bytes."""
    fields, at = [], 0
    for what in layout:
        n = what
        if what == "b":
            n, at = struct.unpack_from("<I", body, at)[0], at + 4
        fields.append(body[at:at + n])
        at += n
    return fields


class SecretsCase(ServerCase):
    """One busy server: seeds of ours and of its own, signatures by code, by SAD and by approval, and refusals."""

    config = {"log_level": "debug"}

    @classmethod
    def seed(cls):
        with open(f"{cls.h.state}/pin", "rb") as f:
            cls.pin = f.read().strip()
        with open(f"{cls.h.state}/so-pin", "rb") as f:
            cls.so_pin = f.read().strip()
        cls.secrets = cls.derived()
        cls.alice = cls.h.add_citizen("alice", totp_hash=None, activate=False)
        cls.alice["totps"] = [cls.enroll(os.urandom(32)), cls.enroll(None), cls.enroll(None, sealed=True)]
        cls.h.certify(cls.alice["credential_id"], "alice")
        cls.use()
        cls.rows = cls.sealed()

    @classmethod
    def derived(cls):
        """The keys that the token derives for the authority: the test learns them where they belong."""
        if not memory.readable(cls.h.process.pid):
            return {}
        pages = memory.secret_pages(cls.h.children("kyso-authority")[0])
        keys = {f"derived key {i}": page[:32] for i, page in enumerate(page for page in pages if any(page))}
        assert len(keys) == 3 and len(set(keys.values())) == 3, len(keys)
        return keys

    @classmethod
    def enroll(cls, seed, sealed=False):
        """An authenticator from a seed of ours, or from one that the server makes and shows, or seals to its reader."""
        words = ["authenticator", "enroll-totp", "--subject", "alice", "--hash", "sha256", "--digits", "8"]
        if seed:
            with tempfile.NamedTemporaryFile("w") as f:
                f.write(base64.b32encode(seed).decode().rstrip("="))
                f.flush()
                made = cls.h.kyso(*words, "--seed", "@" + f.name, json_out=True)
        elif sealed:
            reader, letter = harness.reader(cls.h.dir), f"{cls.h.dir}/letter.p7m"
            made = cls.h.kyso(*words, "--seal-to", reader, "--output", letter, json_out=True)
            made["otpauth_uri"], authenticator, made["confirmation_code"] = harness.open_letter(reader, k.read(letter))
            assert authenticator == harness.find_key(made, "authenticator")
        else:
            made = cls.h.kyso(*words, "--show", json_out=True)
        authenticator = harness.find_key(made, "authenticator")
        confirmation = str(harness.find_key(made, "confirmation_code"))
        wrong = confirmation.translate(str.maketrans("0123456789", "1234567890"))
        cls.h.kyso("authenticator", "confirm", authenticator, wrong, check=False)
        cls.h.kyso("authenticator", "confirm", authenticator, confirmation)
        if seed is None:
            secret = harness.find_key(made, "otpauth_uri").split("secret=")[1].split("&")[0]
            seed = base64.b32decode(secret + "=" * (-len(secret) % 8))
        name = f"seed {len([s for s in cls.secrets if s.endswith(' raw')])}"
        cls.secrets |= seed_forms(name, seed)
        cls.secrets[f"{name} confirmation"] = confirmation.encode()
        return {"authenticator_id": authenticator, "secret": base64.b32encode(seed).decode().rstrip("="),
                "hash": "sha256", "digits": 8}

    @classmethod
    def use(cls):
        case = cls("use_")
        stub = cls.signer()
        codes = [cls.clock.code(cls.alice) for _ in range(4)]
        stub.Sign(case.sign_request(cls.alice, code=codes[0]), timeout=10)
        for refused in (codes[0], "90817263"):  # replayed; mistyped
            with contextlib.suppress(grpc.RpcError):
                stub.Sign(case.sign_request(cls.alice, code=refused), timeout=10)
        request = case.request(cls.alice, [os.urandom(32), os.urandom(32)], text=DISPLAY)
        sads = [stub.Authorize(signer_pb2.AuthorizeRequest(request_id=new_id(), request=request, totp=signer_pb2.TotpProof(
            code=codes[1])), timeout=10).sad]
        stub.Sign(case.sign_request(cls.alice, request=request, sad=sads[0]), timeout=10)
        pending, begun = case.begin(stub, cls.alice)
        case.approve(cls.approver(), case.device(cls.alice), begun)
        sads.append(case.wait(stub, begun).sad)
        one = case.sign_request(cls.alice, request=pending, sad=sads[1])
        list(stub.SignStream(iter([one]), timeout=10))
        with contextlib.suppress(grpc.RpcError):
            stub.Sign(case.sign_request(cls.alice, request=pending, sad=sads[1]), timeout=10)
        codes[2:] = ["90817263"]
        cls.secrets |= {f"code {i}": code.encode() for i, code in enumerate(codes)}
        for i, sad in enumerate(sads):
            cls.secrets |= sad_forms(f"SAD {i}", sad)

    def use_(self):
        """A name for the case that use() makes."""

    @classmethod
    def sealed(cls):
        """What the database keeps of keys and seeds, from a copy."""
        with tempfile.TemporaryDirectory() as copy:
            for path in glob.glob(f"{cls.h.state}/state/kyso.db*"):
                if not path.endswith("-shm"):
                    shutil.copy(path, copy)
            with contextlib.closing(sqlite3.connect(f"{copy}/kyso.db")) as db:
                rows = db.execute("select id >> 32, body from rows").fetchall()
        found = {}
        for table, body in rows:
            if table == 2:
                found[f"blob {len(found)}"] = row_fields(body, ("b", 4, 1, 1, 1, 4, 4, "b", "b"))[-1]
            elif table == 3:
                seed = row_fields(body, ("b", 4, 1, 1, 4, "b", 1, 1, "b"))[-1]
                if seed:
                    found[f"sealed seed {len(found)}"] = seed
        return found

    def scan(self, name):
        """What each process of this name holds: {pid and arguments: {secret: [where]}}."""
        pids = [self.h.process.pid] if name == "kysod" else self.h.children(name)
        self.assertTrue(pids, name)
        needles = dict(self.secrets, PIN=self.pin, **{"SO PIN": self.so_pin, "server id": b"demo.kyso.example"}, **self.rows)
        return {f"{name} {' '.join(harness.command_line(pid)[1:])} ({pid})": memory.scan(pid, needles) for pid in pids}

    def assertHoldsNo(self, name, allowed=()):
        for who, found in self.scan(name).items():
            leaks = [f"{secret}: {where}" for secret, places in found.items() for where in places
                     if secret != "server id" and not secret.startswith(tuple(allowed))]
            self.assertEqual(leaks, [], f"{who} holds secrets:\n" + "\n".join(leaks))


class Memory(SecretsCase):
    def setUp(self):
        if not memory.readable(self.h.process.pid):
            self.assertFalse(os.environ.get("CI"), "CI must run the memory scan as root")
            self.skipTest("needs root with CAP_SYS_PTRACE: the roles' memory cannot be read")

    def test_the_scanner_finds_what_is_there(self):
        for name in ("kysod", "kyso-front", "kyso-authority", "kyso-vault"):
            for who, found in self.scan(name).items():
                self.assertIn("server id", found, who)
        (authority,) = self.scan("kyso-authority").values()
        for name in (name for name in self.secrets if name.startswith("derived")):
            self.assertEqual(len(authority.get(name, ())), 1, f"{name}: in its locked page, and nowhere else")
        (supervisor,) = self.scan("kysod").values()
        self.assertEqual(len(supervisor.get("PIN", ())), 1, "the supervisor keeps the PIN, once")
        self.assertTrue(any(name.startswith("blob") for name in self.rows), self.rows)
        self.assertTrue(any(name.startswith("sealed seed") for name in self.rows))

    def test_fronts(self):
        self.assertHoldsNo("kyso-front")

    def test_authority(self):
        self.assertHoldsNo("kyso-authority", allowed=("blob", "sealed seed", "derived"))

    def test_vaults(self):
        self.assertHoldsNo("kyso-vault", allowed=("blob",))

    def test_status(self):
        self.assertHoldsNo("kyso-status")

    def test_supervisor(self):
        self.assertHoldsNo("kysod", allowed=("PIN",))

    def test_fronts_when_the_clients_have_left(self):
        for c in self.channels:
            c.close()
        del self.channels[:]
        self.assertHoldsNo("kyso-front")


class Written(SecretsCase):
    def assertNowhere(self, what, data, allowed=()):
        for name, secret in dict(self.secrets, PIN=self.pin, **{"SO PIN": self.so_pin}).items():
            if name not in allowed:
                self.assertNotIn(secret, data, f"{name} is in {what}")

    def test_compliance_36_log(self):
        text = self.h.log_text().encode()
        self.assertIn(b"demo.kyso.example", text)
        self.assertNowhere("the log", text)

    def test_compliance_36_ledger_export(self):
        for words in ((), ("--private",)):
            text = self.h.kyso("ledger", "export", *words).stdout.encode()
            self.assertIn(self.alice["credential_id"].encode(), text)
            self.assertNowhere("the ledger's export", text)
            self.assertEqual(DISPLAY.encode().hex().encode() in text, bool(words), "only then with the side table")

    def test_compliance_36_files(self):
        paths = [path for path in glob.glob(f"{self.h.state}/state/**", recursive=True) if os.path.isfile(path)]
        self.assertIn(f"{self.h.state}/state/kyso.db", paths)
        self.assertIn(f"{self.h.state}/state/kyso.db-wal", paths)
        for path in paths:
            self.assertNowhere(path, k.read(path))
        stored = k.read(f"{self.h.state}/state/kyso.db") + k.read(f"{self.h.state}/state/kyso.db-wal")
        self.assertIn(self.alice["credential_id"].encode(), stored)

    def test_command_lines_and_environments(self):
        pids = [self.h.process.pid] + [pid for role in ROLES for pid in self.h.children(role)]
        self.assertGreater(len(pids), 6)
        for pid in pids:
            self.assertNowhere(f"{pid}'s command line", k.read(f"/proc/{pid}/cmdline"))
            self.assertNowhere(f"{pid}'s environment", k.read(f"/proc/{pid}/environ"))

    def test_hardened(self):
        for pid in [self.h.process.pid] + [pid for role in ROLES for pid in self.h.children(role)]:
            who = " ".join(harness.command_line(pid))
            with open(f"/proc/{pid}/status") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            self.assertEqual(status["NoNewPrivs"], "1", who)
            with open(f"/proc/{pid}/limits") as f:
                core = next(line for line in f if line.startswith("Max core file size"))
            self.assertEqual(core.split()[4:6], ["0", "0"], who)

    def test_pin_is_locked(self):
        with open(f"/proc/{self.h.process.pid}/status") as f:
            kib = {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in f) if name[:2] == "Vm"}
        if kib["VmSize"] > 1 << 30:
            self.skipTest("a sanitizer makes mlock(2) do nothing")
        self.assertGreater(kib["VmLck"], 0)


class Unprivileged(ServerCase):
    """The same server as nobody: /proc shows who is not dumpable, because the kernel then gives its files to root."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root, to start a server as somebody else")
        cls.h = harness.Harness(spawn={"user": NOBODY, "group": NOBODY, "extra_groups": []})
        cls.addClassCleanup(cls.h.stop)
        if not cls.can_reach():
            raise unittest.SkipTest("nobody cannot reach the programs")
        cls.h.start()

    @classmethod
    def can_reach(cls):
        return subprocess.run([f"{cls.h.bin}/kysod", "--version"], capture_output=True, **cls.h.spawn).returncode == 0

    def test_not_dumpable(self):
        pids = [self.h.process.pid] + [pid for role in ROLES for pid in self.h.children(role)]
        for pid in pids:
            who = " ".join(harness.command_line(pid))
            with open(f"/proc/{pid}/status") as f:
                self.assertIn(f"\nUid:\t{NOBODY}\t", f.read(), who)
            self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0, f"{who} is dumpable")
        with subprocess.Popen(["sleep", "60"], **self.h.spawn) as other:
            try:
                harness.Harness.wait_for(lambda: harness.command_line(other.pid)[:1] == ["sleep"], "sleep")
                self.assertEqual(os.stat(f"/proc/{other.pid}/mem").st_uid, NOBODY, "a dumpable process shows its owner")
            finally:
                other.kill()


if __name__ == "__main__":
    unittest.main()
