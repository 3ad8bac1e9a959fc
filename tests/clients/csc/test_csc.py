# SPDX-License-Identifier: Apache-2.0
"""The Cloud Signature Consortium's API as kyso-web serves it: every method, the required fields of its answers, and its errors word by
word. Signatures are verified by another library."""

import base64
import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from web import Web, WebCase, b64, harness  # noqa: E402

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils  # noqa: E402

SHA256, SHA384 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2"
ECDSA_SHA256, ECDSA_SHA384, RSA, RSA_SHA256, PSS = ("1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.113549.1.1.1",
                                                    "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.10")
METHODS = ["info", "auth/login", "auth/revoke", "credentials/list", "credentials/info", "credentials/authorize",
           "credentials/authorizeCheck", "credentials/extendTransaction", "signatures/signHash"]


def pss_params(salt):
    """RSASSA-PSS-params of SHA-256 with MGF1 of SHA-256, as DER: RFC 4055 s.3.1."""
    sha256 = bytes.fromhex("300d06096086480165030402010500")
    mgf1 = bytes.fromhex("301a06092a864886f70d010108") + sha256
    number = bytes([2, 2 if salt > 127 else 1]) + salt.to_bytes(2 if salt > 127 else 1, "big")
    body = b"".join(bytes([0xa0 + i, len(v)]) + v for i, v in enumerate((sha256, mgf1, number)))
    return b64(bytes([0x30, len(body)]) + body)


class CscCase(WebCase):
    def invalid(self, text, answer, error="invalid_request", status=400):
        self.assertEqual((answer[0], answer[1]), (status, {"error": error, "error_description": text}))

    def digests(self, n=1, size=32):
        return [b64(os.urandom(size)) for _ in range(n)]

    def ask(self, citizen, digests, **more):
        return {"credentialID": citizen["credential_id"], "numSignatures": len(digests), "hashes": digests,
                "hashAlgorithmOID": SHA256, **more}

    def code(self, citizen):
        return [{"id": "OTP", "value": self.clock.code(citizen)}]

    def authorize(self, citizen, digests, party="ministry-a", **more):
        status, body = self.call("credentials/authorize", self.ask(citizen, digests, authData=self.code(citizen), **more), party)
        self.assertEqual(status, 200, body)
        return body["SAD"]

    def sign(self, citizen, sad, digests, algo=ECDSA_SHA256, party="ministry-a", **more):
        return self.call("signatures/signHash", {"credentialID": citizen["credential_id"], "SAD": sad, "hashes": digests,
                                                 "hashAlgorithmOID": SHA256, "signAlgo": algo, **more}, party)

    def key(self, citizen):
        body = self.call("credentials/info", {"credentialID": citizen["credential_id"]})[1]
        return x509.load_der_x509_certificate(base64.b64decode(body["cert"]["certificates"][0])).public_key()

    def verify(self, citizen, digests, signatures, salt=None):
        key, sha256 = self.key(citizen), utils.Prehashed(hashes.SHA256())
        self.assertEqual(len(digests), len(signatures))
        for d, s in zip(digests, signatures):
            how = ([ec.ECDSA(sha256)] if isinstance(key, ec.EllipticCurvePublicKey) else
                   [padding.PKCS1v15() if salt is None else padding.PSS(padding.MGF1(hashes.SHA256()), salt), sha256])
            key.verify(base64.b64decode(s), base64.b64decode(d), *how)


class Csc(CscCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=12)
        cls.rosa = cls.h.add_citizen("rosa", "rsa2048", totps=4)
        cls.carol = cls.h.add_citizen("carol", relying_parties=("ministry-b",), totps=1)
        cls.dan = cls.h.add_citizen("dan", totps=3)
        cls.eve = cls.h.add_citizen("eve", totps=1, device=None)
        cls.h.kyso("credential", "suspend", cls.eve["credential_id"])

    # --- info, auth ------------------------------------------------------------------------------------

    def test_info(self):
        for version in (1, 2):
            status, body, headers = self.web.post(f"/csc/v{version}/info")
            self.assertEqual((status, headers["Content-Type"].split(";")[0]), (200, "application/json"))
            for field in ("specs", "name", "logo", "region", "lang", "description"):
                self.assertIsInstance(body[field], str, field)
            self.assertEqual((body["specs"][0], body["authType"]), (str(version), ["basic"]))
            for method in METHODS + (["credentials/getChallenge", "signatures/signPolling"] if version == 2 else []):
                self.assertIn(method, body["methods"])
        self.assertEqual(body["asynchronousOperationMode"], True)
        self.assertTrue({RSA, PSS, ECDSA_SHA256} <= set(body["signAlgorithms"]["algos"]))

    def test_login_and_revoke(self):
        status, body, _ = self.web.login("ministry-a")
        self.assertEqual((status, body["token_type"], type(body["expires_in"])), (200, "Bearer", int))
        mine = {"Authorization": f"Bearer {body['access_token']}"}
        ask = ("/csc/v2/credentials/list", {"userID": "alice"})
        self.assertEqual(self.web.post(*ask, mine)[0], 200)
        self.assertEqual(self.call("auth/revoke", {"token": body["access_token"]}, "ministry-b")[0], 204)
        self.assertEqual(self.web.post(*ask, mine)[0], 200, "another party's token is not its to revoke")
        self.invalid("Invalid parameter token_type_hint", self.web.post("/csc/v2/auth/revoke", {"token": "x", "token_type_hint": "x"}, mine))
        self.invalid("Missing (or invalid type) string parameter token", self.web.post("/csc/v2/auth/revoke", {"token": 1}, mine))
        self.assertEqual(self.web.post("/csc/v2/auth/revoke", {"token": body["access_token"]}, mine)[:2], (204, None))
        self.invalid("The access token is not valid or has expired", self.web.post(*ask, mine), "invalid_token", 401)

    def test_login_is_refused(self):
        wrong = "An error occurred during authentication process"
        self.invalid(wrong, self.web.login("ministry-a", "wrong"), "authentication_error")
        self.invalid(wrong, self.web.login("nobody", "wrong"), "authentication_error")
        self.invalid(wrong, self.web.login("nobody", self.web.secrets["ministry-a"]), "authentication_error")
        self.invalid(wrong, self.web.login("ministry-b", self.web.secrets["ministry-a"]), "authentication_error")
        path = "/csc/v1/auth/login"
        for header in ({}, {"Authorization": "Basic"}, {"Authorization": "Basic !"}, {"Authorization": "Bearer x"}):
            self.invalid("Malformed authentication parameter", self.web.post(path, {}, header), status=401)
        self.invalid("Malformed username-password", self.web.post(path, {}, {"Authorization": f"Basic {b64(b'x')}"}))
        self.invalid("Invalid refresh_token", self.web.post(path, {"refresh_token": "x"}))
        self.invalid("Missing (or invalid type) string parameter refresh_token", self.web.post(path, {"refresh_token": 1}))

    def test_every_other_method_needs_a_token(self):
        for method in METHODS[2:]:
            for header in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}):
                self.invalid("Malformed authorization header", self.web.post(f"/csc/v2/{method}", {}, header))
            status, body, headers = self.web.post(f"/csc/v2/{method}", {}, {"Authorization": "Bearer " + "A" * 43})
            self.assertEqual((status, body["error"]), (401, "invalid_token"))
            self.assertIn("invalid_token", headers["WWW-Authenticate"])

    def test_every_method_is_described(self):
        with open(os.path.join(harness.ROOT, "deploy/openapi/csc.yaml")) as f:
            described = set(re.findall(r"^  (/csc/\S+):$", f.read(), re.M))
        self.assertEqual(described, {f"/csc/v{v}/{m}" for v in (1, 2) for m in self.web.post(f"/csc/v{v}/info")[1]["methods"]})

    def test_what_is_not_served(self):
        for path in ("credentials/sendOTP", "signatures/signDoc", "signatures/timestamp"):
            self.assertEqual(self.web.post(f"/csc/v2/{path}")[0], 501)
        for path in ("/", "/csc/v3/info", "/csc/v2/", "/csc/v2/credentials", "/csc/v1/signatures/signPolling"):
            self.assertEqual(self.web.post(path)[0], 404, path)

    # --- credentials --------------------------------------------------------------------------------------

    def test_list(self):
        mine = self.alice["credential_id"]
        self.assertEqual(self.call("credentials/list", {"userID": "alice"}), (200, {"credentialIDs": [mine]}))
        self.assertEqual(self.call("credentials/list", {"userID": "alice", "maxResults": 1}, version=1)[1]["credentialIDs"], [mine])
        for nothing in ("nobody", "carol"):  # who allows ministry-b only
            self.assertEqual(self.call("credentials/list", {"userID": nothing}), (200, {"credentialIDs": []}))
        self.assertEqual(self.call("credentials/list", {"userID": "carol"}, "ministry-b")[1]["credentialIDs"], [self.carol["credential_id"]])
        body = self.call("credentials/list", {"userID": "alice", "credentialInfo": True, "certificates": "chain", "certInfo": True,
                                              "authInfo": True})[1]
        one = body["credentialInfos"][0]
        self.assertEqual((one["credentialID"], one["auth"]["objects"][0]["id"], len(one["cert"]["certificates"])), (mine, "OTP", 2))
        self.assertEqual(self.call("credentials/list", {"userID": "eve", "onlyValid": True}), (200, {"credentialIDs": [], "onlyValid": True}))

    def test_list_is_refused(self):
        for body, text in (({}, "Missing (or invalid type) string parameter userID"),
                           ({"userID": 5}, "Missing (or invalid type) string parameter userID"),
                           ({"userID": "a b"}, "Invalid parameter userID"),
                           ({"userID": "alice", "certificates": "all"}, "Invalid parameter certificates"),
                           ({"userID": "alice", "certInfo": "yes"}, "Missing (or invalid type) boolean parameter certInfo"),
                           ({"userID": "alice", "pageToken": "\n"}, "Invalid parameter pageToken"),
                           ({"userID": "alice", "maxResults": "1"}, "Missing (or invalid type) integer parameter maxResults")):
            self.invalid(text, self.call("credentials/list", body))

    def test_credential_info(self):
        for citizen, bits, algos, curve in ((self.alice, 256, {ECDSA_SHA256}, "1.2.840.10045.3.1.7"), (self.rosa, 2048, {RSA, RSA_SHA256, PSS}, None)):
            status, body = self.call("credentials/info", {"credentialID": citizen["credential_id"], "certificates": "chain",
                                                          "certInfo": True, "authInfo": True})
            self.assertEqual((status, body["key"]["status"], body["key"]["len"], body["key"].get("curve")), (200, "enabled", bits, curve))
            self.assertTrue(algos <= set(body["key"]["algo"]))
            with open(citizen["certificate"], "rb") as f:
                mine = x509.load_pem_x509_certificate(f.read())
            cert = body["cert"]
            self.assertEqual(base64.b64decode(cert["certificates"][0]), mine.public_bytes(serialization.Encoding.DER))
            self.assertEqual((cert["status"], int(cert["serialNumber"], 16)), ("valid", mine.serial_number))
            self.assertEqual((cert["subjectDN"], cert["issuerDN"]), (mine.subject.rfc4514_string(), mine.issuer.rfc4514_string()))
            self.assertEqual(cert["validTo"], mine.not_valid_after.strftime("%Y%m%d%H%M%SZ"))
            self.assertEqual((body["SCAL"], type(body["multisign"])), ("2", int))
            self.assertEqual(body["auth"]["objects"][0]["generator"], "totp")
        body = self.call("credentials/info", {"credentialID": self.alice["credential_id"], "certificates": "none", "authInfo": True}, version=1)[1]
        self.assertEqual((body["authMode"], body["PIN"]["presence"], body["OTP"]["type"]), ("explicit", "false", "offline"))
        self.assertNotIn("certificates", body["cert"])
        body = self.call("credentials/info", {"credentialID": self.eve["credential_id"]})[1]
        self.assertEqual((body["key"]["status"], body["cert"]["status"]), ("disabled", "suspended"))

    def test_credential_is_refused(self):
        for method in ("credentials/info", "credentials/authorize", "credentials/getChallenge"):
            for value in (None, 7, "", []):
                self.invalid("Missing (or invalid type) string parameter credentialID", self.call(method, {"credentialID": value}))
            self.invalid("Invalid parameter credentialID", self.call(method, {"credentialID": "../x"}))
        for unknown in ("cunknown", self.carol["credential_id"]):
            self.invalid("Invalid parameter credentialID", self.call("credentials/info", {"credentialID": unknown}))
            self.invalid("Invalid parameter credentialID", self.call("credentials/authorize", self.ask({"credential_id": unknown}, self.digests())))
            self.invalid("Invalid parameter credentialID", self.call("credentials/getChallenge", {"credentialID": unknown, "authObjectID": "OTP"}))

    def test_challenge(self):
        mine = {"credentialID": self.alice["credential_id"]}
        self.assertEqual(self.call("credentials/getChallenge", {**mine, "authObjectID": "OTP"}), (204, None))
        self.invalid("Invalid parameter authObjectID", self.call("credentials/getChallenge", {**mine, "authObjectID": "SMS"}))
        self.invalid("Missing (or invalid type) string parameter authObjectID", self.call("credentials/getChallenge", mine))

    # --- authorize ------------------------------------------------------------------------------------------

    def test_authorize_is_refused(self):
        good, text = self.ask(self.alice, self.digests()), "Missing (or invalid type) "
        for change, said in (({"numSignatures": None}, text + "integer parameter numSignatures"),
                             ({"numSignatures": "1"}, text + "integer parameter numSignatures"),
                             ({"numSignatures": 0}, "Invalid value for parameter numSignatures"),
                             ({"numSignatures": 2}, "Invalid value for parameter numSignatures"),
                             ({"numSignatures": 257}, "Numbers of signatures is too high"),
                             ({"hashes": None}, text + "array parameter hashes"), ({"hashes": "x"}, text + "array parameter hashes"),
                             ({"hashes": []}, "Empty hash array"), ({"hashes": [1]}, "Invalid Base64 hash string parameter"),
                             ({"hashes": ["!"]}, "Invalid Base64 hash string parameter"),
                             ({"hashes": self.digests(1, 31)}, "Invalid digest value length"),
                             ({"hashes": [b64(bytes(32))]}, "Invalid parameter hashes"),
                             ({"hashes": good["hashes"] * 2, "numSignatures": 2}, "Invalid parameter hashes"),
                             ({"hashAlgorithmOID": None}, text + "string parameter hashAlgorithmOID"),
                             ({"hashAlgorithmOID": "1.3.14.3.2.26"}, "Invalid parameter hashAlgorithmOID"),
                             ({"description": "x" * 501}, "Invalid parameter description"),
                             ({"description": "a\u202eb"}, "Invalid parameter description"),
                             ({"authData": "123456"}, text + "array parameter authData")):
            self.invalid(said, self.call("credentials/authorize", {**good, **change}))
        for change in ([{"id": "SMS", "value": "1"}], [{"id": "OTP"}], [{"id": "OTP", "value": "1" * 17}], [7]):
            self.invalid("The authentication data is invalid", self.call("credentials/authorize", {**good, "authData": change}),
                         "invalid_authentication_data")

    def test_authorize_is_refused_in_version_1(self):
        good = {"credentialID": self.alice["credential_id"], "numSignatures": 1, "hash": self.digests()}
        for change, said, error in (({"OTP": "x" * 17}, "The OTP is invalid", "invalid_otp"), ({"PIN": "1234"}, "The PIN is invalid", "invalid_pin"),
                                    ({"hash": self.digests(1, 20)}, "Invalid digest value length", "invalid_request"),
                                    ({"hash": None}, "Missing (or invalid type) array parameter hash", "invalid_request"),
                                    ({"hashAlgo": "x"}, "Invalid parameter hashAlgo", "invalid_request")):
            self.invalid(said, self.call("credentials/authorize", {**good, **change}, version=1), error)

    def test_a_wrong_or_spent_code(self):
        code = self.clock.code(self.dan)
        ask = {"credentialID": self.dan["credential_id"], "numSignatures": 1}
        self.assertEqual(self.call("credentials/authorize", {**ask, "hash": self.digests(), "OTP": code}, version=1)[0], 200)
        self.invalid("The OTP is invalid", self.call("credentials/authorize", {**ask, "hash": self.digests(), "OTP": code}, version=1), "invalid_otp")
        self.assertEqual([r["reason"] for r in self.h.ledger("denied")][-1], "proof-replayed")
        self.invalid("The authentication data is invalid", self.call("credentials/authorize", self.ask(self.dan, self.digests(), authData=[
            {"id": "OTP", "value": "000000"}])), "invalid_authentication_data")

    def test_suspended(self):
        self.invalid("The credential identified by credentialID is disabled",
                     self.call("credentials/authorize", self.ask(self.eve, self.digests(), authData=self.code(self.eve))))

    # --- signatures ------------------------------------------------------------------------------------------

    def test_signatures_verify(self):
        for citizen, algo, more, salt in ((self.alice, ECDSA_SHA256, {}, None), (self.rosa, RSA, {}, None), (self.rosa, RSA_SHA256, {}, None),
                                          (self.rosa, PSS, {"signAlgoParams": pss_params(222)}, 222)):
            with self.subTest(algo=algo):
                digests = self.digests(3)
                sad = self.authorize(citizen, digests)
                status, body = self.sign(citizen, sad, digests[::-1], algo, **more)
                self.assertEqual(status, 200, body)
                self.verify(citizen, digests[::-1], body["signatures"], salt)

    def test_version_1(self):
        digests = self.digests(2)
        ask = {"credentialID": self.alice["credential_id"], "hash": digests}
        status, body = self.call("credentials/authorize", {**ask, "numSignatures": 2, "OTP": self.clock.code(self.alice), "description": "Đơn xin"}, version=1)
        self.assertEqual((status, type(body["expiresIn"])), (200, int), body)
        for one in digests:  # one authorization, two requests
            status, body2 = self.call("signatures/signHash", {**ask, "hash": [one], "SAD": body["SAD"], "hashAlgo": SHA256,
                                                              "signAlgo": ECDSA_SHA256}, version=1)
            self.assertEqual(status, 200, body2)
            self.verify(self.alice, [one], body2["signatures"])

    def test_sign_is_refused(self):
        digests = self.digests(2)
        sad = self.authorize(self.rosa, digests)
        good = {"credentialID": self.rosa["credential_id"], "SAD": sad, "hashes": digests, "hashAlgorithmOID": SHA256, "signAlgo": RSA}
        text, spent = "Missing (or invalid type) ", "Hash is not authorized by the SAD"
        before = len(self.h.ledger("intent"))
        for change, said in (({"SAD": None}, text + "string parameter SAD"), ({"SAD": "A" * 43}, "Invalid parameter SAD"),
                             ({"credentialID": None}, text + "string parameter credentialID"),
                             ({"credentialID": self.alice["credential_id"]}, "Invalid parameter credentialID"),
                             ({"hashes": None}, text + "array parameter hashes"), ({"hashes": []}, "Empty hash array"),
                             ({"hashes": ["?"]}, "Invalid Base64 hash string parameter"), ({"hashes": self.digests()}, spent),
                             ({"hashes": [digests[0], self.digests()[0]]}, spent), ({"hashes": self.digests(1, 48)}, "Invalid digest value length"),
                             ({"signAlgo": None}, text + "string parameter signAlgo"), ({"signAlgo": "1.2.3"}, "Invalid parameter signAlgo"),
                             ({"signAlgo": ECDSA_SHA256}, "Invalid parameter signAlgo"),
                             ({"signAlgo": PSS}, text + "string parameter signAlgoParams"),
                             ({"signAlgo": PSS, "signAlgoParams": 1}, text + "string parameter signAlgoParams"),
                             ({"signAlgo": PSS, "signAlgoParams": "MAA="}, "Invalid parameter signAlgoParams"),
                             ({"signAlgo": PSS, "signAlgoParams": pss_params(223)}, "Invalid parameter signAlgo"),
                             ({"hashAlgorithmOID": None}, text + "string parameter hashAlgorithmOID"),
                             ({"hashAlgorithmOID": "1"}, "Invalid parameter hashAlgorithmOID"),
                             ({"operationMode": "B"}, "Invalid parameter operationMode"),
                             ({"validity_period": "x"}, "Invalid parameter validity_period"),
                             ({"validity_period": 0}, "Out of bounds parameter validity_period"),
                             ({"response_uri": "https://x"}, "Invalid parameter response_uri")):
            with self.subTest(change=change):
                self.invalid(said, self.call("signatures/signHash", {**good, **change}))
        self.assertEqual(len(self.h.ledger("intent")), before)
        self.assertEqual(self.call("signatures/signHash", {**good, "hashes": digests[:1]})[0], 200)
        self.invalid(spent, self.call("signatures/signHash", good))
        self.assertEqual(self.call("signatures/signHash", {**good, "hashes": digests[1:]})[0], 200)
        self.invalid("SAD expired", self.call("signatures/signHash", {**good, "hashes": digests[::-1]}))

    def test_a_repeat_is_the_same_signature(self):
        digests = self.digests()
        sad = self.authorize(self.alice, digests)
        one = self.sign(self.alice, sad, digests)
        before = len(self.h.ledger("intent"))
        self.assertEqual(self.sign(self.alice, sad, digests), one)
        self.assertEqual((one[0], len(self.h.ledger("intent"))), (200, before))

    def test_a_repeated_authorization_is_the_same(self):
        digests = self.digests()
        ask = self.ask(self.alice, digests, authData=self.code(self.alice))
        one, two = (self.call("credentials/authorize", ask) for _ in range(2))
        self.assertEqual((one[0], two[0]), (200, 200), (one, two))
        self.assertEqual(self.sign(self.alice, one[1]["SAD"], digests), self.sign(self.alice, two[1]["SAD"], digests))
        for spent in (ask, {**ask, "description": "other"}):
            self.invalid("The authentication data is invalid", self.call("credentials/authorize", spent), "invalid_authentication_data")

    def test_each_party_has_its_own(self):
        digests = self.digests()
        sad = self.authorize(self.alice, digests)
        self.invalid("Invalid parameter SAD", self.sign(self.alice, sad, digests, party="ministry-b"))
        status, body = self.call("credentials/authorize", self.ask(self.dan, digests), "ministry-a")
        self.assertEqual(status, 202)
        self.invalid("Invalid parameter handle", self.call("credentials/authorizeCheck", {"handle": body["handle"]}, "ministry-b"))
        self.invalid("Invalid parameter SAD", self.sign(self.dan, body["handle"], digests))
        self.assertEqual([r["relying_party"] for r in self.h.ledger("begin")][-1], "ministry-a")

    def test_extend(self):
        digests = self.digests(3)
        sad = self.authorize(self.alice, digests)
        ask = {"credentialID": self.alice["credential_id"], "SAD": sad, "hashAlgorithmOID": SHA256}
        self.assertEqual(self.sign(self.alice, sad, digests[:1])[0], 200)
        self.invalid("Hash is not authorized by the SAD", self.call("credentials/extendTransaction", {**ask, "hashes": self.digests()}))
        self.invalid("Missing (or invalid type) array parameter hashes", self.call("credentials/extendTransaction", ask))
        status, body = self.call("credentials/extendTransaction", {**ask, "hashes": digests[1:2]})
        self.assertEqual((status, type(body["expiresIn"])), (200, int))
        self.invalid("Invalid parameter SAD", self.sign(self.alice, sad, digests[1:2]))
        self.invalid("Hash is not authorized by the SAD", self.sign(self.alice, body["SAD"], digests[2:]))
        self.assertEqual(self.sign(self.alice, body["SAD"], digests[1:2])[0], 200)

    def test_later(self):
        digests = self.digests(2)
        sad = self.authorize(self.alice, digests)
        status, body = self.sign(self.alice, sad, digests, operationMode="A", validity_period=60000)
        self.assertEqual((status, list(body)), (200, ["responseID"]))
        self.invalid("Invalid parameter responseID", self.call("signatures/signPolling", body, "ministry-b"))
        answers = []
        self.h.wait_for(lambda: answers.append(self.call("signatures/signPolling", body)) or answers[-1][0] != 202, "the signatures")
        self.assertEqual(answers[-1][0], 200, answers[-1])
        self.verify(self.alice, digests, answers[-1][1]["signatures"])
        self.invalid("Missing (or invalid type) string parameter responseID", self.call("signatures/signPolling", {}))

    # --- approvals --------------------------------------------------------------------------------------------

    def begin(self, citizen, digests):
        status, body = self.call("credentials/authorize", self.ask(citizen, digests, description="Application 7"))
        self.assertEqual(status, 202, body)
        self.assertEqual(self.call("credentials/authorizeCheck", {"handle": body["handle"]})[0], 202)
        return body

    def pending_id(self, approver, device):
        from base import approver_pb2
        return approver.ListPending(approver_pb2.ListPendingRequest(authenticator_id=device.authenticator_id), timeout=10).transactions[0]

    def test_approval(self):
        approver, device, digests = self.approver(), self.device(self.alice), self.digests(2)
        body = self.begin(self.alice, digests)
        shown = self.pending_id(approver, device)
        self.assertEqual((shown.relying_party, shown.display_text, list(shown.hashes)),
                         ("ministry-a", "Application 7", [base64.b64decode(d) for d in digests]))
        self.approve(approver, device, shown, body["matchingCode"])
        status, answer = self.call("credentials/authorizeCheck", {"handle": body["handle"]})
        self.assertEqual((status, type(answer["expiresIn"])), (200, int))
        self.assertEqual(self.call("credentials/authorizeCheck", {"handle": body["handle"]})[1]["SAD"], answer["SAD"])
        self.verify(self.alice, digests, self.sign(self.alice, answer["SAD"], digests)[1]["signatures"])
        for handle in ("", 5):
            self.invalid("Missing (or invalid type) string parameter handle", self.call("credentials/authorizeCheck", {"handle": handle}))

    def test_refused_approval(self):
        approver, device = self.approver(), self.device(self.rosa)
        body = self.begin(self.rosa, self.digests())
        wrong = "00" if body["matchingCode"] != "00" else "11"
        with self.assertRaises(Exception):
            self.approve(approver, device, self.pending_id(approver, device), wrong)
        self.invalid("The authorization was refused", self.call("credentials/authorizeCheck", {"handle": body["handle"]}), "access_denied")

    # --- when the signer is away ----------------------------------------------------------------------------------

    def test_a_lost_connection_comes_back(self):
        for _ in range(2):
            for pid in self.h.children("kyso-front"):
                os.kill(pid, signal.SIGKILL)
            self.h.wait_for(lambda: self.call("credentials/list", {"userID": "alice"})[0] == 200, "the signer to be reached again")
        self.assertRegex(self.web.log_text(), "link-lost")

    def test_z_the_ledger_of_all_this(self):
        path = f"{self.h.dir}/ledger.jsonl"
        with open(path, "w") as f:
            f.write(self.h.kyso("ledger", "export").stdout)
        done = subprocess.run([sys.executable, f"{harness.ROOT}/tests/check/kyso-check", "--ledger", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Short(CscCase):
    options = "limits:\n  sad_s: 1\n  token_s: 10\n  held: 16\n"

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=2)
        cls.old = cls.h.add_citizen("old", totps=1, device=None, activate=False)

    def setUp(self):
        self.web.tokens.clear()

    def test_sad_expires(self):
        digests = self.digests(2)
        sad = self.authorize(self.alice, digests)
        self.h.wait_for(lambda: self.sign(self.alice, sad, digests[1:])[1].get("error_description") == "SAD expired", "the SAD to end")
        self.invalid("SAD expired", self.call("credentials/extendTransaction", {
            "credentialID": self.alice["credential_id"], "hashes": digests[1:], "SAD": sad, "hashAlgorithmOID": SHA256}))

    def test_one_party_cannot_fill_the_table(self):
        answers = [self.web.login("ministry-b")[0] for _ in range(10)]
        self.assertEqual((answers[0], answers[-1]), (200, 429))
        self.assertEqual(self.web.login("ministry-a")[0], 200)
        self.h.wait_for(lambda: self.web.login("ministry-b")[0] == 200, "tokens to end")

    def test_tls_of_its_own(self):
        pki = f"{self.h.state}/pki"
        web = Web(self.h, f"tls:\n  certificate: {pki}/server.pem\n  key: {pki}/server.key\n", name="tls")
        self.addCleanup(web.stop)
        c = http.client.HTTPSConnection("127.0.0.1", web.port, timeout=60, context=ssl.create_default_context(cafile=f"{pki}/tls-ca.pem"))
        self.addCleanup(c.close)
        for _ in range(2):  # one connection
            c.request("POST", "/csc/v2/info", b"{}", {"Content-Type": "application/json"})
            self.assertIn("signatures/signHash", c.getresponse().read().decode())

    def test_certificate_expires(self):
        csr, pem = f"{self.h.dir}/old.csr", f"{self.h.dir}/old.pem"
        cid = self.old["credential_id"]
        self.h.kyso("credential", "csr", cid, "--dn", "CN=old,C=VN", "--output", csr)
        harness.short_certificate(self.h.state, csr, pem, 4)
        self.h.kyso("credential", "import-cert", cid, pem, "--chain", f"{self.h.state}/pki/citizen-ca.pem")
        self.h.wait_for(lambda: self.call("credentials/info", {"credentialID": cid})[1]["cert"].get("status") == "expired", "the certificate to end")
        self.invalid("Signing certificate is expired",
                     self.call("credentials/authorize", self.ask(self.old, self.digests(), authData=self.code(self.old))))


class Start(unittest.TestCase):
    def test_wrong_configurations_are_refused(self):
        program = f"{os.environ.get('KYSO_BIN') or os.path.join(harness.ROOT, 'build/dev/bin')}/kyso-web"
        said = subprocess.run([program, "--new-secret"], capture_output=True, text=True, check=True).stdout
        secret = re.search(r"(scrypt:\S+)", said)[1]
        signer = "signer:\n  endpoint: 127.0.0.1:1\n  certificate: /x\n  key: /x\n  ca: /x\n"
        party = f"relying_parties:\n  - name: a\n    secret: {secret}\n"
        for text, why in ((signer + party, None), (party, "signer.endpoint is missing"), (signer + party.replace("scrypt", "plain"), "--new-secret"),
                          (signer + party + f"  - name: a\n    secret: {secret}\n", "named twice"), (signer + party.replace("name: a", "name: a b"), "name must be"),
                          (signer + party + "listen: 0.0.0.0:80\n", "loopback"), (signer + party + "limits:\n  held: 1\n", "limits.held is 1"),
                          (signer + party + "unknown: 1\n", "unknown"), (signer.replace("/x", "x") + party, "absolute path"),
                          (signer.replace("127.0.0.1:1", "signer:1") + party, "signer.endpoint is"),
                          (signer + party + "tls:\n  key: /x\n", "tls.certificate")):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                f.write(text)
                f.flush()
                done = subprocess.run([program, "--check-config", f.name], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0 if why is None else 1, text + done.stderr)
                self.assertIn(why or "", done.stderr)


if __name__ == "__main__":
    unittest.main()
