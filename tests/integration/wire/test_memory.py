# SPDX-License-Identifier: Apache-2.0
"""A front whose allocator refuses the n-th time (fault 57), and one whose heap is measured for each hostile request (P14).
$KYSO_STARVE_STRIDE is how many allocations lie between two of the first; 1 misses none."""
import mmap
import os
import struct
import unittest

from test_hostile_bytes import SIGN, STREAM, delimited, field
from wire import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WireTest, frame, grpc_message, request_headers, setting

STRIDE = int(os.environ.get("KYSO_STARVE_STRIDE", 0))
HEAP_MOST = 256 * 1024


class Memory(WireTest):
    def setUp(self):
        path = os.path.join(self.folder, "page")
        with open(path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        os.environ["KYSO_STARVE"] = path
        self.addCleanup(os.environ.pop, "KYSO_STARVE")
        self.front = self.start(program=os.environ["KYSO_FRONT_STARVED"], patience_ms=30000)
        self.assertTrue(self.one_of_each())

    def refuse_at(self, n):
        self.page[:8] = struct.pack("=Q", n)

    def left(self):
        return struct.unpack("=Q", self.page[:8])[0]

    def live(self):
        return struct.unpack("=Q", self.page[8:16])[0]

    def peak_since(self):
        """The most there was since the last call."""
        peak = struct.unpack("=Q", self.page[16:24])[0]
        self.page[16:24] = bytes(8)
        return peak

    def one_of_each(self, connecting=0, asking=0):
        """A connection; on it a call, a stream with two requests, an unknown method. Which allocation is refused, of either. False when
        the connection or a call came to nothing."""
        self.refuse_at(connecting)
        try:
            h = self.http2(self.front)
            opened = h.read_frame() is not None
        except OSError:
            opened = False
        if not opened or connecting:
            return opened
        self.refuse_at(asking)
        body = grpc_message(self.sign_request(n=3).SerializeToString())
        h.request(1, SIGN, body)
        h.request(3, STREAM, body + body)
        h.request(5, b"/kyso.v1.Signer/Nothing", body)
        ends = {}

        def all_ended(f):
            if f[0] == RST_STREAM or f[0] in (DATA, HEADERS) and f[1] & END_STREAM:
                ends.setdefault(f[2], f[0])  # an early answer is followed by a reset: no error
            return len(ends) == 3
        whole = h.frames_until(all_ended, 60)[1]
        h.close()
        return whole and RST_STREAM not in ends.values()

    def refuse_each(self, what, stride):
        n, failed = 1, 0
        while True:
            answered = self.one_of_each(**{what: n})
            was_refused = self.left() == 0
            self.refuse_at(0)
            if not was_refused:
                self.assertTrue(answered)
                break
            failed += not answered
            self.assertTrue(self.one_of_each(), f"allocation {n} of {what} cost more than its connection")
            n += stride
        self.assertGreater(failed, 0)

    def test_57_any_allocation_of_a_connection(self):
        self.refuse_each("connecting", STRIDE or 89)

    def test_57_any_allocation_of_a_call(self):
        self.refuse_each("asking", STRIDE or 3)

    def test_p14_heap_of_hostile_requests(self):
        good = self.sign_request(request_id="good").SerializeToString()
        nest = b""
        for _ in range(2000):
            nest = delimited(3, nest)
        hostile = {
            "8 000 unknown fields": good + b"".join(field(1000 + i, 0, b"\x01") for i in range(8000)),
            "unknown bytes": good + delimited(999, b"x" * 60000),
            "30 000 empty hashes": good + delimited(2, b"\x22\x00" * 30000),
            "20 000 hashes of one byte": good + delimited(2, b"\x22\x01a" * 20000),
            "deep": delimited(1, b"id") + delimited(2, nest),
            "groups": field(2, 3, b"") * 30000,
            "the longest text": delimited(1, b"x" * 65000),
            "the longest good one": self.sign_request(n=256).SerializeToString(),
        }
        for name, message in hostile.items():
            for path in (SIGN, STREAM):
                with self.subTest(name, path=path):
                    h = self.http2(self.front, settings=setting(4, 1 << 20))
                    h.request(1, b"/kyso.v1.Signer/Nothing")
                    h.stream_end(1)  # the connection has what it needs
                    before = self.live()
                    self.peak_since()
                    body = grpc_message(message)
                    h.send(frame(HEADERS, END_HEADERS, 3, request_headers(path)))
                    for at in range(0, len(body), 16384):
                        h.send(frame(DATA, END_STREAM if at + 16384 >= len(body) else 0, 3, body[at:at + 16384]))
                    h.stream_end(3)
                    self.assertLess(self.peak_since() - before, HEAP_MOST)
                    h.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
