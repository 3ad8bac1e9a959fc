# SPDX-License-Identifier: Apache-2.0
"""P15, fault 15: peers that begin and do not go on. A third opens a connection and is silent, a third sends a byte a second behind its
handshake, a third asks and never reads; they are another process's. Others are served; with $KYSO_PEERS (5000) their p99 is at most
1.5 times as late."""
import os
import socket
import subprocess
import sys
import time
import unittest

from wire import DATA, END_HEADERS, HEADERS, WireTest, frame, grpc_message, request_headers, setting, stubs

PEERS = int(os.environ.get("KYSO_PEERS", 150))
CALLS = 2000 if "KYSO_PEERS" in os.environ else 100
SIGN = b"/kyso.v1.Signer/Sign"
CLIENTS = [f"slow-{i}" for i in range(4)]  # no client holds more than half of the connections


class Peers(WireTest):
    """What the other process runs: the wire's clients, without a front of their own."""

    def add(self, front):
        silent, slow, deaf = [], [], []
        body = grpc_message(self.sign_request(n=64).SerializeToString())
        for i in range(PEERS):
            if i % 3 == 0:
                silent.append(socket.create_connection(("127.0.0.1", front.port)))
            elif i % 3 == 1:
                slow.append(self.http2(front, identity=CLIENTS[i % 4]))
                slow[-1].send(frame(HEADERS, END_HEADERS, 1, request_headers(SIGN)))
            else:
                deaf.append(self.http2(front, settings=setting(4, 0), identity=CLIENTS[i % 4]))
                deaf[-1].request(1, SIGN, body)
        return silent, slow, deaf

    def dribble(self, slow):
        """A byte to each in a second, each in its own moment, until we are told to end. How many were there all the time."""
        data, alive, due = frame(DATA, 0, 1, b"x" * 16000), set(slow), time.monotonic()
        for at in range(len(data)):
            for h in slow:
                due += 1 / len(slow)
                time.sleep(max(0, due - time.monotonic()))
                if not h.send(data[at:at + 1]):
                    alive.discard(h)
            if os.path.exists(os.path.join(self.folder, "enough")):
                return len(alive)
        return 0


class SlowPeers(WireTest):
    def setUp(self):
        self.front = self.start(patience_ms=600000, max_connections=3 * PEERS + 100)
        for name in CLIENTS:
            self.issuer.issue(name).write(self.folder, name)
        self.honest = self.signer(self.front)

    def p99_ms(self):
        took = []
        for _ in range(CALLS):
            request = self.sign_request(request_id=f"r-{time.monotonic_ns()}")
            start = time.monotonic()
            reply = self.honest.Sign(request, timeout=30)
            took.append(time.monotonic() - start)
            self.assertEqual(reply.signatures[0], request.request.hashes[0] * 2)
        return sorted(took)[len(took) * 99 // 100] * 1000

    def test_15_slow_peers_do_not_slow_others(self):
        self.p99_ms()  # warm
        before = self.p99_ms()
        with subprocess.Popen([sys.executable, __file__, self.folder, str(self.front.port)], stdout=subprocess.PIPE,
                              text=True) as peers:
            try:
                self.assertEqual(peers.stdout.readline(), "all there\n")
                during = self.p99_ms()
            finally:
                open(os.path.join(self.folder, "enough"), "w").close()
            self.assertEqual(int(peers.stdout.readline()), len(range(1, PEERS, 3)), "they were there all the time")
        after = self.p99_ms()
        print(f"p99 {before:.2f} ms, with {PEERS} slow peers {during:.2f} ms, after them {after:.2f} ms", flush=True)
        if "KYSO_PEERS" in os.environ:
            self.assertLess(during, 1.5 * max(before, after))


def be_peers(folder, port):
    test = Peers("add")
    test.folder = folder
    type(test).pb = stubs(folder)
    front = type("Front", (), {"port": int(port)})
    kinds = test.add(front)
    print("all there", flush=True)
    print(test.dribble(kinds[1]), flush=True)
    test.doCleanups()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        be_peers(*sys.argv[1:])
    else:
        unittest.main(defaultTest="SlowPeers", verbosity=2)
