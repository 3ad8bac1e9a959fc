# SPDX-License-Identifier: Apache-2.0
"""A server with kyso-approve in front of its approvers' door, and people who begin transactions."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
sys.path.insert(0, os.path.join(HERE, "../../integration/main"))

from base import ServerCase, grpc, harness, k  # noqa: E402,F401


def b64(data):
    return base64.b64encode(data).decode()


def free_port():
    """The origin stands in the server's configuration before anybody listens there."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class ApproveCase(ServerCase):
    """kyso-approve with TLS on a loopback port; `origin` is what browsers call it."""

    page = {}  # of its configuration

    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.origin = f"https://localhost:{cls.port}"
        cls.config = {"passkeys.origin": cls.origin, "policy.begins_per_5min": 8, **cls.config}
        super().setUpClass()
        pki = f"{cls.h.state}/pki"
        lines = {"listen": f"127.0.0.1:{cls.port}", "origin": cls.origin,
                 "pages": f"{ROOT}/signer/approve/page", **cls.page}
        cls.log_path = f"{cls.h.dir}/kyso-approve.log"
        path = f"{cls.h.dir}/kyso-approve.yaml"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "1", "-keyout", f"{cls.h.dir}/page.key", "-out", f"{cls.h.dir}/page.pem", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
        with open(path, "w") as f:
            f.write("\n".join([
                *(f"{name}: {value}" for name, value in lines.items()),
                "tls:", f"  certificate: {cls.h.dir}/page.pem", f"  key: {cls.h.dir}/page.key",
                "approver:", f"  endpoint: {cls.h.endpoints()['approver']}", f"  certificate: {pki}/approver.pem",
                f"  key: {pki}/approver.key", f"  ca: {pki}/tls-ca.pem", ""]))
        with open(cls.log_path, "wb") as log:
            cls.process = subprocess.Popen([f"{cls.h.bin}/kyso-approve", "--config", path], stdout=log, stderr=log)
        cls.addClassCleanup(cls.stop_page)
        harness.Harness.wait_for(cls.listens, "kyso-approve to listen")
        cls.stub = cls.signer()

    @classmethod
    def log_text(cls):
        with open(cls.log_path, errors="replace") as f:
            return f.read()

    @classmethod
    def listens(cls):
        if cls.process.poll() is not None:
            raise harness.HarnessError(f"kyso-approve ended with {cls.process.returncode}:\n{cls.log_text()}")
        return "listening port=" in cls.log_text()

    @classmethod
    def stop_page(cls):
        if cls.process.poll() is None:
            cls.process.terminate()
        try:
            code = cls.process.wait(60)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            raise
        if code != 0 or "Sanitizer" in cls.log_text():
            raise harness.HarnessError(f"kyso-approve ended with {code}:\n{cls.log_text()[-6000:]}")

    def link(self, subject):
        """A person whose credential is not active yet, and the code of their link."""
        citizen = self.h.add_citizen(subject, totp_hash=None, device=None, activate=False)
        made = self.h.kyso("authenticator", "enroll-passkey", "--subject", subject, "--label", "phone", json_out=True)
        citizen["link"] = made["enrolment_link"]
        found = re.fullmatch(re.escape(self.origin) + r"/#([\w-]+)\.(\d+)", citizen["link"])
        citizen["authenticator_id"], citizen["code"] = found.groups()
        return citizen


class Browser:
    """What a page's requests look like, without a page: one visitor's cookie."""

    def __init__(self, port, ca, origin):
        import ssl
        self.context = ssl.create_default_context(cafile=ca)
        self.port, self.origin, self.cookie = port, origin, None

    def ask(self, path, body=None, headers=None):
        """(status, JSON, headers)."""
        c = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=60)
        try:
            c.connect()
            all_headers = {"Cookie": self.cookie} if self.cookie else {}
            if body is not None:
                all_headers |= {"Content-Type": "application/json", "Origin": self.origin}
            c.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body),
                      {**all_headers, **(headers or {})})
            r = c.getresponse()
            text = r.read()
            if r.headers["Set-Cookie"]:
                self.cookie = r.headers["Set-Cookie"].split(";")[0]
            return r.status, json.loads(text) if r.headers["Content-Type"] == "application/json" else text, r.headers
        finally:
            c.close()
