# SPDX-License-Identifier: Apache-2.0
"""The kyso command against a whole server: where it finds it, every kind of proof, and what it tells of a person who is locked."""

import base64
import os
import unittest

from base import ServerCase, harness, k, new_id, signer_pb2

REFUSED, USAGE = 1, 2


class Command(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice, cls.bob = (cls.h.add_citizen(name, totps=3) for name in ("alice", "bob"))

    def sign(self, *words, digest=None, door=None, code=0):
        """With nothing but certificates named, the server is found by its configuration's state folder."""
        pki, digest = f"{self.h.state}/pki", digest or os.urandom(32)
        door = door or ("--cert", f"{pki}/portal.pem", "--key", f"{pki}/portal.key", "--ca", f"{pki}/tls-ca.pem",
                        "--relying-party", "portal")
        done = self.h.kyso("sign", "--hash", digest.hex(), "--credential", self.alice["credential_id"], *door, *words, "--json", check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        if code == 0:
            signature = base64.b64decode(harness.find_key(harness.json.loads(done.stdout), "signature"))
            k.verify(self.public_key(self.signer(), self.alice), self.request(self.alice).algorithm, digest, signature)
        return done.stdout + done.stderr

    def test_by_a_seed(self):
        one = self.alice["totps"][2]  # nobody else's: the command takes the step of now
        self.sign("--totp-secret", one["secret"], "--authenticator", one["authenticator_id"])
        for digits, secret in (("5", one["secret"]), ("6", "not base32!")):
            self.sign("--totp-secret", secret, "--totp-digits", digits, code=USAGE)

    def test_by_a_sad(self):
        whole = self.request(self.alice, [os.urandom(32) for _ in range(2)])
        sad = self.signer().Authorize(signer_pb2.AuthorizeRequest(
            request_id=new_id(), request=whole, totp=signer_pb2.TotpProof(code=self.clock.code(self.alice, self.alice["totps"][0]))),
            timeout=20).sad
        self.sign("--sad", sad.hex(), digest=whole.hashes[0])
        self.sign("--sad", sad.hex(), digest=whole.hashes[0], code=REFUSED)  # spent
        self.sign("--sad", "ff" * 32, digest=whole.hashes[1], code=REFUSED)
        self.sign("--sad", sad.hex()[2:], digest=whole.hashes[1], code=USAGE)

    def test_by_a_code(self):
        one = self.alice["totps"][1]
        self.sign("--totp", self.clock.code(self.alice, one), "--authenticator", one["authenticator_id"])
        self.sign("--totp", "000000", code=REFUSED)

    def test_a_server_that_is_not_there(self):
        pki = f"{self.h.state}/pki"
        self.sign("--sad", "00" * 32, door=("--profile", f"{self.h.dir}/nowhere.json"), code=USAGE)
        self.sign("--sad", "00" * 32, door=("--ca", f"{pki}/tls-ca.pem", "--relying-party", "portal"), code=USAGE)

    def test_a_person_who_is_locked(self):
        def state():
            return harness.find_key(self.h.kyso("subject", "show", "bob", json_out=True), "state")

        told = self.h.kyso("subject", "show", "bob").stdout
        self.assertIn("1 credential(s), 4 active authenticator(s), 0 failure(s) in a row", told)
        self.assertEqual(state(), "open")
        stub = self.signer()
        for _ in range(5):
            with self.assertRaises(k.grpc.RpcError):
                stub.Sign(self.sign_request(self.bob, code="000000"), timeout=20)
        self.assertTrue(state().startswith("locked until "), state())
        self.h.kyso("subject", "unlock", "bob")
        self.assertEqual(state(), "open")
        stub.Sign(self.sign_request(self.bob), timeout=20)
        self.assertEqual(self.h.kyso("subject", "show", "nobody", check=False).returncode, REFUSED)
        self.assertEqual(self.h.kyso("subject", "add", "x", "--name", "n" * 300, check=False).returncode, REFUSED)


if __name__ == "__main__":
    unittest.main()
