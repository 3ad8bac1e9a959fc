# SPDX-License-Identifier: Apache-2.0
"""A server with kyso-web in front of it, and CSC calls as a relying party makes them."""

import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../integration/main"))

from base import ServerCase, digest_of, grpc, harness, new_id  # noqa: E402,F401

PARTIES = ("ministry-a", "ministry-b")  # the gateway's certificate may act for them


class Web:
    """kyso-web as the client "gateway" of a running server."""

    def __init__(self, h, options="", parties=PARTIES, client="gateway", name="kyso-web"):
        self.h = h
        self.log_path = f"{h.dir}/{name}.log"
        self.secrets, lines = {}, []
        for party in parties:
            said = subprocess.run([f"{h.bin}/kyso-web", "--new-secret"], check=True, capture_output=True, text=True).stdout
            self.secrets[party], hashed = (line.rpartition(": ")[2] for line in said.splitlines())
            lines += [f"  - name: {party}", f"    secret: {hashed}"]
        pki = f"{h.state}/pki"
        self.config = f"{h.dir}/{name}.yaml"
        with open(self.config, "w") as f:
            f.write("\n".join([
                "listen: 127.0.0.1:0", "signer:", f"  endpoint: {h.endpoints()['signer']}", f"  certificate: {pki}/{client}.pem",
                f"  key: {pki}/{client}.key", f"  ca: {pki}/tls-ca.pem", "relying_parties:", *lines, options, ""]))
        # what AddressSanitizer keeps back of freed memory would look like growth
        env = {**h.env, "ASAN_OPTIONS": h.env.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([f"{h.bin}/kyso-web", "--config", self.config], stdout=log, stderr=log, env=env)
        harness.Harness.wait_for(self._listens, "kyso-web to listen")
        self.tokens = {}

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def _listens(self):
        found = re.search(r"listening port=(\d+)", self.log_text())
        self.port = int(found[1]) if found else 0
        if self.process.poll() is not None:
            raise harness.HarnessError(f"kyso-web ended with {self.process.returncode}:\n{self.log_text()}")
        return bool(found)

    def stop(self):
        """Ends it; an unclean end or a sanitizer's report is an error."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if code != 0 or "Sanitizer" in self.log_text():
            raise harness.HarnessError(f"kyso-web ended with {code}:\n{self.log_text()[-6000:]}")

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    # --- calls ------------------------------------------------------------------------------------

    def post(self, path, body=None, headers=None, raw=None):
        """(HTTP status, JSON or None, headers)."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = raw if raw is not None else json.dumps({} if body is None else body).encode()
            c.request("POST", path, data, {"Content-Type": "application/json", **(headers or {})})
            r = c.getresponse()
            text = r.read()
            return r.status, json.loads(text) if text else None, r.headers
        finally:
            c.close()

    def login(self, name, secret=None, version=2):
        pair = base64.b64encode(f"{name}:{self.secrets.get(name, '') if secret is None else secret}".encode()).decode()
        return self.post(f"/csc/v{version}/auth/login", {}, {"Authorization": f"Basic {pair}"})

    def token(self, party):
        if party not in self.tokens:
            self.tokens[party] = self.login(party)[1]["access_token"]
        return self.tokens[party]

    def call(self, method, body=None, party="ministry-a", version=2):
        """(HTTP status, JSON) as this relying party."""
        return self.post(f"/csc/v{version}/{method}", body, {"Authorization": f"Bearer {self.token(party)}"})[:2]


class WebCase(ServerCase):
    options = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.web = Web(cls.h, cls.options)
        cls.addClassCleanup(cls.web.stop)

    def call(self, *args, **more):
        return self.web.call(*args, **more)


def b64(data):
    return base64.b64encode(data).decode()
