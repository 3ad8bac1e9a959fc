# SPDX-License-Identifier: Apache-2.0
"""/metrics, /healthz and /readyz on loopback, and the operators' status screen."""

import http.client
import os
import signal
import sys
import unittest

from base import ServerCase, grpc
from harness import short_certificate

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../ceremony"))
from ceremony import Terminal  # noqa: E402


class StatusCase(ServerCase):
    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", device=None)

    def get(self, path, method="GET"):
        connection = http.client.HTTPConnection(self.h.endpoints()["status"], timeout=10)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def metric(self, name):
        lines = dict(line.split(" ") for line in self.get("/metrics")[1].splitlines() if not line.startswith("#"))
        return int(lines[name])


class Status(StatusCase):
    def test_figures_move(self):
        before = self.metric("kyso_signatures_total")
        self.signer().Sign(self.sign_request(self.alice), timeout=10)
        self.h.wait_for(lambda: self.metric("kyso_signatures_total") == before + 1, "the figure to rise", 5)
        self.assertGreater(self.metric("kyso_ledger_records"), 0)
        self.assertEqual(self.metric("kyso_serving"), 1)
        self.assertEqual(self.metric("kyso_pin_latch_closed"), 0)
        for line in self.get("/metrics")[1].splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) kyso_\w+ .+|kyso_\w+ \d+)$")

    def test_health_and_readiness(self):
        self.assertEqual(self.get("/healthz"), (200, "ok\n"))
        self.assertEqual(self.get("/readyz"), (200, "ready\n"))
        self.assertEqual(self.get("/other")[0], 404)
        self.assertGreaterEqual(self.get("/metrics", "POST")[0], 400)

    def test_an_authority_that_hangs_is_seen(self):
        pid = self.h.children("kyso-authority")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            self.h.wait_for(lambda: self.get("/healthz")[0] == 503, "the hang to be seen", 10)
            self.assertEqual(self.get("/readyz")[0], 503)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.h.wait_for(lambda: self.get("/readyz")[0] == 200, "the authority to turn again", 10)

    def test_status_screen(self):
        shown = self.h.kyso("status", json_out=True)
        self.assertEqual(shown["server"], "demo.kyso.example")
        roles = {(r["role"], r["index"]) for r in shown["roles"]}
        self.assertGreaterEqual(len(roles), 4, shown)
        self.assertEqual({r["restarts"] for r in shown["roles"]}, {0}, shown["roles"])
        self.assertIn("kyso", shown["token"])
        self.assertIn(shown["clock"], ("synchronised", "unsynchronised", "unknown"))
        self.h.wait_for(lambda: self.h.kyso("status", json_out=True)["anchor_size"] > 1, "an anchor")
        self.h.wait_for(lambda: self.h.kyso("status", json_out=True)["checkpoint_size"] > 1, "a checkpoint")
        text = self.h.kyso("status").stdout
        for words in ("SERVING", "signatures", "queue", "anchor", "checkpoint", "clock", "front-signer", "none expires within 30 days"):
            self.assertIn(words, text)
        self.assertNotIn("\033", text)

    def test_watched(self):
        """Drawn again each second on the alternate screen; Ctrl-C gives the terminal back; one look is recorded."""
        before = len(self.looks())
        t = Terminal([f"{self.h.bin}/kyso", "status", "--watch"], {**self.h.env, "TERM": "xterm"})
        try:
            t.expect(r"\033\[\?1049h")
            for _ in range(3):
                t.expect(r"\033\[H")
                t.expect("SERVING")
                t.expect("front-signer")
            t.type("\x03")
            t.expect(r"\033\[\?1049l$")
            self.assertEqual(t.wait(), 0)
        finally:
            if t.code is None:
                t.kill()
        self.assertEqual(len(self.looks()), before + 1)

    def looks(self):
        return [r for r in self.h.ledger("operation") if r["name"] == "get-status"]

    def test_certificates_about_to_expire(self):
        """Counted, listed, forgotten when they are revoked; a start counts them again."""
        near = self.h.add_credential("alice")
        csr, path = f"{self.h.dir}/near.csr", f"{self.h.dir}/near.pem"
        self.h.kyso("credential", "csr", near, "--dn", "CN=alice,C=VN", "--output", csr)
        short_certificate(self.h.state, csr, path, 10 * 86400)
        self.h.kyso("credential", "import-cert", near, path, "--chain", f"{self.h.state}/pki/citizen-ca.pem")

        def expiring(within):
            found = self.h.kyso("credential", "list", "--expiring", within, json_out=True)["credentials"]
            return [c["credential"] for c in found]

        self.assertEqual(self.h.kyso("status", json_out=True)["certificates_expiring"], 1)
        self.assertIn("1 expire within 30 days", self.h.kyso("status").stdout)
        self.assertEqual((expiring("2w"), expiring("11d"), expiring("9")), ([near], [near], []))
        self.assertEqual(sorted(expiring("3650d")), sorted([near, self.alice["credential_id"]]))
        self.assertEqual(self.h.kyso("credential", "list", "--expiring", "soon", check=False).returncode, 2)
        self.h.stop_server()
        self.h.run_server()
        self.h.wait_for(lambda: expiring("30d") == [near], "the credentials to be read")
        self.h.kyso("credential", "revoke", near, "--reason", "test")
        self.assertEqual(self.h.kyso("status", json_out=True)["certificates_expiring"], 0)


class Sprayed(StatusCase):
    config = {"policy.client_failures_per_minute": 1, "policy.spray_clients": 2}

    def suspended(self, seen):
        """The gauge, the status screen and its text say the same."""
        self.h.wait_for(lambda: self.metric("kyso_codes_suspended") == seen, "the gauge", 10)
        self.assertEqual(self.h.kyso("status", json_out=True)["codes_suspended"], bool(seen))
        self.assertEqual("codes are suspended" in self.h.kyso("status").stdout, bool(seen))

    def test_p18_suspended_codes_are_told_and_an_operator_lifts_it(self):
        self.suspended(0)
        for client in ("portal", "gateway"):
            for _ in range(2):
                with self.assertRaises(grpc.RpcError):
                    self.signer(client).Sign(self.sign_request(
                        self.alice, "000000", request=self.request(self.alice, rp=client)), timeout=10)
        self.suspended(1)
        self.h.stop_server()
        told = self.h.log_text().count("codes-suspended")
        self.h.run_server()
        self.suspended(1)
        self.assertEqual(self.h.log_text().count("codes-suspended"), told + 1)
        self.h.kyso("client", "resume", "portal")
        self.suspended(0)
        self.assertIn("codes-resumed", self.h.log_text())
        self.signer().Sign(self.sign_request(self.alice), timeout=10)


if __name__ == "__main__":
    unittest.main()
