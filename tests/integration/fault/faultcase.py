# SPDX-License-Identifier: Apache-2.0
"""A whole server on the fault token: a script that can change while it runs, the module's own log to count by, requests whose
hashes a script can name, and what must hold after every test."""

import os
import re
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../main"))

import base  # noqa: E402
from base import T, ServerCase, grpc, harness, k, new_id, signer_pb2  # noqa: E402,F401

CODE = grpc.StatusCode
VAULT = 'role_kind="vault"'
FAILED = 2  # a receipt's outcome
STORE = 16


class FaultCase(ServerCase):
    vaults = 2
    token = {}  # more of the section "token"
    script = ""  # at the server's start

    @classmethod
    def setUpClass(cls):
        bin_dir = os.environ.get("KYSO_BIN") or os.path.join(harness.ROOT, "build/dev/bin")
        cls.folder = tempfile.mkdtemp(prefix="kyso-fault-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.script_path, cls.module_log = f"{cls.folder}/script", f"{cls.folder}/calls"
        cls.env = {"KYSO_FAULT_SCRIPT": cls.script_path, "KYSO_FAULT_LOG": cls.module_log, **cls.env}
        cls.write_script(cls.script)
        cls.ready = {}
        cls.config = {"token.module": f"{bin_dir}/kyso-fault.so", "token.vaults": cls.vaults,
                      "policy.begins_per_5min": 8, "limits.pending_ttl_s": 600,
                      **{f"token.{name}": value for name, value in cls.token.items()}, **cls.config}
        super().setUpClass()

    @classmethod
    def write_script(cls, text):
        with open(cls.script_path + ".new", "w") as f:
            f.write(text.replace("; ", "\n") + "\n")
        os.rename(cls.script_path + ".new", cls.script_path)

    def obey(self, text):
        """From the token's next call on, this is the script; what calls() tells begins here."""
        self.calls_start = os.path.getsize(self.module_log)  # first: it may be obeyed at once
        self.write_script(text)

    # --- the module's log ------------------------------------------------------------------------

    def calls(self, function, what="gives", data=None):
        """Lines of the module's log since obey(), as (pid, the rest)."""
        with open(self.module_log) as f:
            f.seek(self.calls_start)
            lines = [line.split() for line in f.read().rpartition("\n")[0].splitlines()]  # the last may be half written
        return [(int(w[0]), w[3:]) for w in lines
                if len(w) > 3 and w[1] == function and w[3] == what and (not data or w[-1].startswith(f"data={data}"))]

    def fired(self, function, action=None):
        return [pid for pid, rest in self.calls(function, "fires") if action in (None, rest[1])]

    # --- life ------------------------------------------------------------------------------------

    def setUp(self):
        self.log_start = len(self.h.log_text())
        self.obey("")
        self.life_start = 0
        self.may_end = 0  # vaults; other roles never may

    def tearDown(self):
        self.obey("")
        self.wait_for_vaults()
        ended = [line for line in self.lines("role-ended") if "exit=0 signal=0" not in line]
        self.assertEqual([line for line in ended if VAULT not in line], [])
        self.assertLessEqual(len(self.lines(" warn role-ended", VAULT)), self.may_end, self.log())
        self.assertEqual(self.lines("late-result"), [], "a job had two owners")
        self.assertEqual(self.lines("sealed"), [])
        self.assertLedgerVerifies()
        self.assertEveryIntentHasItsReceipt()

    def log(self):
        return self.h.log_text()[self.log_start:]

    def lines(self, *words):
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def joined(self):
        log = self.h.log_text()[self.life_start:].rsplit('role-started role_kind="authority"', 1)[-1]
        return log.count(" vault-joined ") - log.count(" vault-left ")

    def launch(self):
        """Starts the server, which stopped, whatever comes of it."""
        self.life_start = len(self.h.log_text())
        self.ready.clear()
        self.h.launch()

    def wait_for_vaults(self, seconds=15):
        self.h.wait_for(lambda: self.joined() == self.vaults, f"{self.vaults} vaults", seconds)

    def wait_for_line(self, *words, seconds=15):
        self.h.wait_for(lambda: self.lines(*words), words, seconds)

    def kill_forked(self):
        """Whatever script it was that forked them."""
        self.calls_start = 0
        forked = self.calls("C_Sign", "forked")
        self.assertTrue(forked)
        for _, rest in forked:
            os.kill(int(rest[1]), signal.SIGKILL)

    # --- requests --------------------------------------------------------------------------------

    def requests(self, citizen, count=1, data=None):
        """Single-hash requests under SADs; `data` is what their hashes begin with, hexadecimal. Some are kept in store, because
        codes are scarce."""
        ready = self.ready.setdefault((citizen["credential_id"], data), [])
        while len(ready) < count:
            ready += self.authorized(citizen, max(count, STORE), data)
        given, ready[:] = ready[:count], ready[count:]
        return given

    def authorized(self, citizen, count, data):
        head = bytes.fromhex(data or "")
        whole = self.request(citizen, [head + os.urandom(32 - len(head)) for _ in range(count)])
        sad = self.stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(citizen))),
            timeout=20).sad
        return [self.sign_request(citizen, request=self.request(citizen, [d]), sad=sad) for d in whole.hashes]

    def one(self, citizen, data=None):
        return self.requests(citizen, 1, data)[0]

    def sign(self, citizen, request=None, timeout=10):
        """A signature that verifies, or grpc.RpcError."""
        request = request or self.one(citizen)
        reply = self.stub.Sign(request, timeout=timeout)
        for digest, signature in zip(request.request.hashes, reply.signatures):
            k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, digest, signature)
        self.assertEqual(len(reply.signatures), len(request.request.hashes))
        return reply

    def assertNotSigned(self, request, *codes, timeout=10):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Sign(request, timeout=timeout)
        self.assertIn(caught.exception.code(), codes, caught.exception.details())
        return caught.exception

    def assertEveryIntentHasItsReceipt(self):
        records = self.h.ledger("intent", "receipt")
        intents = [r["index"] for r in records if r["type"] == "intent"]
        receipts = [r["intent"] for r in records if r["type"] == "receipt"]
        self.assertEqual(sorted(intents), sorted(receipts), "I4")

    @classmethod
    def add_citizens(cls, *names, totps=8):
        cls.stub, cls.keys = cls.signer(), {}
        made = [cls.h.add_citizen(name, totps=totps, device=None) for name in names]
        cls.learn_keys(*made)
        return made

    @classmethod
    def learn_keys(cls, *citizens):
        for citizen in citizens:
            cls.keys[citizen["credential_id"]] = cls.public_key(cls("log"), cls.stub, citizen)
