# SPDX-License-Identifier: Apache-2.0
"""Bytes that no client of good will sends: gRPC framing and protobuf (faults 1 to 8, 10, 11, 15, 16).

Each ends in a closed connection or INVALID_ARGUMENT (3), memory stays bounded, others are undisturbed."""
import contextlib
import hashlib
import random
import socket
import ssl
import struct
import threading
import time
import unittest

from wire import (BAD_FRAME, BAD_MESSAGE, DATA, END_HEADERS, END_STREAM, FLOOD, HEADERS, PING, RST_STREAM, WINDOW_UPDATE,
                  HostileTest, frame, grpc_message, request_headers, setting)

SIGN = b"/kyso.v1.Signer/Sign"
STREAM = b"/kyso.v1.Signer/SignStream"
GRPC_STATUS = bytes.fromhex("9acac8b21234da8f")  # Huffman code of "grpc-status"
HELD_KIB = 40 * 1024  # 1 195 calls with 8 KiB each and what HTTP/2 needs for them; with 64 KiB each 75 MiB


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, wire, data):
    return varint(number << 3 | wire) + data


def delimited(number, data):
    return field(number, 2, varint(len(data)) + data)


HASH = hashlib.sha256(b"x").digest()


def request(algorithm=field(1, 0, b"\x01") + field(2, 0, b"\x01"), hashes=(HASH,), text=b"Pay", rp=b"bank"):
    """A Sign request, its code in the last ten bytes."""
    inner = delimited(1, rp) + delimited(2, b"cred-1") + delimited(3, algorithm)
    inner += b"".join(delimited(4, x) for x in hashes) + delimited(5, text)
    return delimited(1, b"id") + delimited(2, inner) + delimited(3, delimited(1, b"123456"))


class Hostile(HostileTest):
    slack_kib = 96 * 1024  # a sanitizer's quarantine included

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good = cls.sign_request(cls(), request_id="good").SerializeToString()

    def answer(self, body, path=SIGN, end=True):
        """The header blocks of the answer to one call with these DATA bytes."""
        h = self.http2(self.front)
        h.send(frame(HEADERS, END_HEADERS, 1, request_headers(path)))
        for i in range(0, max(len(body), 1), 16384):
            last = i + 16384 >= len(body)
            h.send(frame(DATA, END_STREAM if last and end else 0, 1, body[i:i + 16384]))
        got = h.stream_end(1)
        h.close()
        return got

    def assert_invalid(self, message, path=SIGN):
        got = self.answer(grpc_message(message), path)
        self.assertEqual(self.status(got), 3)

    @staticmethod
    def status(block):
        """grpc-status out of the first answer of a connection: its name is a Huffman-coded literal there
        (RFC 7541 appendix B), its digits too few to be."""
        at = block.rfind(GRPC_STATUS)
        if at < 0:
            return None
        at += len(GRPC_STATUS)
        return int(block[at + 1:at + 1 + block[at]])

    def test_01_lengths(self):
        self.assertEqual(self.status(self.answer(grpc_message(b""))), 3)
        for length in (65537, 1 << 24, 0x7fffffff, 0xffffffff):
            for path in (SIGN, STREAM):
                self.assertEqual(self.status(self.answer(grpc_message(b"x", length=length), path, end=False)), 3, length)
        big = self.good + delimited(99, b"x" * 65536)
        self.assertEqual(self.status(self.answer(grpc_message(big))), 3)
        self.assertEqual(self.status(self.answer(b"")), 3)
        self.assertEqual(self.status(self.answer(grpc_message(self.good) * 2)), 3)
        self.assertGreater(self.front.wait_stats(lambda s: s["events"][BAD_MESSAGE] >= 11)["events"][BAD_MESSAGE], 10)

    def test_02_truncated(self):
        whole = grpc_message(self.good)
        for cut in (1, 4, 5, 6, len(whole) - 1):
            self.assertEqual(self.status(self.answer(whole[:cut])), 3, cut)
            self.assertEqual(self.status(self.answer(whole[:cut], STREAM)), 3, cut)
        frames = frame(HEADERS, END_HEADERS, 1, request_headers(SIGN)) + frame(DATA, END_STREAM, 1, whole)
        for cut in (3, 12, 40, len(frames) - 1):
            h = self.http2(self.front)
            h.send(frames[:cut])
            h.sock.shutdown(socket.SHUT_WR)
            self.assertTrue(h.ends(5), cut)
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["events"][BAD_FRAME] >= 4)["events"][BAD_FRAME], 4)

    def test_03_unknown_fields(self):
        self.assert_invalid(self.good + b"".join(field(1000 + i, 0, b"\x01") for i in range(8000)))
        self.assert_invalid(self.good + field(1000, 0, b"\x01") * 8000)
        self.assert_invalid(self.good + delimited(15, b""))

    def test_04_deep_nesting(self):
        deep = b""
        for _ in range(10000):
            deep = delimited(2, deep)[:60000]
        self.assert_invalid(self.good + deep)
        nest = b""
        for _ in range(2000):
            nest = delimited(3, nest)
        self.assert_invalid(delimited(1, b"id") + delimited(2, nest))
        self.assert_invalid(field(2, 3, b"") * 30000)

    def test_05_varints_tags_groups(self):
        for bad in (b"\x00\x01", b"\x00", field(0, 2, b"\x00"), field(1, 3, b"") + field(1, 4, b""), field(1, 4, b""),
                    field(1, 6, b"\x01"), field(1, 7, b"\x01"), field(1, 0, b"\x01"), field(1, 5, b"\x01\x02\x03\x04"),
                    field(2, 2, b"\xff" * 10 + b"\x01"), field(2, 2, b"\xff" * 11), b"\xff" * 11, b"\x80" * 64,
                    field(1, 2, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), field(1, 2, b"\xff\xff\xff\xff\x0f"),
                    delimited(1, b"x")[:-1], b"\x0a"):
            with self.subTest(bad.hex()[:40]):
                self.assert_invalid(self.good + bad)

    def test_06_duplicates(self):
        self.assert_invalid(self.good + delimited(1, b"other"))
        self.assert_invalid(self.good + delimited(2, b""))
        self.assert_invalid(self.good + delimited(5, b"\0" * 32))  # a second member of the oneof
        self.assert_invalid(self.good + delimited(3, delimited(1, b"654321")))
        self.assertEqual(self.front.stats()["signs"], 1, "only the one that setUp sent")

    # What follows is below what a protobuf library would let a client send. None of it is a record for the authority.

    def assert_each_invalid(self, cases):
        self.assertEqual(self.status(self.answer(grpc_message(request()))), 0)
        signs = self.front.stats()["signs"]
        for case in cases:
            with self.subTest(case.hex()[:80]):
                self.assert_invalid(case)
        self.assertEqual(self.front.stats()["signs"], signs)
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["events"][BAD_MESSAGE] >= len(cases))["events"][BAD_MESSAGE],
                                len(cases))

    def test_07_enum_out_of_range(self):
        one = field(1, 0, b"\x01") + field(2, 0, b"\x01")
        self.assert_each_invalid(
            [request(algorithm=field(1, 0, varint(v)) + field(2, 0, b"\x01")) for v in (0, 5, 127, 1 << 31, (1 << 64) - 1)] +
            [request(algorithm=field(1, 0, b"\x01") + field(2, 0, varint(v))) for v in (0, 4, 1 << 40)] +
            [request(algorithm=one + field(4, 0, b"\x02"))])

    def test_07_empty_oneof(self):
        """No proof at all, or an approval that names nothing. An empty code is a wrong one: the authority's to charge."""
        whole = request()
        self.assert_each_invalid([whole[:-10], whole[:-10] + delimited(4, b"")])

    def test_08_digest_sizes(self):
        self.assert_each_invalid([request(hashes=[bytes(n)]) for n in (0, 1, 20, 31, 33, 48, 64, 65)])

    def test_10_batch_sizes_and_repeats(self):
        self.assert_each_invalid([request(hashes=[]), request(hashes=[HASH, HASH]),
                                  request(hashes=[struct.pack(">I", i) * 8 for i in range(257)])])

    def test_11_display_text(self):
        self.assert_each_invalid(
            [request(text=t) for t in (b"a\0b", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xae",
                                       b"\xe2\x81\xa6x", b"\x1b[2J", b"\xc2\x85")] +
            [request(rp=b"a\0b"), request(rp=b"\xff")])

    def test_compressed_flag(self):
        self.assertEqual(self.status(self.answer(grpc_message(self.good, compressed=1))), 12)
        self.assertEqual(self.status(self.answer(grpc_message(self.good, compressed=2))), 3)
        self.assertEqual(self.status(self.answer(grpc_message(self.good, compressed=1), STREAM)), 12)

    def test_random_messages(self):
        """Mutations of a good request and noise: never anything but an answer."""
        seed = 20240707
        rng = random.Random(seed)
        h = self.http2(self.front)
        stream = 1
        for i in range(600):
            m = bytearray(self.good)
            for _ in range(rng.randint(1, 8)):
                how = rng.randrange(3)
                at = rng.randrange(len(m) + 1)
                if how == 0 and at < len(m):
                    m[at] = rng.randrange(256)
                elif how == 1:
                    m[at:at] = rng.randbytes(rng.randint(1, 9))
                elif len(m) > 4:
                    del m[at:at + rng.randint(1, 4)]
            h.request(stream, SIGN if i % 2 else STREAM, grpc_message(bytes(m)))
            got = h.stream_end(stream)
            self.assertNotEqual(got, b"", f"seed {seed}, message {i}")
            stream += 2
        h.close()

    def test_noise_instead_of_http2(self):
        rng = random.Random(7)
        for _ in range(20):
            self.send_and_see_it_close(self.tls(self.front), rng.randbytes(2000))
        for _ in range(20):  # and instead of TLS
            self.send_and_see_it_close(socket.create_connection(("127.0.0.1", self.front.port)), rng.randbytes(500))

    def send_and_see_it_close(self, s, noise):
        with s:
            s.sendall(noise)
            s.settimeout(15)
            with contextlib.suppress(ConnectionError, ssl.SSLError):  # a timeout would mean: left open
                while s.recv(4096):
                    pass

    def test_15_never_reads(self):
        """Large replies for a peer that reads nothing: it is held back, then closed, and memory stays."""
        h = self.http2(self.front, settings=setting(4, 1 << 30), receive=4096)
        h.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        message = grpc_message(self.sign_request(request_id="big", n=256).SerializeToString())

        def pour():
            """800 calls, 13 MB of replies, more than the kernel takes; then PINGs until the connection is gone."""
            h.sock.settimeout(60)
            for k in range(800):
                h.send(frame(HEADERS, END_HEADERS, 2 * k + 1, request_headers(SIGN)) +
                       frame(DATA, 0, 2 * k + 1, message[:16384]) + frame(DATA, END_STREAM, 2 * k + 1, message[16384:]))
            while h.send(frame(PING, 0, 0, b"12345678")):
                time.sleep(0.1)
        t = threading.Thread(target=pour)
        t.start()
        peak, end = 0, time.monotonic() + 30
        while t.is_alive() and time.monotonic() < end:
            peak = max(peak, self.front.rss_kib())
            self.assert_alive(self.front)
            time.sleep(0.05)
        closed = not t.is_alive()
        h.close()
        t.join(70)
        self.assertTrue(closed, "the peer was not sent away")
        self.assertLess(peak, self.base_rss + self.slack_kib)
        self.assertGreaterEqual(self.front.wait_stats(lambda s: s["events"][FLOOD])["events"][FLOOD], 1)

    def test_15_slow_peers(self):
        """No handshake, half a handshake, no preface, one byte at a time: each is closed; others go on."""
        silent = [socket.create_connection(("127.0.0.1", self.front.port)) for _ in range(50)]
        mute = [self.tls(self.front) for _ in range(10)]
        dribble = self.http2(self.front)
        payload = frame(HEADERS, END_HEADERS | END_STREAM, 1, request_headers(SIGN))
        start = time.monotonic()
        alive = True
        i = 0
        while alive and time.monotonic() - start < 15:
            alive = dribble.send(payload[i % len(payload):i % len(payload) + 1])
            i += 1
            self.assert_alive(self.front)
            time.sleep(0.2)
        self.assertFalse(alive, "one byte at a time was tolerated")
        for s in silent + mute:
            s.settimeout(10)
            try:
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass
            s.close()

    def test_headers_without_end(self):
        """A header list that is begun and left: nothing of it is a frame too few, and still it ends."""
        h = self.http2(self.front)
        h.send(frame(HEADERS, 0, 1, request_headers(SIGN)))
        self.assertTrue(h.ends(10))
        self.assertTrue(self.front.wait_stats(lambda s: s["events"][FLOOD])["events"][FLOOD])

    def test_no_time_at_all(self):
        """A client that gives a call no time is not given the usual half minute."""
        h = self.http2(self.front)
        start = time.monotonic()
        h.request(1, SIGN, grpc_message(self.sign_request(credential="never").SerializeToString()),
                  extra=[(b"grpc-timeout", b"0m")])
        self.assertTrue(h.stream_end(1))
        self.assertLess(time.monotonic() - start, 1.5)

    def test_16_reset_after_request(self):
        """The request is with the authority; the connection goes."""
        h = self.http2(self.front)
        h.request(1, SIGN, grpc_message(self.sign_request(request_id="gone", credential="slow-500").SerializeToString()))
        s = self.front.wait_stats(lambda s: s["signs"] == 2)
        self.assertEqual(s["signs"], 2)
        h.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        h.close()
        self.assertEqual(self.front.wait_stats(lambda s: s["cancels"] == 1)["cancels"], 1)
        self.front.wait_stats(lambda s: s["answered"] == 2)

    def test_half_sent_requests_are_bounded(self):
        """Many calls that never finish their message: refused before they hold much."""
        conns = [self.http2(self.front) for _ in range(10)]
        part = grpc_message(b"x" * 60000, length=65536)
        for h in conns:
            for k in range(200):
                if not h.send(frame(HEADERS, END_HEADERS, 2 * k + 1, request_headers(SIGN)) +
                              b"".join(frame(DATA, 0, 2 * k + 1, part[i:i + 16384]) for i in range(0, len(part), 16384))):
                    break
        self.assert_alive(self.front)
        self.assertLess(self.front.rss_kib(), self.base_rss + 160 * 1024)
        for h in conns:
            h.close()
        self.base_rss += 128 * 1024  # freed, but a sanitizer keeps it in quarantine

    def hold_little(self, path, before, part):
        """Many calls that hold a few bytes each; `before` is sent by one stream ahead of each. Returns by how much the front grew."""
        conns = [self.http2(self.front, settings=setting(4, 1 << 24)) for _ in range(5)]

        def data(stream, body):
            return b"".join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384))
        for h in conns:
            got = []
            h.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            h.send(frame(HEADERS, END_HEADERS, 1, request_headers(STREAM)))
            for stream in range(3, 481, 2):
                h.send(data(1, before) + frame(HEADERS, END_HEADERS, stream, request_headers(path)) + data(stream, part))
                got += h.frames_until(lambda f: f[0] in (DATA, RST_STREAM))[0]  # the long message is answered
            h.send(frame(PING, 0, 0, b"all read"))
            got += h.frames_until(lambda f: f[0] == PING and f[1] & 1)[0]
            self.assertEqual(sum(f[0] == DATA for f in got), 239)
            self.assertFalse([f for f in got if f[0] == RST_STREAM or f[0] == HEADERS and f[1] & END_STREAM], "calls were refused")
        return self.front.rss_kib() - self.base_rss

    def test_a_large_buffer_is_not_held_for_little(self):
        """Beside a stream that fills and empties its buffer, calls whose first frame is just over a page."""
        grown = self.hold_little(SIGN, grpc_message(b"x" * 60000), grpc_message(b"x" * 4200, length=8000))
        self.assertLess(grown, HELD_KIB)

    def test_a_stream_keeps_no_large_buffer_for_the_rest(self):
        """A long message, and five bytes of the next."""
        grown = self.hold_little(STREAM, b"", grpc_message(b"x" * 60000) + b"\0" * 4)
        self.assertLess(grown, HELD_KIB)


if __name__ == "__main__":
    unittest.main(verbosity=2)
