# SPDX-License-Identifier: Apache-2.0
"""A server outside a demo: its administrators are people with certificates, and what counts takes two of them, in one
place or at two, by a proposal that the second one reads and signs."""

import base64
import contextlib
import datetime
import hashlib
import json
import os
import pty
import stat
import subprocess
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from base import grpc, harness, k, signer_pb2, signer_pb2_grpc
from kyso.v1 import operator_pb2

USERS = {role: 64001 + i for i, role in enumerate(("front", "authority", "vault", "status"))} if os.geteuid() == 0 else None


def no_demo(**options):
    return harness.Harness(config={"demo": False}, users=USERS, **options)


class Init(unittest.TestCase):
    def make_expired(self, h):
        h.kyso("operator", "keygen", f"{h.dir}/expired.key")
        key = serialization.load_pem_private_key(k.read(f"{h.dir}/expired.key"), None)
        name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "expired")]), datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
                .not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now - datetime.timedelta(days=1))
                .sign(key, hashes.SHA256()))
        with open(f"{h.dir}/expired.key.crt", "wb") as f:
            f.write(made.public_bytes(serialization.Encoding.PEM))

    def test_compliance_31_initialising_takes_two_people_with_certificates(self):
        for what, operators, why in (("bare", "first.key.pub second.key.crt", "outside a demo each operator needs a certificate"),
                                     ("twice", "first.key.crt first.key.crt", "somebody has that key"),
                                     ("namesake", "first.key.crt namesake.key.crt", "a certificate of that subject"),
                                     ("expired", "first.key.crt expired.key.crt", "not valid now"),
                                     ("alone", "first.key.crt", "it takes two operators")):
            with self.subTest(what):
                h = no_demo()
                self.addCleanup(h.stop)
                h.make_state()
                h.hand_out()
                for name, subject in (("first", "first"), ("second", "second"), ("namesake", "first")):
                    h.kyso("operator", "keygen", f"{h.dir}/{name}.key", "--certificate", subject)
                self.make_expired(h)
                done = h.kysod("--init", *(word for i, name in enumerate(operators.split())
                                           for word in ("--operator", f"person-{i}:{h.dir}/{name}")))
                self.assertEqual(done.returncode, 1)
                self.assertIn(why, done.stderr)
                self.assertFalse(os.path.exists(f"{h.state}/state/kyso.db"), "it would bar the next attempt")


class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.h = no_demo(operators=("second",))
        cls.addClassCleanup(cls.h.stop)
        cls.h.start()

    def by(self, name):
        return "--operator", name, "--operator-key", f"{self.h.state}/{'operator' if name == 'demo' else name}.key"

    def run_by(self, who, *words, check=True):
        return self.h.kyso(*words, *(word for name in who.split() for word in self.by(name)), check=check)

    def refused(self, who, *words, reason="operator-refused"):
        self.assertEqual(self.run_by(who, *words, check=False).returncode, 1)
        self.assertEqual([r["reason"] for r in self.h.ledger("denied")][-1], reason)

    def person(self, name, role, subject=None):
        key = f"{self.h.state}/{name}.key"
        self.h.kyso("operator", "keygen", key, "--certificate", subject or name)
        return ("user", "add", name, "--role", role, "--cert", f"{key}.crt")

    def test_two_people_where_it_counts(self):
        add = self.person("officer", "security-officer")
        self.refused("demo", *add)
        self.run_by("demo second", *add)
        record = self.h.ledger("operation")[-2]
        self.assertEqual((record["name"], record["target"], record["operators"]), ("add-user", "officer", "demo,second"))
        client = ("client", "add", "portal", "--may", "sign", "--cert", f"{self.h.state}/pki/portal.pem")
        self.refused("officer", *client)
        self.run_by("officer demo", *client)
        self.run_by("officer", "client", "suspend", "portal")  # in a hurry one is enough
        self.refused("officer", "client", "resume", "portal")
        self.refused("officer", "subject", "add", "079123", "--name", "A")  # not an officer's
        self.run_by("demo", "subject", "add", "079123", "--name", "A")
        self.refused("demo", "subject", "unlock", "079123")
        self.run_by("demo officer", "subject", "unlock", "079123")
        totp = ("authenticator", "enroll-totp", "--subject", "079123", "--seed", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
        self.refused("demo", *totp)
        self.run_by("demo second", *totp)

    def test_compliance_31_destroying_takes_two(self):
        self.run_by("demo", "subject", "add", "079124", "--name", "B")
        made = json.loads(self.run_by("demo", "credential", "create", "--subject", "079124", "--relying-party", "*", "--json").stdout)
        credential = harness.find_key(made, "credential")
        self.refused("second", "credential", "destroy", credential, "--yes")
        self.run_by("second demo", "credential", "destroy", credential, "--yes")

    def test_compliance_33_roles(self):
        self.run_by("demo second", *self.person("eve", "auditor"))
        users = json.loads(self.run_by("eve", "user", "list", "--json").stdout)["users"]
        self.assertEqual([(u["role"], u["certificate_subject"]) for u in users if u["user"] == "eve"], [("auditor", "CN=eve")])
        self.assertTrue(self.run_by("eve", "ledger", "export").stdout)
        self.refused("eve", "subject", "add", "079125", "--name", "C")
        self.refused("eve demo", "user", "remove", "second")
        self.refused("demo second", "role", "set", "eve", "operator", reason="conflict")
        self.refused("demo second", *self.person("eve-again", "operator", "eve"), reason="conflict")
        self.refused("demo second", "user", "add", "eve-too", "--role", "operator", "--cert", f"{self.h.state}/eve.key.crt",
                     reason="conflict")
        self.refused("demo second", "user", "add", "bare", "--role", "operator", "--public-key",
                     f"{self.h.state}/eve-again.key.pub", reason="invalid")
        self.run_by("demo second", "user", "remove", "eve")
        self.refused("eve", "status")

    def test_compliance_32_no_role_signs(self):
        """Over the operators' door a citizen's key signs one thing, the server's own certificate request, and that only before
        there is a certificate. No operation carries a hash, no answer a signature; and the socket serves no other door."""
        fields = {f.name for m in (operator_pb2.Operation, operator_pb2.OperationResult) for f in m.DESCRIPTOR.fields}
        self.assertFalse({f for f in fields if "sign" in f or "hash" in f})
        self.run_by("demo", "subject", "add", "079127", "--name", "D")
        credential = self.h.add_credential("079127")
        self.h.certify(credential, "079127")
        for who in ("demo", "second", "demo second"):
            self.refused(who, "credential", "csr", credential, "--dn", "CN=079127", reason="inactive")
        self.assertEqual({r["kind"] for r in self.h.ledger("intent")}, {2})
        with grpc.insecure_channel("unix:" + self.h.endpoints()["operator"]) as channel:
            with self.assertRaises(grpc.RpcError) as caught:
                signer_pb2_grpc.SignerStub(channel).Sign(signer_pb2.SignRequest(), timeout=10)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        pki = f"{self.h.state}/pki"
        door = k.channel(self.h.endpoints()["signer"], f"{pki}/tls-ca.pem", f"{self.h.state}/operator.key.crt",
                         f"{self.h.state}/operator.key")
        with self.assertRaises(grpc.RpcError) as caught:  # an administrator's certificate is no client's
            signer_pb2_grpc.SignerStub(door).Info(signer_pb2.InfoRequest(), timeout=10)
        self.assertIn(caught.exception.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED))
        door.close()

    def test_two_people_at_two_places(self):
        path = f"{self.h.dir}/add.op"
        self.run_by("demo", *self.person("fay", "operator"), "--propose", path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertNotIn("fay", self.run_by("demo", "user", "list").stdout, "nothing is done yet")
        shown = json.loads(self.h.kyso("operation", "show", path, "--json").stdout)
        self.assertEqual((shown["message"], shown["name"], shown["role"], shown["signed_by"], shown["certificate_subject"]),
                         ("Proposed: add user", "fay", "ROLE_OPERATOR", ["demo"], "CN=fay"))
        self.assertIn("add user", self.h.kyso("operation", "show", path).stdout)
        approve = ("operation", "approve", path, "--digest", shown["digest"])
        for name in ("demo", "stranger"):  # the same person again; nobody we know
            self.h.kyso("operator", "keygen", f"{self.h.state}/stranger.key", check=False)
            self.refused(name, *approve)
        self.run_by("second", *approve)
        record = [r for r in self.h.ledger("operation") if r["name"] == "add-user"][-1]
        self.assertEqual((record["operators"], record["digest"]), ("demo,second", shown["digest"]))
        self.assertIn("fay", self.run_by("demo", "user", "list").stdout)
        self.refused("second", *approve)  # it runs once

    def test_nobody_signs_what_they_have_not_seen(self):
        path = f"{self.h.dir}/hal.op"
        self.run_by("demo", *self.person("hal", "operator"), "--propose", path)
        digest = json.loads(self.h.kyso("operation", "show", path, "--json").stdout)["digest"]
        before = len(self.h.ledger())
        for words, code, line in (((), 2, "nobody has said"), (("--json",), 2, "nobody has said"),
                                  (("--digest", digest[:-2] + "00"), 4, "another digest"), (("--digest", digest[:-2]), 4, "another digest")):
            done = self.run_by("second", "operation", "approve", path, *words, check=False)
            self.assertEqual((done.returncode, line in done.stdout + done.stderr), (code, True), done)
        for answer, code in ((b"no\n", 1), (b"\n", 1), (b"yes, but\n", 1)):
            self.assertEqual(self.at_a_terminal(answer, path)[0], code)
        self.assertEqual([r for r in self.h.ledger()[before:] if r["type"] in ("denied", "admin")], [], "nothing was sent")
        code, screen = self.at_a_terminal(b"yes\n", path)
        self.assertEqual(code, 0, screen)
        for seen in ("Proposed: add user", "hal", "ROLE_OPERATOR", digest, "user hal added"):
            self.assertIn(seen, screen)

    def at_a_terminal(self, answer, path):
        """second approves with the answer typed; exit status and what stood on the screen."""
        ours, theirs = pty.openpty()
        words = [f"{self.h.bin}/kyso", "operation", "approve", path, *self.by("second")]
        with subprocess.Popen(words, env=self.h.env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            screen = b""
            with contextlib.suppress(OSError):  # the terminal's end
                while chunk := os.read(ours, 4096):
                    if b"Type yes" in chunk or b"Type yes" in screen + chunk and b"Type yes" not in screen:
                        os.write(ours, answer)
                    screen += chunk
            os.close(ours)
        return process.returncode, screen.decode()

    def test_the_list_has_who_was_removed_only_when_asked(self):
        self.run_by("demo second", *self.person("ida", "operator"))
        self.run_by("demo second", "user", "remove", "ida")
        self.assertNotIn("ida", self.run_by("demo", "user", "list").stdout)
        self.assertIn("ida", self.run_by("demo", "user", "list", "--removed").stdout)
        self.refused("demo second", "user", "add", "ida", "--role", "operator", "--cert", f"{self.h.state}/ida.key.crt",
                     reason="conflict")

    def test_what_is_approved_is_what_was_shown(self):
        path = f"{self.h.dir}/client.op"
        self.run_by("demo", "client", "add", "gateway", "--may", "sign", "--cert", f"{self.h.state}/pki/gateway.pem",
                    "--delegate", "ministry-a", "--propose", path)
        shown = json.loads(self.h.kyso("operation", "show", path, "--json").stdout)
        self.assertEqual((shown["name"], shown["relying_parties"], shown["may_sign"], shown["spki_sha256"]),
                         ("gateway", ["ministry-a"], True, [self.h.spki_sha256("gateway").hex()]))
        with open(path, "rb") as f:
            proposal = f.read()
        changed = proposal.replace(b"ministry-a", b"ministry-b")
        self.assertNotEqual(changed, proposal)
        with open(path, "wb") as f:
            f.write(changed)
        self.assertNotEqual(json.loads(self.h.kyso("operation", "show", path, "--json").stdout)["digest"], shown["digest"])
        digest = json.loads(self.h.kyso("operation", "show", path, "--json").stdout)["digest"]
        self.refused("second", "operation", "approve", path, "--digest", digest)  # the first one's signature is over other bytes
        for what in (b"", b"noise", changed[:-1]):
            with open(path, "wb") as f:
                f.write(what)
            self.assertEqual(self.h.kyso("operation", "show", path, check=False).returncode, 2)

    def test_a_proposal_holds_no_seed(self):
        path, seed = f"{self.h.dir}/totp.op", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXQ"
        done = self.run_by("demo", "authenticator", "enroll-totp", "--subject", "079126", "--seed", seed, "--propose", path, check=False)
        self.assertEqual((done.returncode, os.path.exists(path)), (2, False), done.stderr)
        raw = base64.b32decode(seed)
        operation = operator_pb2.Operation(enroll_totp=operator_pb2.EnrollTotp(subject_id="079126", seed=raw))
        with open(path, "wb") as f:  # by another client
            f.write(operator_pb2.ExecuteRequest(operation=operation.SerializeToString()).SerializeToString())
        shown = self.h.kyso("operation", "show", path).stdout
        self.assertIn("sha256:" + hashlib.sha256(raw).hexdigest(), shown)
        self.assertNotIn(raw.hex(), shown)

    def test_zz_ledger_verifies(self):
        """By the second implementation, too: outside a demo it looks for two people."""
        self.run_by("demo", "ledger", "verify")
        path = f"{self.h.dir}/ledger.jsonl"
        self.run_by("demo", "ledger", "export", "--output", path)
        told = subprocess.run([f"{harness.ROOT}/tests/check/kyso-check", "--ledger", path, "--json"], capture_output=True, text=True)
        self.assertEqual(json.loads(told.stdout)["violations"], [])


class Locked(unittest.TestCase):
    """A server with one operator, from before two were asked for: nobody could ever add another."""

    def test_operators_are_added_to_a_server_that_is_stopped(self):
        h = harness.Harness(users=USERS)
        self.addCleanup(h.stop)
        h.start()
        h.config["demo"] = False
        for name in ("alice", "bob"):
            h.kyso("operator", "keygen", f"{h.dir}/{name}.key", "--certificate", name)
        two = [word for name in ("alice", "bob") for word in ("--add-operator", f"{name}:{h.dir}/{name}.key.crt")]
        self.assertIn("another server runs", h.kysod(*two).stderr)
        self.assertEqual(h.stop_server(), 0)
        h.configure()
        self.assertIn("it takes two operators", h.kysod(*two[:2]).stderr)
        added = h.kysod(*two)
        self.assertEqual(added.returncode, 0, added.stderr)
        self.assertIn("enough people", h.kysod(*two[:1], f"eve:{h.dir}/bob.key.crt").stderr)
        h.run_server()
        by = [word for name in ("alice", "bob") for word in ("--operator", name, "--operator-key", f"{h.dir}/{name}.key")]
        h.kyso("operator", "keygen", f"{h.dir}/carol.key", "--certificate", "carol")
        h.kyso("user", "add", "carol", "--role", "auditor", "--cert", f"{h.dir}/carol.key.crt", *by)
        self.assertEqual([(r["name"], r["target"], r["operators"]) for r in h.ledger("operation") if r["name"].startswith("add-user")],
                         [("add-user-offline", "alice", ""), ("add-user-offline", "bob", ""), ("add-user", "carol", "alice,bob")])
        self.assertEqual([r["clean"] for r in h.ledger("start")], [1, 1, 1])


if __name__ == "__main__":
    unittest.main()
