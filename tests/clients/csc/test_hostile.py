# SPDX-License-Identifier: Apache-2.0
"""kyso-web under hostile input: whatever is sent, no server error, bounded memory, and honest callers are served. KYSO_ROUNDS: how many
requests of the fuzzer (400)."""

import json
import os
import random
import re
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from web import WebCase, b64  # noqa: E402

ROUNDS = int(os.environ.get("KYSO_ROUNDS", "400"))
SEED = int(os.environ.get("KYSO_SEED", "1"))
NAMES = ["credentialID", "SAD", "hash", "hashes", "hashAlgo", "hashAlgorithmOID", "signAlgo", "signAlgoParams", "numSignatures", "authData",
         "OTP", "PIN", "description", "clientData", "userID", "maxResults", "pageToken", "certificates", "certInfo", "authInfo", "onlyValid",
         "credentialInfo", "operationMode", "validity_period", "response_uri", "responseID", "handle", "authObjectID", "token",
         "token_type_hint", "rememberMe", "refresh_token", "lang"]


class Hostile(WebCase):
    options = "limits:\n  connections: 64\n"

    @classmethod
    def seed(cls):
        cls.alice = cls.h.add_citizen("alice", totps=1, device=None)

    def setUp(self):
        self.memory = self.web.memory_kib()

    def tearDown(self):
        self.assertEqual(self.call("credentials/list", {"userID": "alice"})[1], {"credentialIDs": [self.alice["credential_id"]]})
        self.assertLess(self.web.memory_kib() - self.memory, 64 * 1024)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.web.port), timeout=60)
        self.addCleanup(s.close)
        return s

    def raw(self, data):
        """The statuses that were answered until the server hung up."""
        s, answer = self.connect(), b""
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while True:
                some = s.recv(65536)
                if not some:
                    break
                answer += some
        except ConnectionError:
            pass
        return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]

    def test_what_could_be_smuggled(self):
        head = b"POST /csc/v2/info HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        for more in (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"Content-Length: +2\r\n\r\n{}", b"Content-Length: 2 \n\r\n{}",
                     b"Content-Length : 2\r\n\r\n{}", b" Content-Length: 2\r\n\r\n{}", b"Content-Length: 0x2\r\n\r\n{}", b"X: a\r\n b\r\n\r\n",
                     b"Content-Length: 99999999999999999999\r\n\r\n{}", b"Content-Length: -1\r\n\r\n{}", b"X\0: y\r\n\r\n", b"Host: b\r\n\r\n"):
            codes = self.raw(head + more)
            self.assertTrue(len(codes) <= 1 and all(400 <= c <= 501 and c != 500 for c in codes), (more, codes))
        for line in (b"POST /csc/v2/info\r\n\r\n", b"POST http://x/csc/v2/info HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n",
                     b"POST /csc/v2/../v2/info HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /csc/v2/%69nfo HTTP/1.1\r\nHost: x\r\n\r\n"):
            codes = self.raw(line)
            self.assertTrue(len(codes) <= 1 and all(400 <= c <= 505 and c not in (500, 503) for c in codes), (line, codes))

    def test_what_is_too_long(self):
        self.assertEqual(self.raw(b"POST /csc/v2/info HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200000 + b"\r\n\r\n"), [431])
        self.assertEqual(self.raw(b"POST /csc/v2/info HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 1000 + b"\r\n"), [431])
        self.assertEqual(self.raw(b"POST /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"), [431])
        self.assertEqual(self.raw(b"POST /csc/v2/info HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"), [413])
        self.assertEqual(self.web.post("/csc/v2/info", raw=b"{" + b" " * 60000 + b"}")[0], 200)
        self.assertEqual(self.web.post("/csc/v2/info", headers={"Authorization": "Bearer " + "a" * 7000})[0], 200)

    def test_what_is_no_object(self):
        for raw in (b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}x", b'{"a":1,"a":2}', b'{"a":"\xff"}', b'{"a":"\\u0000"}', b"[" * 30000, b'{"a":' * 10000,
                    b'{"a":1e999}', b'{"a":' + b"9" * 1000 + b"}"):
            status, body, _ = self.web.post("/csc/v2/credentials/list", raw=raw, headers={"Authorization": f"Bearer {self.web.token('ministry-a')}"})
            self.assertEqual((status, body["error"]), (400, "invalid_request"), raw[:40])
        self.assertEqual(self.web.post("/csc/v2/info", raw=b"{}", headers={"Content-Type": "text/plain"})[0], 415)

    def test_slow_and_idle_ones(self):
        slow = [self.connect() for _ in range(20)]
        for s in slow[:10]:
            s.sendall(b"POST /csc/v2/info HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        for s in slow[10:]:
            s.sendall(b"POST /csc/v2/info HT")
        self.assertEqual(self.web.post("/csc/v2/info")[0], 200)
        started = time.monotonic()
        for s in slow:
            s.settimeout(60)
            while s.recv(4096):  # 408 and the end, or the end
                pass
        self.assertGreater(time.monotonic() - started, 1)

    def test_a_caller_that_does_not_wait(self):
        token = self.web.token("ministry-a")
        body = json.dumps({"userID": "alice"}).encode()
        for _ in range(50):
            s = self.connect()
            s.sendall(b"POST /csc/v2/credentials/list HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer " +
                      token.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            s.close()

    # --- the fuzzer ---------------------------------------------------------------------------------

    def value(self, r, depth=0):
        kinds = [lambda: None, lambda: r.choice([0, 1, -1, 2, 257, 2 ** 31, 2 ** 53, -2 ** 63]), lambda: r.random(), lambda: r.random() < 0.5,
                 lambda: "", lambda: "".join(r.choice("aZ0-_.:@ é\u202e\n\"\\/+=") for _ in range(r.randrange(80))),
                 lambda: r.choice(["S", "A", "OTP", "none", "single", "chain", "alice", "access_token", "2.16.840.1.101.3.4.2.1",
                                   "1.2.840.113549.1.1.10", "1.2.840.10045.4.3.2", self.alice["credential_id"]]),
                 lambda: b64(r.randbytes(r.choice([0, 1, 31, 32, 48, 64, 200]))),
                 lambda: [b64(r.randbytes(32)) for _ in range(r.choice([1, 2, 255, 256, 257]))]]
        if depth < 3:
            kinds += [lambda: [self.value(r, depth + 1) for _ in range(r.randrange(4))],
                      lambda: {r.choice(NAMES + ["id", "value"]): self.value(r, depth + 1) for _ in range(r.randrange(4))}]
        return r.choice(kinds)()

    def plausible(self, r):
        """A request that is right but for some of its members."""
        hashes = [b64(r.randbytes(32))]
        body = {"credentialID": self.alice["credential_id"], "numSignatures": 1, "hashes": hashes, "hash": hashes, "userID": "alice",
                "hashAlgorithmOID": "2.16.840.1.101.3.4.2.1", "signAlgo": "1.2.840.10045.4.3.2", "SAD": "A" * 43, "handle": "A" * 43,
                "responseID": "A" * 43, "token": "A" * 43, "authObjectID": "OTP",
                "authData": [{"id": "OTP", "value": "x" * 17}], "OTP": "x" * 17}  # no citizen is locked by a fuzzer
        for name in r.sample(NAMES, r.randrange(4)):
            if name not in ("authData", "OTP"):
                body[name] = self.value(r)
        return body

    def test_fuzzed_requests(self):
        r = random.Random(SEED)
        methods = self.web.post("/csc/v2/info")[1]["methods"]
        served, token = {}, self.web.token("ministry-a")
        for n in range(ROUNDS):
            method, version = r.choice(methods), r.choice((1, 2))
            body = self.plausible(r) if r.random() < 0.7 else {r.choice(NAMES): self.value(r) for _ in range(r.randrange(6))}
            raw = bytearray(json.dumps(body).encode())
            if r.random() < 0.2:
                raw[r.randrange(len(raw))] = r.randrange(256)
            headers = {"Authorization": f"Bearer {token}"} if r.random() < 0.95 else {"Authorization": b64(r.randbytes(20))}
            if method == "auth/login":
                headers = {"Authorization": f"Basic {b64(r.randbytes(r.randrange(40)))}"}
            status, _, _ = self.web.post(f"/csc/v{version}/{method}", raw=bytes(raw), headers=headers)
            served[status] = served.get(status, 0) + 1
            self.assertTrue(status < 500 or status == 501, (SEED, n, method, raw, status))
            if status == 429:
                time.sleep(0.01)
        print(f"figures: csc-fuzz rounds={ROUNDS} statuses={dict(sorted(served.items()))}", file=sys.stderr)
        self.assertTrue({200, 400} <= set(served), served)


if __name__ == "__main__":
    unittest.main()
