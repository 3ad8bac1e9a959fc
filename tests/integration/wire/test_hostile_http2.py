# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 used as a weapon: reset floods, CONTINUATION floods, header lists without end, PING and SETTINGS
floods, zero windows, frames on closed streams. Each: connection closed, counted, others undisturbed."""
import os
import struct
import time
import unittest

from wire import (BAD_FRAME, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOOD, GOAWAY, HEADERS, PING, RST_STREAM,
                  SETTINGS, WINDOW_UPDATE, HostileTest, frame, grpc_message, literal, request_headers, setting)

SIGN = b"/kyso.v1.Signer/Sign"


class Floods(HostileTest):
    def flooded(self, h, data, times, kinds=(FLOOD, BAD_FRAME)):
        """Sends until the peer has closed; it must, and it must be counted."""
        for _ in range(times):
            if not h.send(data):
                break
        self.assertTrue(h.ends(10), "the connection stayed open")
        s = self.front.wait_stats(lambda s: any(s["events"][k] for k in kinds))
        self.assertTrue(any(s["events"][k] for k in kinds), s["events"])

    def test_rapid_reset(self):
        h = self.http2(self.front)
        body = grpc_message(self.sign_request(credential="never").SerializeToString())
        stream = 1
        for _ in range(8000):
            if not h.send(frame(HEADERS, END_HEADERS, stream, request_headers(SIGN)) +
                          frame(DATA, END_STREAM, stream, body) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))):
                break
            stream += 2
        self.assertTrue(h.ends(10))
        s = self.front.wait_stats(lambda s: s["events"][FLOOD] or s["events"][BAD_FRAME])
        self.assertLess(s["signs"], 4000)
        self.assertTrue(s["events"][FLOOD] or s["events"][BAD_FRAME])

    def test_continuation_flood(self):
        h = self.http2(self.front)
        h.send(frame(HEADERS, 0, 1, request_headers(SIGN)))
        self.flooded(h, frame(CONTINUATION, 0, 1, b""), 20000)
        h = self.http2(self.front)
        h.send(frame(HEADERS, 0, 1, request_headers(SIGN)))
        self.flooded(h, frame(CONTINUATION, 0, 1, literal(b"x-a", b"b" * 4000)), 2000)

    def test_endless_headers(self):
        for extra in ([(b"x-%d" % i, b"y" * 100) for i in range(400)], [(b"x", b"y" * 20000)]):
            h = self.http2(self.front)
            block = request_headers(SIGN, extra)
            parts = [block[i:i + 16000] for i in range(0, len(block), 16000)]
            h.send(frame(HEADERS, END_HEADERS if len(parts) == 1 else 0, 1, parts[0]))
            for i, part in enumerate(parts[1:], 2):
                h.send(frame(CONTINUATION, END_HEADERS if i == len(parts) else 0, 1, part))
            self.assertTrue(h.ends(10))
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["events"][FLOOD] >= 2)["events"][FLOOD], 2)

    def test_hpack_bomb(self):
        """One large field put into the table, then named ten thousand times by one byte each."""
        h = self.http2(self.front)
        bomb = b"\x40" + literal(b"x-bomb", b"z" * 3900)[1:] + b"\xbe" * 10000
        h.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request_headers(SIGN) + bomb))
        self.assertTrue(h.ends(10))
        h = self.http2(self.front)  # an index that does not exist
        h.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\x0f"))
        self.assertTrue(h.ends(10))

    def test_ping_flood(self):
        self.flooded(self.http2(self.front), frame(PING, 0, 0, b"12345678") * 50, 400, kinds=(FLOOD,))

    def test_settings_flood(self):
        self.flooded(self.http2(self.front), frame(SETTINGS, 0, 0, setting(4, 65535)) * 50, 400, kinds=(FLOOD,))
        h = self.http2(self.front)
        self.flooded(h, frame(SETTINGS, 0, 0, b"".join(setting(4, i) for i in range(2000))), 1)

    def test_window_update_flood(self):
        self.flooded(self.http2(self.front), frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 50, 400)

    def test_empty_data_flood(self):
        h = self.http2(self.front)
        h.send(frame(HEADERS, END_HEADERS, 1, request_headers(SIGN)))
        self.flooded(h, frame(DATA, 0, 1, b"") * 50, 400)

    def test_closed_stream_flood(self):
        h = self.http2(self.front)
        h.request(1, b"/nothing")
        self.flooded(h, frame(DATA, 0, 1, b"x" * 100) * 50, 400)

    def test_unknown_frames_flood(self):
        self.flooded(self.http2(self.front), frame(0xfa, 0, 0, b"x") * 50, 400)

    def test_broken_rules(self):
        """Each ends the connection (RFC 9113): even streams, wrong lengths, data before headers, push, a bad preface."""
        cases = [frame(HEADERS, END_HEADERS, 2, request_headers(SIGN)), frame(DATA, 0, 1, b"x"), frame(PING, 0, 0, b"1234567"),
                 frame(PING, 0, 1, b"12345678"), frame(SETTINGS, 0, 0, b"12345"), frame(SETTINGS, 0, 3, b""),
                 frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)), frame(5, END_HEADERS, 1, b"\0\0\0\2"),
                 frame(CONTINUATION, END_HEADERS, 1, b""), frame(HEADERS, END_HEADERS, 0, b""),
                 b"\x7f\xff\xff\0\0\0\0\0\1" + b"x" * 20000, frame(SETTINGS, 0, 0, setting(4, 1 << 31)),
                 frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)) * 2]
        for case in cases:
            with self.subTest(case.hex()[:40]):
                h = self.http2(self.front)
                h.send(case)
                self.assertTrue(h.ends(10))
        self.assertTrue(self.front.wait_stats(lambda s: s["events"][BAD_FRAME])["events"][BAD_FRAME])

    def test_zero_window(self):
        """Replies that the peer gives no room for wait, a while, and go with the connection."""
        h = self.http2(self.front, settings=setting(4, 0))
        for k in range(100):
            h.request(2 * k + 1, SIGN, grpc_message(self.sign_request(request_id=f"z-{k}", n=64).SerializeToString()))
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["signs"] >= 101)["signs"], 101)
        start = time.monotonic()
        while h.send(frame(PING, 0, 0, b"12345678")) and time.monotonic() - start < 20:
            time.sleep(0.2)  # it looks alive all the time
        self.assertLess(time.monotonic() - start, 15)
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["events"][FLOOD])["events"][FLOOD], 1)

    def test_one_byte_windows(self):
        """A reply fetched byte by byte: progress of a kind, and still too slow."""
        h = self.http2(self.front, settings=setting(4, 1))
        h.request(1, SIGN, grpc_message(self.sign_request(n=64).SerializeToString()))
        start = time.monotonic()
        while h.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))) and time.monotonic() - start < 20:
            time.sleep(0.2)
        self.assertLess(time.monotonic() - start, 15)

    def test_a_full_stream_goes_wrong_behind_its_window(self):
        """A stream's window is full, what waits behind it is no message, and then the deadline of all of them passes at once."""
        for left_ms in (b"700m", None):
            h = self.http2(self.front)
            before = self.front.stats()["signs"]
            body = b"".join(grpc_message(self.sign_request(request_id=f"w-{k}", credential="never", n=1).SerializeToString())
                            for k in range(1024)) + grpc_message(b"", length=1 << 31)
            extra = [(b"grpc-timeout", left_ms)] if left_ms else []
            h.send(frame(HEADERS, END_HEADERS, 1, request_headers(b"/kyso.v1.Signer/SignStream", extra)))
            for at in range(0, len(body), 16000):
                h.send(frame(DATA, 0, 1, body[at:at + 16000]))
            s = self.front.wait_stats(lambda s: s["signs"] == before + 1024)
            self.assertEqual(s["signs"], before + 1024)
            if not left_ms:
                self.front.order("hang")  # the same by an old heartbeat
            self.assertTrue(h.stream_end(1))
            if not left_ms:
                self.front.order("resume")
                self.wait_alive()

    def wait_alive(self):
        end = time.monotonic() + 10
        while True:
            try:
                return self.assert_alive(self.front)
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def cpu_s(self):
        with open(f"/proc/{self.front.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_a_peer_sent_away_costs_nothing_more(self):
        """It does not read its GOAWAY and goes on sending: it waits for its end, not the front for it."""
        front = self.front = self.start(patience_ms=20000, max_streams=1000)
        self.assert_alive(front)
        body = grpc_message(self.sign_request(n=256).SerializeToString())

        h = self.http2(front, settings=setting(4, 1 << 30), receive=4096)
        h.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        start, sent = front.stats()["signs"], 0

        def ask(n):
            nonlocal sent
            for _ in range(n):
                h.request(2 * sent + 1, SIGN, body)
                sent += 1

        def all_taken(seconds):
            return front.wait_stats(lambda s: s["signs"] - start == sent, seconds)["signs"] - start == sent
        while all_taken(1):
            ask(10)  # until no more are taken: nobody fetches the answers
        while not all_taken(0):
            h.sock.recv(65536)
        ask(35)  # it is read again, and these fill the socket again
        self.assertTrue(all_taken(5))
        h.sock.settimeout(1)
        for _ in range(200):
            if not h.send(frame(0xfa, 0, 0, b"x") * 1000):
                break
        self.assertTrue(front.wait_stats(lambda s: s["events"][FLOOD])["events"][FLOOD])
        before = self.cpu_s()
        time.sleep(2)
        self.assertLess(self.cpu_s() - before, 0.5)

    def test_too_many_streams(self):
        """Past SETTINGS_MAX_CONCURRENT_STREAMS: refused, the others of the connection go on."""
        front = self.start(max_streams=10)
        self.assert_alive(front)
        h = self.http2(front)
        body = grpc_message(self.sign_request(credential="slow-300").SerializeToString())
        for k in range(20):
            h.request(2 * k + 1, SIGN, body)
        done, reset = set(), set()
        while len(done) + len(reset) < 20:
            f = h.read_frame()
            self.assertIsNotNone(f)
            if f[0] == RST_STREAM:
                reset.add(f[2])
            elif f[0] == HEADERS and f[1] & END_STREAM:
                done.add(f[2])
        self.assertGreaterEqual(len(done), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
