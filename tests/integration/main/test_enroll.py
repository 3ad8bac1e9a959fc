# SPDX-License-Identifier: Apache-2.0
"""kyso credential enroll on a whole server: what each person gets, what a bad line does, and that the same command goes on. Many people
and kill -9 are tests/bench/enrol's."""

import base64
import csv
import glob
import json
import os
import subprocess

from base import ServerCase, harness, k


class Enroll(ServerCase):
    config = {"token.software_tuning": True}

    def setUp(self):
        self.reader = harness.reader(self.h.dir)
        self.folder = f"{self.h.dir}/{self._testMethodName}"
        self.csv = f"{self.folder}.csv"

    def write(self, rows, head=("subject_id", "name", "dn", "key_type")):
        with open(self.csv, "w", newline="") as f:
            csv.writer(f).writerows([head, *rows])

    def people(self, n, prefix):
        return [(f"{prefix}{i}", f"Nguyễn Văn {i}", f"CN=Nguyễn Văn {i},C=VN", "p256") for i in range(n)]

    def enroll(self, *words, code=0):
        done = self.h.kyso("credential", "enroll", "--csv", self.csv, "--out", self.folder, "--relying-party", "*", "--seal-to",
                           self.reader, *words, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def lines(self):
        return [json.loads(line) for path in sorted(glob.glob(f"{self.folder}/*.jsonl")) for line in k.read(path).splitlines()]

    def test_everybody_gets_what_is_theirs(self):
        rows = self.people(6, "all-")
        rows[1] = (*rows[1][:3], "p384")
        rows[2] = (*rows[2][:3], "rsa2048")
        rows[4] = (rows[4][0], 'Nguyễn "Tí", Văn', *rows[4][2:])
        self.write(rows)
        self.enroll("--split")
        lines = self.lines()
        self.assertEqual([x["subject_id"] for x in lines], [row[0] for row in rows])
        self.assertEqual([x["line"] for x in lines], [2, 3, 4, 5, 6, 7])
        for line in lines:
            der = subprocess.run(["openssl", "req", "-in", f"{self.folder}/{line['subject_id']}.csr", "-verify", "-outform", "DER"],
                                 check=True, capture_output=True).stdout
            self.assertEqual(der, base64.b64decode(line["csr"]))
            sealed = k.read(f"{self.folder}/{line['subject_id']}.p7m")
            self.assertEqual(sealed, base64.b64decode(line["sealed_seed"]))
            uri, authenticator, code = harness.open_letter(self.reader, sealed)
            self.assertEqual(authenticator, line["authenticator_id"])
            self.assertTrue(uri.startswith(f"otpauth://totp/Kyso:{line['subject_id']}?secret="))
            self.h.kyso("authenticator", "confirm", authenticator, code)
        shown = self.h.kyso("subject", "show", "all-4", json_out=True)
        self.assertEqual(shown["name"], 'Nguyễn "Tí", Văn')

    def test_long_lines_go_in_more_batches(self):
        name, dn = "N" * 128, "CN=N" + 7 * f",OU={'u' * 64}"
        self.write([(f"{12 * 'long-'}{i}", name, dn, "p256") for i in range(100)])
        self.enroll()
        self.assertEqual(len({x["credential_id"] for x in self.lines()}), 100)

    def test_a_bad_line_fails_alone(self):
        rows = self.people(5, "bad-")
        rows[1] = ("not a name", *rows[1][1:])
        rows[3] = (*rows[3][:2], 'no, "DN"', "p256")
        self.write(rows)
        self.assertIn("2 of 5 failed", self.enroll(code=1))
        with open(f"{self.folder}/errors.csv", newline="") as f:
            errors = list(csv.reader(f))
        self.assertEqual([e[:2] for e in errors], [["line", "subject_id"], ["3", "not a name"], ["5", "bad-3"]])
        self.assertIn("subject_dn", errors[2][2])
        self.assertEqual(len([x for x in self.lines() if "credential_id" in x]), 3)
        denied = [r for r in self.h.ledger("denied") if r["reason"] == "invalid"]
        self.assertGreaterEqual(len(denied), 2)

    def test_it_goes_on_and_doubles_nothing(self):
        self.write(self.people(250, "on-"))
        self.enroll("--in-flight", "2")
        before = self.lines()
        self.assertEqual(len(before), 250)
        self.assertEqual(sorted(os.path.basename(p) for p in glob.glob(f"{self.folder}/*")),
                         ["000001.jsonl", "000002.jsonl", "000003.jsonl", "errors.csv", "people"])
        os.remove(f"{self.folder}/000002.jsonl")  # the server had answered, and the file was not yet written
        self.enroll()
        after = self.lines()
        for name in ("subject_id", "credential_id", "authenticator_id"):
            self.assertEqual([x[name] for x in after], [x[name] for x in before])
        old, new = (harness.open_letter(self.reader, base64.b64decode(x[150]["sealed_seed"])) for x in (before, after))
        self.assertEqual(old, new)
        self.write(self.people(249, "on-"))
        self.assertIn("another enrolment", self.enroll(code=2))

    def test_lines_that_cannot_be_read(self):
        good = "subject_id,name,dn\n1,A,CN=A\n"
        for text, what in ((b"", "line 1"), (b"subject_id,name\n1,A\n", "line 1"), (b"subject_id,name,dn,colour\n", "line 1"),
                           (good.encode() + b"2,B\n", "line 3: it has another number"),
                           (good.encode() + b'2,"B,CN=B\n3,C,CN=C\n', "a quote is not closed"),
                           (good.encode() + b'2,"B" ,CN=B\n', "line 3"), (good.encode() + b"2,,CN=B\n", "line 3"),
                           (good.encode() + b'2,B"b,CN=B\n', "line 3"), (good.encode() + b"2,B\0,CN=B\n", "line 3: a zero byte"),
                           (good.encode() + b'2,"B\0",CN=B\n', "line 3: a zero byte"),
                           (good.encode() + b"2," + b"B" * 1001 + b",CN=B\n", "line 3: subject_id, name or dn"),
                           (b"subject_id,name,dn,key_type\n1,A,CN=A,dsa\n", "line 2: key_type"), (b"subject_id,name,dn\n", "nobody")):
            with self.subTest(text):
                with open(self.csv, "wb") as f:
                    f.write(text)
                self.assertIn(what, self.enroll(code=2))
        self.assertFalse(os.path.exists(self.folder), "nothing was begun")

    def test_a_certificate_of_their_own(self):
        self.write([(*row, self.reader) for row in self.people(2, "own-")], ("subject_id", "name", "dn", "key_type", "seal_to"))
        done = self.h.kyso("credential", "enroll", "--csv", self.csv, "--out", self.folder, "--relying-party", "portal")
        self.assertIn("everybody", done.stdout)
        for line in self.lines():
            self.assertIn("otpauth", harness.open_letter(self.reader, base64.b64decode(line["sealed_seed"]))[0])

    def test_the_ledger_is_searched(self):
        """By person, credential, time and type."""
        self.write(self.people(2, "found-"))
        self.enroll()
        one, other = (x["credential_id"] for x in self.lines())

        def query(*words, code=0):
            done = self.h.kyso("ledger", "query", "--json", *words, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            return [json.loads(line) for line in done.stdout.splitlines() if "index" in line] if code == 0 else done.stdout

        self.assertEqual([r["type"] for r in query("--credential", one)], ["admin", "intent"])
        found = query("--subject", "found-1")
        self.assertEqual([r["type"] for r in found][:2], ["admin", "intent"])
        self.assertEqual({r["type"] for r in found}, {"admin", "intent", "operation"})
        intent = query("--credential", other, "--type", "intent")
        self.assertEqual(len(intent), 1)
        day = intent[0]["time"][:10]
        self.assertEqual(query("--credential", other, "--type", "intent", "--since", day, "--until", day), intent)
        self.assertEqual(query("--credential", other, "--until", "2020"), [])
        self.assertEqual(query("--credential", other, "--since", "2999"), [])
        self.assertIn("no credential", query("--credential", "found-1", code=2))
