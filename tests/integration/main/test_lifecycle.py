# SPDX-License-Identifier: Apache-2.0
"""A credential from its certificate to its end: suspended, revoked by an operator or by a watched revocation list, destroyed and
listed for the backups. What stops it also stops what was authorized, queued or at a vault before."""

import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from base import ServerCase, grpc, harness, k, new_id, signer_pb2

CODE = grpc.StatusCode
ENTRIES = int(os.environ.get("KYSO_TEST_ENTRIES", "100000"))


class Lifecycle(ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.lists = tempfile.mkdtemp(prefix="kyso-crl-")
        cls.addClassCleanup(shutil.rmtree, cls.lists)
        os.chmod(cls.lists, 0o755)
        cls.crl = f"{cls.lists}/citizens.crl"
        cls.config = {"certificates.crl": cls.crl, "certificates.ca": f"{cls.lists}/ca.pem",
                      "limits.sign_deadline_ms": 60000}
        super().setUpClass()

    @classmethod
    def seed(cls):
        shutil.copy(f"{cls.h.state}/pki/citizen-ca.pem", f"{cls.lists}/ca.pem")
        cls.ca = x509.load_pem_x509_certificate(k.read(f"{cls.lists}/ca.pem"))
        cls.ca_key = serialization.load_pem_private_key(k.read(f"{cls.h.state}/pki/citizen-ca.key"), None)
        cls.revoked = {}  # all that lists of this class ever named: serial number -> reason
        cls.stub = cls.signer()
        cls.publish()

    @classmethod
    def build(cls, revoked=(), seconds=3600, key=None, age=0):
        now = datetime.datetime.utcnow().replace(microsecond=0) - datetime.timedelta(seconds=age)
        made = (x509.CertificateRevocationListBuilder().issuer_name(cls.ca.subject).last_update(now)
                .next_update(now + datetime.timedelta(seconds=seconds)))
        for serial, reason in dict(revoked).items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            if reason:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            made = made.add_revoked_certificate(entry.build())
        return made.sign(key or cls.ca_key, hashes.SHA256())

    @classmethod
    def put(cls, data):
        with open(f"{cls.crl}.new", "wb") as f:
            f.write(data)
        os.rename(f"{cls.crl}.new", cls.crl)

    @classmethod
    def publish(cls, encoding=serialization.Encoding.PEM, seconds=3600, entries=None):
        """A list that the server takes: waits until it has."""
        before = cls.taken()
        cls.put(cls.build(cls.revoked, seconds).public_bytes(encoding))
        cls.h.wait_for(lambda: cls.taken() > before, "the list to be taken")

    @classmethod
    def taken(cls):
        return cls.h.log_text().count("crl-taken")

    def serial(self, citizen):
        return x509.load_pem_x509_certificate(k.read(citizen["certificate"])).serial_number

    def status(self):
        return self.h.kyso("status", json_out=True)["crl"]

    def state(self, citizen):
        return harness.find_key(self.h.kyso("credential", "show", citizen["credential_id"], json_out=True), "state")

    def sad(self, citizen, digests):
        """An authorization that is still unspent."""
        request = self.request(citizen, digests)
        done = self.stub.Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=request, totp=signer_pb2.TotpProof(code=self.clock.code(citizen))), timeout=10)
        return request, done.sad

    def sign(self, citizen, **options):
        return self.stub.Sign(self.sign_request(citizen, **options), timeout=60)

    def assertStopped(self, citizen, request, sad):
        with self.refused(CODE.FAILED_PRECONDITION, "inactive", detail="inactive"):
            self.sign(citizen)
        with self.refused(CODE.FAILED_PRECONDITION, "inactive", detail="inactive"):
            self.stub.Sign(signer_pb2.SignRequest(request_id=new_id(), request=request, sad=sad), timeout=10)

    # --- refused at signing time, even with a valid SAD --------------------------------------------------

    def test_compliance_26_revoked_or_suspended(self):
        ann = self.h.add_citizen("ann", totps=3)
        credential = ann["credential_id"]
        request, sad = self.sad(ann, [os.urandom(32)])
        self.h.kyso("credential", "suspend", credential)
        self.assertStopped(ann, request, sad)
        self.h.kyso("credential", "resume", credential)
        self.sign(ann)
        request, sad = self.sad(ann, [os.urandom(32)])
        self.h.kyso("credential", "revoke", credential, "--reason", "left")
        self.assertEqual(self.state(ann), "revoked")
        self.assertStopped(ann, request, sad)
        for word in ("resume", "suspend", "revoke"):
            self.assertEqual(self.h.kyso("credential", word, credential, check=False).returncode, 1)
        self.assertEqual(self.h.kyso("credential", "import-cert", credential, ann["certificate"], check=False).returncode, 1)
        self.h.kyso("credential", "destroy", credential, "--yes")

    def test_compliance_26_expired_or_not_yet_valid(self):
        for name, begins, ends in (("early", 3600, 7200), ("late", -60, 5)):
            citizen = self.h.add_citizen(name, totps=2, activate=False)
            csr, path = f"{self.h.dir}/{name}.csr", f"{self.h.dir}/{name}.pem"
            self.h.kyso("credential", "csr", citizen["credential_id"], "--dn", f"CN={name}", "--output", csr)
            asked, now = x509.load_pem_x509_csr(k.read(csr)), datetime.datetime.utcnow().replace(microsecond=0)
            made = (x509.CertificateBuilder().subject_name(asked.subject).issuer_name(self.ca.subject)
                    .public_key(asked.public_key()).serial_number(x509.random_serial_number())
                    .not_valid_before(now + datetime.timedelta(seconds=begins))
                    .not_valid_after(now + datetime.timedelta(seconds=ends)).sign(self.ca_key, hashes.SHA256()))
            with open(path, "wb") as f:
                f.write(made.public_bytes(serialization.Encoding.PEM))
            self.h.kyso("credential", "import-cert", citizen["credential_id"], path)
            if ends < 60:
                self.h.wait_for(lambda: self.state(citizen) == "expired", "the certificate to end")
            with self.refused(CODE.FAILED_PRECONDITION, "inactive", detail="inactive"):
                self.sign(citizen)

    def test_compliance_25_one_certificate_one_credential(self):
        """Neither the same certificate twice, nor another of the same issuer and number."""
        one = self.h.add_citizen("one")
        two = self.h.add_citizen("two", activate=False)
        csr, path = f"{self.h.dir}/two.csr", f"{self.h.dir}/two.pem"
        self.h.kyso("credential", "csr", two["credential_id"], "--dn", "CN=two", "--output", csr)
        self.assertEqual(self.h.kyso("credential", "import-cert", two["credential_id"], one["certificate"],
                                     check=False).returncode, 1)
        asked, now = x509.load_pem_x509_csr(k.read(csr)), datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(asked.subject).issuer_name(self.ca.subject)
                .public_key(asked.public_key()).serial_number(self.serial(one)).not_valid_before(now)
                .not_valid_after(now + datetime.timedelta(days=1)).sign(self.ca_key, hashes.SHA256()))
        with open(path, "wb") as f:
            f.write(made.public_bytes(serialization.Encoding.PEM))
        before = len(self.h.ledger())
        self.assertEqual(self.h.kyso("credential", "import-cert", two["credential_id"], path, check=False).returncode, 1)
        self.assertDenied("conflict", before)

    # --- the list --------------------------------------------------------------------------------------------

    def test_a_list_revokes_and_suspends(self):
        bea, cat, dan = (self.h.add_citizen(name, totps=3) for name in ("bea", "cat", "dan"))
        request, sad = self.sad(bea, [os.urandom(32)])
        self.revoked.update({self.serial(bea): x509.ReasonFlags.key_compromise,
                             self.serial(cat): x509.ReasonFlags.certificate_hold, 4711: None})
        self.publish(serialization.Encoding.DER)
        self.assertEqual([self.state(c) for c in (bea, cat, dan)], ["revoked", "suspended", "active"])
        self.assertStopped(bea, request, sad)
        self.sign(dan)
        crl = self.h.ledger("crl")[-1]
        self.assertEqual(sum(r["operation"] == crl["index"] for r in self.h.ledger("admin")), 2)
        self.assertIn("good, ", self.status())
        del self.revoked[self.serial(cat)]  # released; an operator says so here, too
        self.publish()
        self.assertEqual(self.state(cat), "suspended")
        self.h.kyso("credential", "resume", cat["credential_id"])
        self.sign(cat)

    def test_lists_that_are_not_taken(self):
        eve = self.h.add_citizen("eve", totps=2)
        other = serialization.load_pem_private_key(k.read(f"{self.h.state}/pki/tls-ca.key"), None)
        named = dict(self.revoked) | {self.serial(eve): None}
        good = bytearray(self.build(named).public_bytes(serialization.Encoding.DER))
        changed = bytes(good[:-1]) + bytes([good[-1] ^ 1])
        for what, data, why in (("another CA's", self.build(named, key=other).public_bytes(serialization.Encoding.PEM), "no CA of"),
                                ("changed", changed, "no CA of"), ("cut", bytes(good[:-9]), "not a revocation list"),
                                ("noise", os.urandom(5000), "not a revocation list"), ("empty", b"", "not a revocation list"),
                                ("older", self.build(named, age=7200, seconds=9000).public_bytes(serialization.Encoding.DER), "older"),
                                ("early", self.build(named, age=-7200).public_bytes(serialization.Encoding.DER), "future")):
            with self.subTest(what):
                self.put(data)
                self.h.wait_for(lambda: why in self.status(), f"the status to say: {why}")
                self.assertTrue(self.status().startswith("good"), "the last one holds")
        self.assertEqual(self.state(eve), "active")
        os.unlink(self.crl)
        self.h.wait_for(lambda: "cannot be read" in self.status(), "the status to say so")
        self.sign(eve)
        self.publish()
        self.assertNotIn("file now", self.status())

    def test_compliance_27_a_stale_list(self):
        """Refused as configured, outside like any other denial; or served, with an alarm."""
        fay = self.h.add_citizen("fay", totps=4)
        before = self.h.log_text().count("crl-stale")
        self.publish(seconds=4)
        self.sign(fay)
        self.h.wait_for(lambda: self.h.log_text().count("crl-stale") > before, "the list to become stale")
        self.assertTrue(self.status().startswith("stale"))
        with self.refused(CODE.PERMISSION_DENIED, "crl-stale"):
            self.sign(fay, code="000000")  # before any proof is looked at
        with self.refused(CODE.PERMISSION_DENIED, "crl-stale"):
            self.begin(self.stub, fay)
        self.publish()
        self.sign(fay)
        for when, signs in (("serve", True), ("refuse", False)):
            self.assertEqual(self.h.stop_server(), 0)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.crl)
            self.h.config["certificates.crl_when_stale"] = when
            self.h.configure()
            self.h.run_server()
            stub = self.signer()
            self.h.wait_for(lambda: "cannot be read" in self.status(), "the status to say so")
            if signs:
                stub.Sign(self.sign_request(fay), timeout=10)
            else:
                with self.refused(CODE.PERMISSION_DENIED, "crl-stale"):
                    stub.Sign(self.sign_request(fay, code="000000"), timeout=10)
        type(self).stub = self.signer()
        self.publish()

    def test_p21_a_list_stops_what_is_in_flight(self):
        """Intended, and with vaults that stand still when the list comes: nothing is released behind it."""
        gil = self.h.add_citizen("gil", totps=2)
        before, result = len(self.h.ledger("intent")), []

        def call():
            try:
                result.append(self.sign(gil).signatures)
            except grpc.RpcError as e:
                result.append(e.code())
        vaults = self.h.children("kyso-vault")
        for pid in vaults:
            os.kill(pid, signal.SIGSTOP)
        try:
            thread = threading.Thread(target=call)
            thread.start()
            self.h.wait_for(lambda: len(self.h.ledger("intent")) > before, "the intent")
            self.revoked[self.serial(gil)] = None
            self.publish()
            self.assertEqual(self.state(gil), "revoked")
        finally:
            for pid in vaults:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        thread.join()
        self.assertEqual(result, [CODE.FAILED_PRECONDITION])
        self.assertEqual(self.h.ledger("receipt")[-1]["code"], "inactive")

    def test_a_long_list_holds_up_nobody(self):
        """Citizens go on signing while it is applied; the figures are printed."""
        hal = self.h.add_citizen("hal", totps=2)
        request, sad = self.sad(hal, [os.urandom(32) for _ in range(256)])
        folder = f"{self.lists}/long"
        os.mkdir(folder)
        year = datetime.datetime.utcnow().strftime("%y")
        with open(f"{folder}/index.txt", "w") as f:
            for serial in [*(f"{s:x}" for s in self.revoked), *(f"{n:032x}" for n in range(1 << 96, (1 << 96) + ENTRIES))]:
                f.write(f"R\t491231235959Z\t{year}0101000000Z\t{serial.upper().zfill(len(serial) + len(serial) % 2)}\tunknown\t/CN=x\n")
        with open(f"{folder}/ca.cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca = x\n[x]\ndatabase = {folder}/index.txt\ndefault_md = sha256\n")
        subprocess.run(["openssl", "ca", "-gencrl", "-config", f"{folder}/ca.cnf", "-crldays", "1", "-out", f"{folder}/crl.pem",
                        "-keyfile", f"{self.h.state}/pki/citizen-ca.key", "-cert", f"{self.lists}/ca.pem"],
                       check=True, capture_output=True)
        before, worst, n, began = self.taken(), 0.0, 0, time.monotonic()
        self.put(k.read(f"{folder}/crl.pem"))
        while self.taken() == before and n < len(request.hashes):
            at = time.monotonic()
            one = self.request(hal, [request.hashes[n]])
            self.stub.Sign(signer_pb2.SignRequest(request_id=new_id(), request=one, sad=sad), timeout=30)
            worst, n = max(worst, time.monotonic() - at), n + 1
        self.h.wait_for(lambda: self.taken() > before, "the list to be taken", 120)
        self.assertIn(f"{ENTRIES + len(self.revoked)} entries", self.status())
        self.assertGreater(n, 3)
        print(f"\nfigures: a list of {ENTRIES} entries taken in {time.monotonic() - began:.1f} s beside {n} signatures, the slowest "
              f"{worst * 1000:.0f} ms", flush=True)
        self.publish()

    # --- the end -----------------------------------------------------------------------------------------------

    def test_compliance_30_destroyed_and_listed_for_backups(self):
        for storage in ("wrapped", "resident"):
            citizen = self.h.add_citizen(f"ivy-{storage}", totps=2, storage=storage)
            self.sign(citizen)
            before = len(self.listed())
            request, sad = self.sad(citizen, [os.urandom(32)])
            self.h.kyso("credential", "destroy", citizen["credential_id"], "--yes")
            self.assertStopped(citizen, request, sad)
            self.assertEqual(self.state(citizen), "destroyed")
            new = self.listed()[before:]
            self.assertEqual([r["storage"] for r in new], [storage])
            self.assertEqual(len(bytes.fromhex(new[0]["blob_sha256"])), 32)
            self.assertEqual(self.listed("--since", "2001-01-01")[-1], new[0])
            self.assertEqual(self.listed("--since", "2999-01-01"), [])

    def listed(self, *words):
        return json.loads(self.h.kyso("credential", "destroyed", *words, "--json").stdout)["destroyed"]

    def test_zz_ledger_verifies(self):
        self.assertLedgerVerifies()


if __name__ == "__main__":
    unittest.main()
