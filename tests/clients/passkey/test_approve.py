# SPDX-License-Identifier: Apache-2.0
"""kyso-approve's own interface: who is let in, what is shown, what is carried, and what is refused."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from approve import ApproveCase, Browser, b64, k  # noqa: E402
from webauthn import PRESENT, Passkey  # noqa: E402

PENDING, AUTHORIZED, REJECTED = 1, 2, 4


def word(passkey, challenge, **how):
    return dict(zip(("data", "client", "signature"), map(b64, passkey.assertion(challenge, **how))))


class Approve(ApproveCase):
    page = {"session_s": 600}

    def browser(self):
        return Browser(self.port, f"{self.h.dir}/page.pem", self.origin)

    def person(self, subject):
        citizen = self.link(subject)
        passkey, browser = Passkey(citizen["authenticator_id"], self.origin), self.browser()
        status, said, _ = browser.ask("/api/enrol", {"authenticator": citizen["authenticator_id"], "code": citizen["code"],
                                                     "public_key": b64(passkey.public_key)})
        self.assertEqual((status, said["label"]), (200, "phone"), said)
        self.h.certify(citizen["credential_id"], subject)
        return citizen, passkey, browser

    def login(self, browser, passkey, challenge=None, **how):
        if challenge is None:
            challenge = browser.ask("/api/login/begin", {})[1]["challenge"]
        import base64
        said = word(passkey, base64.b64decode(challenge), **how)
        return browser.ask("/api/login", {"authenticator": passkey.authenticator_id, "challenge": challenge, "assertion": said})

    def decide(self, browser, passkey, shown, decision, code="", number=1, **how):
        challenge = k.approval_challenge(k.tx_digest(shown), number, code)
        return browser.ask("/api/decide", {"transaction": shown.transaction_id, "decision": decision, "code": code,
                                           "assertion": word(passkey, challenge, **how)})[:2]

    def test_from_link_to_signature(self):
        citizen, passkey, browser = self.person("anna")
        self.assertEqual(browser.ask("/api/pending")[:2], (401, {"error": "login"}))
        status, _, headers = self.login(browser, passkey)
        self.assertEqual(status, 200)
        for part in ("__Host-kyso=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
            self.assertIn(part, headers["Set-Cookie"])
        self.assertEqual(browser.ask("/api/pending")[:2], (200, {"transactions": []}))
        request, begun = self.begin(self.stub, citizen, self.request(citizen, text="Hợp đồng số 7"))
        (shown,) = browser.ask("/api/pending")[1]["transactions"]
        self.assertEqual(shown["display_text"], "Hợp đồng số 7")
        self.assertEqual([shown["transaction_id"], shown["relying_party"], shown["hashes"], shown["state"]],
                         [begun.transaction_id, "portal", [b64(h) for h in request.hashes], PENDING])
        self.assertIn(begun.matching_code, shown["choices"])
        full = self.pending(self.approver(), passkey, begun.transaction_id)
        self.assertEqual(self.decide(browser, passkey, full, "approve", begun.matching_code), (200, {"state": AUTHORIZED}))
        waited = self.wait(self.stub, begun)
        reply = self.stub.Sign(self.sign_request(citizen, request=request, sad=waited.sad), timeout=10)
        self.assertSigned(self.stub, citizen, request, reply)

    def test_strangers_and_other_sites(self):
        citizen, passkey, browser = self.person("bert")
        other = self.browser()
        for how in (dict(origin="https://evil.example"), dict(flags=PRESENT), dict(rp_id="evil.example"),
                    dict(kind="webauthn.create")):
            with self.subTest(how=how):
                self.assertEqual(self.login(other, passkey, **how)[:2], (403, {"error": "denied"}))
        self.assertEqual(self.login(other, Passkey(citizen["authenticator_id"], self.origin))[:2], (403, {"error": "denied"}))
        self.assertEqual(self.login(other, Passkey("a9999-0123456789abcdef", self.origin))[:2], (403, {"error": "denied"}))
        challenge = other.ask("/api/login/begin", {})[1]["challenge"]
        self.assertEqual(self.login(browser, passkey, challenge)[0], 200)
        self.assertEqual(self.login(other, passkey, challenge)[:2], (403, {"error": "denied"}), "a challenge is for one login")
        self.assertEqual(self.login(other, passkey, b64(bytes(32)))[:2], (403, {"error": "denied"}), "not ours")
        self.assertIsNone(other.cookie)
        other.origin = "https://evil.example"
        for path in ("/api/login/begin", "/api/login", "/api/logout", "/api/enrol", "/api/decide"):
            self.assertEqual(other.ask(path, {})[:2], (403, {"error": "origin"}), path)
        for at in range(12, len(browser.cookie)):  # each character of it counts
            changed = Browser(self.port, f"{self.h.dir}/page.pem", self.origin)
            changed.cookie = browser.cookie[:at] + ("0" if browser.cookie[at] != "0" else "1") + browser.cookie[at + 1:]
            if at % 8 == 0:
                self.assertEqual(changed.ask("/api/pending")[0], 401, at)

    def test_refusals(self):
        citizen, passkey, browser = self.person("carl")
        self.login(browser, passkey)
        _, begun = self.begin(self.stub, citizen)
        full = self.pending(self.approver(), passkey, begun.transaction_id)
        denied = (403, {"error": "denied"})
        for how in (dict(origin="https://evil.example"), dict(flags=PRESENT)):
            self.assertEqual(self.decide(browser, passkey, full, "approve", begun.matching_code, **how), denied)
        wrong = next(c for c in full.matching_choices if c != begun.matching_code)
        self.assertEqual(self.decide(browser, passkey, full, "approve", wrong), denied)
        self.assertEqual(browser.ask(f"/api/transaction/{begun.transaction_id}")[1]["state"], REJECTED)
        self.assertEqual(self.decide(browser, passkey, full, "approve", begun.matching_code), (410, {"error": "tx-ended"}))
        _, begun = self.begin(self.stub, citizen)
        status, said, _ = browser.ask("/api/decide", {"transaction": begun.transaction_id, "decision": "reject"})
        self.assertEqual((status, said), (200, {"state": REJECTED}))
        _, begun = self.begin(self.stub, citizen)
        self.assertEqual(browser.ask("/api/decide", {"transaction": begun.transaction_id, "decision": "not_me"})[0], 400)
        full = self.pending(self.approver(), passkey, begun.transaction_id)
        self.assertEqual(self.decide(browser, passkey, full, "not_me", number=3), (200, {"state": REJECTED}))
        self.assertIn("locked", self.h.kyso("subject", "show", "carl", json_out=True)["state"])
        for _ in range(10):  # nobody makes the server suspend the page's client
            status = self.decide(browser, passkey, full, "not_me", number=3)[0]
        self.assertEqual(status, 429)

    def test_others_requests_are_not_there(self):
        citizen, passkey, browser = self.person("dora")
        self.login(browser, passkey)
        stranger = self.h.add_citizen("emil", totp_hash=None)
        _, begun = self.begin(self.stub, stranger)
        self.assertEqual(browser.ask("/api/pending")[1], {"transactions": []})
        self.assertEqual(browser.ask(f"/api/transaction/{begun.transaction_id}")[:2], (404, {"error": "not-found"}))
        self.assertEqual(browser.ask("/api/decide", {"transaction": begun.transaction_id, "decision": "reject"})[0], 404)

    def test_bad_requests(self):
        browser = self.browser()
        for path, body in (("/api/login", {}), ("/api/login", {"authenticator": 7, "challenge": "x", "assertion": []}),
                           ("/api/enrol", {"authenticator": "a1", "code": "1", "public_key": "AA=="}),
                           ("/api/enrol", {"authenticator": "", "code": "1", "public_key": "AA=="}), ("/api/enrol", {})):
            status, said, _ = browser.ask(path, body)
            self.assertIn(status, (400, 403, 404), (path, said))
        status, page, headers = browser.ask("/")
        self.assertEqual(status, 200)
        self.assertNotIn("unsafe", headers["Content-Security-Policy"])
        self.assertNotIn(b"<style", page)
        self.assertEqual(browser.ask("/page.js")[0], 200)
        for path in ("/page", "/../page.js", "/index.html", "/api/transaction/a/b"):
            self.assertIn(browser.ask(path)[0], (400, 404), path)


if __name__ == "__main__":
    unittest.main()
