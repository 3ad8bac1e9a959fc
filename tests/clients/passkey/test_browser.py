# SPDX-License-Identifier: Apache-2.0
"""The page in Chromium with a virtual authenticator: a passkey made by a link, transactions approved with it, and each refusal as
the citizen sees it; axe looks at each. KYSO_SCREENSHOTS keeps pictures of the page."""

import base64
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
BROWSER = os.environ["KYSO_BROWSER"]  # what ./install made
sys.path.append(f"{BROWSER}/python")

from approve import ApproveCase, b64, k  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402
from web import Web  # noqa: E402

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
WAIT_MS = 60000


class Page(ApproveCase):
    config = {"limits.pending_ttl_s": 600}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.playwright = sync_playwright().start()
        cls.addClassCleanup(cls.playwright.stop)
        cls.chromium = cls.playwright.chromium.launch(executable_path=os.environ.get("KYSO_CHROMIUM", "/usr/bin/chromium"),
                                                      args=["--no-sandbox"])
        cls.addClassCleanup(cls.chromium.close)
        expect.set_options(timeout=WAIT_MS)

    def setUp(self):
        self.context = self.chromium.new_context(ignore_https_errors=True, locale="en-GB", viewport=PHONE)
        self.addCleanup(self.context.close)
        self.page = self.context.new_page()
        self.problems = []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" and "Content Security" in m.text else 0)
        self.page.on("pageerror", lambda e: self.problems.append(str(e)))
        self.cdp = self.context.new_cdp_session(self.page)
        self.cdp.send("WebAuthn.enable")
        self.authenticator = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True}})["authenticatorId"]

    def tearDown(self):
        self.assertEqual(self.problems, [])

    def title(self):
        return self.page.locator("section:not([hidden]) h1")

    def picture(self, name):
        """Keeps a picture, and has axe look for what keeps people out."""
        with open(f"{BROWSER}/node_modules/axe-core/axe.min.js") as f:
            self.page.evaluate(f.read())
        found = self.page.evaluate("axe.run()")["violations"]
        self.assertEqual([(v["id"], [n["html"] for n in v["nodes"]]) for v in found], [], name)
        folder = os.environ.get("KYSO_SCREENSHOTS")
        if not folder:
            return
        for width, size in (("phone", PHONE), ("desktop", DESKTOP)):
            self.page.set_viewport_size(size)
            self.page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)
        self.page.set_viewport_size(PHONE)

    def person(self, subject):
        """Somebody who has made their passkey on the page and is logged in."""
        citizen = self.link(subject)
        self.page.goto(citizen["link"])
        expect(self.title()).to_have_text("Make a passkey")
        self.picture("enrol")
        self.page.click("#enrol_go")
        expect(self.page.locator("#notice")).to_contain_text("The passkey has been made.")
        self.assertNotIn("#", self.page.url, "the code does not stay in the address")
        citizen["certificate"] = self.h.certify(citizen["credential_id"], subject)
        self.page.click("#login_go")
        expect(self.title()).to_have_text("Nothing to sign")
        return citizen

    def request_shown(self, citizen, **options):
        request, begun = self.begin(self.stub, citizen, self.request(citizen, text="Hợp đồng thuê nhà số 7/2026"), **options)
        expect(self.title()).to_have_text("Request to sign")
        return request, begun

    def answer(self, code):
        self.page.check(f"input[value='{code}']")
        self.page.click("#approve_go")

    def test_made_and_approved(self):
        citizen = self.person("anna")
        request, begun = self.request_shown(citizen)
        for name, text in (("relying_party", "portal"), ("display_text", "Hợp đồng thuê nhà số 7/2026"),
                           ("hashes", request.hashes[0].hex())):
            expect(self.page.locator(f"#{name}")).to_have_text(text)
        expect(self.page.locator("#digest")).to_have_text(begun.tx_digest.hex())
        self.picture("request")
        self.page.click("#vi")
        expect(self.title()).to_have_text("Yêu cầu ký")
        self.picture("request-vi")
        self.page.click("#en")
        self.answer(begun.matching_code)
        expect(self.title()).to_have_text("Approved")
        self.picture("approved")
        waited = self.wait(self.stub, begun)
        reply = self.stub.Sign(self.sign_request(citizen, request=request, sad=waited.sad), timeout=10)
        self.assertSigned(self.stub, citizen, request, reply)
        self.page.click("#result_go")
        expect(self.title()).to_have_text("Nothing to sign")

    def test_begun_over_csc(self):
        citizen = self.person("greta")
        web = Web(self.h)
        self.addCleanup(web.stop)
        digest = os.urandom(32)
        about = {"credentialID": citizen["credential_id"], "hashes": [b64(digest)], "hashAlgorithmOID": "2.16.840.1.101.3.4.2.1"}
        status, begun = web.call("credentials/authorize", {**about, "numSignatures": 1, "description": "Sổ tay"})
        self.assertEqual(status, 202, begun)
        expect(self.page.locator("#relying_party")).to_have_text("ministry-a")
        expect(self.page.locator("#hashes")).to_have_text(digest.hex())
        self.answer(begun["matchingCode"])
        expect(self.title()).to_have_text("Approved")
        sad = web.call("credentials/authorizeCheck", {"handle": begun["handle"]})[1]["SAD"]
        status, signed = web.call("signatures/signHash", {**about, "SAD": sad, "signAlgo": "1.2.840.10045.4.3.2"})
        self.assertEqual(status, 200, signed)
        with open(citizen["certificate"], "rb") as f:
            key = x509.load_pem_x509_certificate(f.read()).public_key()
        key.verify(base64.b64decode(signed["signatures"][0]), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    def test_by_keyboard_alone(self):
        citizen = self.person("bert")
        _, begun = self.request_shown(citizen)
        self.page.wait_for_function("document.activeElement.tagName === 'H1'")
        self.page.keyboard.press("Tab")
        choices = [c.get_attribute("value") for c in self.page.locator("#choices input").all()]
        for _ in range(choices.index(begun.matching_code) + 1):
            self.page.keyboard.press("ArrowDown" if self.page.locator("input:checked").count() else "Space")
        self.page.keyboard.press("Enter")
        expect(self.title()).to_have_text("Approved")

    def test_refusals_are_seen(self):
        citizen = self.person("carl")
        problem = self.page.locator("#problem")
        _, begun = self.request_shown(citizen)
        # without user verification
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": False})
        self.answer(begun.matching_code)
        expect(problem).to_contain_text("You stopped")
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": True})
        # an assertion that says another origin: what a phisher's page would have got, sent on
        self.page.evaluate("""() => { window.real = window.fetch; window.fetch = (path, options) => {
            if (path === "/api/decide") { const said = JSON.parse(options.body);
                said.assertion.client = btoa(atob(said.assertion.client).replace(location.origin, "https://evil.example"));
                options.body = JSON.stringify(said); }
            return window.real(path, options); }; }""")
        self.page.click("#approve_go")
        expect(problem).to_contain_text("The passkey was not accepted.")
        self.picture("denied")
        self.page.evaluate("() => { window.fetch = window.real; }")
        # replayed: the same words once more
        self.page.evaluate("""() => { window.fetch = (path, options) => {
            if (path === "/api/decide") window.said = options.body; return window.real(path, options); }; }""")
        self.answer(begun.matching_code)
        expect(self.title()).to_have_text("Approved")
        status = self.page.evaluate("""async () => (await window.real("/api/decide", {method: "POST", body: window.said,
            headers: {"Content-Type": "application/json"}})).status""")
        self.assertEqual(status, 410)
        self.stub.CancelTransaction(k.signer_pb2.CancelTransactionRequest(
            relying_party="portal", transaction_id=begun.transaction_id), timeout=10)
        # a copy of the authenticator, behind in its count
        self.page.click("#result_go")
        _, begun = self.request_shown(citizen)
        (held,) = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})["credentials"]
        self.cdp.send("WebAuthn.clearCredentials", {"authenticatorId": self.authenticator})
        self.cdp.send("WebAuthn.addCredential", {"authenticatorId": self.authenticator, "credential": {**held, "signCount": 0}})
        self.answer(begun.matching_code)
        expect(problem).to_contain_text("The passkey was not accepted.")
        self.cdp.send("WebAuthn.clearCredentials", {"authenticatorId": self.authenticator})
        self.cdp.send("WebAuthn.addCredential", {"authenticatorId": self.authenticator,
                                                 "credential": {**held, "signCount": held["signCount"] + 10}})
        # the wrong number
        choices = [c.get_attribute("value") for c in self.page.locator("#choices input").all()]
        self.answer(next(c for c in choices if c != begun.matching_code))
        expect(self.title()).to_have_text("Wrong number")
        self.picture("wrong")
        reasons = [r["reason"] for r in self.h.ledger("denied")]
        for reason in ("proof-wrong", "proof-replayed", "tx-ended", "proof-wrong-code"):
            self.assertIn(reason, reasons)

    def test_over_rejected_and_not_me(self):
        citizen = self.person("dora")
        _, begun = self.request_shown(citizen, ttl_s=20)
        expect(self.title()).to_have_text("The request is over")
        self.page.click("#result_go")
        self.request_shown(citizen)
        self.page.click("#reject_go")
        expect(self.title()).to_have_text("Rejected")
        self.page.click("#result_go")
        self.request_shown(citizen)
        self.page.click("#not_me_ask")
        self.picture("not-me")
        self.page.click("#not_me_go")
        expect(self.title()).to_have_text("Your account is locked")
        self.assertIn("locked", self.h.kyso("subject", "show", "dora", json_out=True)["state"])

    def test_a_link_works_once(self):
        citizen = self.person("emil")
        self.page.goto("about:blank")
        self.page.goto(citizen["link"])
        self.page.click("#enrol_go")
        expect(self.page.locator("#problem")).to_contain_text("This link has been used")
        self.page.goto("about:blank")
        self.page.goto(f"{self.origin}/#{citizen['authenticator_id'][:-1]}0.12345678")
        self.page.click("#enrol_go")
        expect(self.page.locator("#problem")).to_contain_text("The link is wrong")


if __name__ == "__main__":
    unittest.main()
