# SPDX-License-Identifier: Apache-2.0
"""pyHanko's own CSC signer, from the package index and unmodified, signs PDFs through kyso-web; poppler's pdfsig judges them."""

import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from web import WebCase  # noqa: E402

PYTHON = os.path.join(os.environ.get("KYSO_PYHANKO", ""), "bin/python")
PAGES = 3


def make_pdf(path, title):
    """A document of three pages of text."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>",
               f"<< /Type /Pages /Count {PAGES} /Kids [{' '.join(f'{4 + 2 * i} 0 R' for i in range(PAGES))}] >>",
               "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for page in range(PAGES):
        text = f"BT /F 14 Tf 60 760 Td ({title}, page {page + 1} of {PAGES}) Tj ET"
        objects += [f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * page} 0 R "
                    "/Resources << /Font << /F 3 0 R >> >> >>", f"<< /Length {len(text)} >>\nstream\n{text}\nendstream"]
    out, places = "%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{at:010d} 00000 n \n" for at in places)
    out += (f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
            f"startxref\n{len(out)}\n%%EOF\n")
    with open(path, "w") as f:
        f.write(out)


def verdict(path):
    said = subprocess.run(["pdfsig", "-nocert", path], capture_output=True, text=True).stdout
    return next((line.partition(": ")[2] for line in said.splitlines() if "Signature Validation" in line), said)


@unittest.skipUnless(os.path.exists(PYTHON), "pyHanko could not be installed from the package index: NOTHING OF IT WAS TESTED")
class PyHanko(WebCase):
    @classmethod
    def seed(cls):
        cls.people = {kind: cls.h.add_citizen(f"person-{kind}", kind, totps=3) for kind in ("p256", "rsa2048")}

    def sign(self, kind, count, pss=False):
        citizen = self.people[kind]
        pairs = [[f"{self.h.dir}/{kind}-{pss}-{count}-{i}{end}.pdf" for end in ("", "-signed")] for i in range(count)]
        for i, (source, _) in enumerate(pairs):
            make_pdf(source, f"Application {i}")
        job = {"url": f"http://127.0.0.1:{self.web.port}", "credential": citizen["credential_id"], "pss": pss,
               "token": self.web.token("ministry-a"), "pairs": pairs}
        p = subprocess.Popen([PYTHON, f"{HERE}/sign_pdf.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        try:
            p.stdin.write(json.dumps(job) + "\n")
            p.stdin.flush()
            asked = p.stdout.readline()
            said = p.communicate(self.clock.code(citizen) + "\n" if asked else "", timeout=300)
        finally:
            p.kill()
            p.wait()
        self.assertEqual((asked, p.returncode), (f"code for {count}\n", 0), said[1])
        for source, signed in pairs:
            self.assertEqual(verdict(signed), "Signature is Valid.", signed)
            with open(signed, "rb") as f:
                self.assertEqual(f.read().count(b"/Type /Page "), PAGES)
        return pairs[0][1]

    def test_single(self):
        for kind, pss in (("p256", False), ("rsa2048", False), ("rsa2048", True)):
            with self.subTest(kind=kind, pss=pss):
                before = len(self.h.ledger("intent"))
                self.sign(kind, 1, pss)
                mine = self.h.ledger("intent")[before:]
                self.assertEqual([(r["scheme"], r["salt_len"] > 32) for r in mine],
                                 [({"p256": 1, "rsa2048": 3 if pss else 2}[kind], pss)])

    def test_batch_of_twenty(self):
        for kind, pss in (("p256", False), ("rsa2048", False), ("rsa2048", True)):
            with self.subTest(kind=kind, pss=pss):
                before = len(self.h.ledger("authorized"))
                self.sign(kind, 20, pss)
                self.assertEqual(len(self.h.ledger("authorized")), before + 1)

    def test_a_flipped_byte_is_seen(self):
        signed = self.sign("p256", 1)
        with open(signed, "rb") as f:
            document = bytearray(f.read())
        at = document.index(b"page 1 of 3")
        document[at + 5] ^= 1
        with open(signed, "wb") as f:
            f.write(document)
        self.assertNotEqual(verdict(signed), "Signature is Valid.")


if __name__ == "__main__":
    unittest.main()
