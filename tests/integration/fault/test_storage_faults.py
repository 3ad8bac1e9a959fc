# SPDX-License-Identifier: Apache-2.0
"""Faults 42-44: what a token keeps, and what became of it while nobody looked. One key is lost by each; the others sign."""

import contextlib
import glob
import os
import shutil
import sqlite3
import unittest

from faultcase import CODE, FaultCase

REFUSED = (CODE.INTERNAL, CODE.UNAVAILABLE)


class Storage(FaultCase):
    vaults = 1

    @classmethod
    def seed(cls):
        cls.stub, cls.keys = cls.signer(), {}
        cls.objects = {}
        cls.carol, cls.dave = (cls.add_resident(name) for name in ("carol", "dave"))
        cls.eve, cls.frank = cls.add_citizens("eve", "frank")
        cls.learn_keys(cls.carol, cls.dave)

    @classmethod
    def files(cls):
        return set(glob.glob(f"{cls.h.state}/token/objects/*/*.object"))

    @classmethod
    def add_resident(cls, name):
        before = cls.files()
        citizen = cls.h.add_citizen(name, storage="resident", totps=8, device=None)
        # what is new, less what an anchor's update has replaced by the time the server has stopped
        cls.objects[name] = cls.files() - before
        return citizen

    def setUp(self):
        self.assertEqual(self.h.stop_server(), 0)
        super().setUp()
        self.undo = contextlib.ExitStack()

    def tearDown(self):
        self.obey("")
        self.h.stop_server()
        self.undo.close()
        self.serve()
        super().tearDown()

    def serve(self):
        self.h.stop_server()  # a test that failed half way
        self.launch()
        self.h.wait_for(self.h._is_serving, "the server to serve")
        self.wait_for_vaults()
        type(self).stub = self.signer()

    def private_key(self, name):
        """The larger of its two objects: the public key beside it is small."""
        return max((f for f in self.objects[name] if os.path.exists(f)), key=os.path.getsize)

    def replace(self, path, data):
        with open(path, "rb") as f:
            old = f.read()
        self.undo.callback(self.write, path, old)
        self.write(path, data)

    @staticmethod
    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    def assertOthersSign(self, *lost):
        for citizen in (self.carol, self.dave, self.eve, self.frank):
            if citizen not in lost:
                self.sign(citizen)

    def test_42_two_objects_with_one_id(self):
        path = self.private_key("carol")
        twin = os.path.join(os.path.dirname(path), "00000000-0000-0000-0000-000000000042.object")
        shutil.copy(path, twin)
        self.undo.callback(os.unlink, twin)
        self.serve()
        self.assertNotSigned(self.one(self.carol), *REFUSED)
        self.assertEqual(self.calls("C_Sign", data="dead"), [])
        self.assertOthersSign(self.carol)

    def test_42_no_object_of_that_id(self):
        path = self.private_key("carol")
        os.rename(path, path + ".away")
        self.undo.callback(os.rename, path + ".away", path)
        self.serve()
        self.assertNotSigned(self.one(self.carol), *REFUSED)
        self.assertOthersSign(self.carol)

    def test_44_an_object_cut_short(self):
        path = self.private_key("dave")
        with open(path, "rb") as f:
            data = f.read()
        for length in (0, 7, len(data) // 2, len(data) - 1):
            with self.subTest(length=length):
                self.replace(path, data[:length])
                self.serve()
                self.assertNotSigned(self.one(self.dave), *REFUSED)
                self.assertOthersSign(self.dave)
                self.assertEqual(self.h.stop_server(), 0)
                self.write(path, data)
        self.assertEqual(self.lines("role-ended", "signal=11"), [])

    def test_44_a_token_that_cannot_be_written(self):
        """An alarm, not an outage: what is there signs, and what would be new is refused."""
        self.obey("C_CreateObject return CKR_TOKEN_WRITE_PROTECTED; C_DestroyObject return CKR_TOKEN_WRITE_PROTECTED; "
                  "C_GenerateKeyPair return CKR_TOKEN_WRITE_PROTECTED")
        self.serve()
        self.assertOthersSign()
        done = self.h.kyso("credential", "create", "--subject", "carol", "--key-type", "p256", "--storage", "resident",
                           check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertOthersSign()
        self.assertTrue(self.lines(" error job-failed ", 'job="anchor"'), "somebody is told")

    def test_43_a_blob_that_does_not_unwrap(self):
        """Flipped, or wrapped under another KEK: the token cannot tell which. That request only."""
        self.serve()
        lost, again, other = self.requests(self.eve, 2) + self.requests(self.frank)
        self.obey("C_UnwrapKey times 1 flip")
        self.assertNotSigned(lost, CODE.INTERNAL)
        self.assertEqual(self.calls("C_SignInit", data="dead"), [])
        self.sign(self.frank, other)
        self.sign(self.eve, again)

    def execute(self, sql, *values):
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            found = db.execute(sql, values).fetchall()
            db.commit()
            return found

    def credential_rows(self):
        """id, body and MAC of eve's and frank's rows, found by the credentials' names in them."""
        rows = self.execute("SELECT id, body, mac FROM rows")
        found = []
        for citizen in (self.eve, self.frank):
            name = citizen["credential_id"].encode()
            found += [max((r for r in rows if name in bytes(r[1])), key=lambda r: len(r[1]))]
        return found

    def test_43_rows_edited_or_swapped(self):
        """A row's MAC names its table and its number, so a key under another's name is nobody's. The others sign."""
        self.database = f"{self.h.state}/state/kyso.db"
        eve, frank = self.credential_rows()
        self.undo.callback(self.put_rows, (eve, frank))
        flipped = bytearray(eve[1])
        flipped[len(flipped) // 2] ^= 1
        for how, lost, rows in (("flipped", [self.eve], [(eve[0], bytes(flipped), eve[2])]),
                                ("swapped", [self.eve, self.frank],
                                 [(eve[0], frank[1], frank[2]), (frank[0], eve[1], eve[2])])):
            with self.subTest(how=how):
                self.h.stop_server()
                self.put_rows((eve, frank))
                self.put_rows(rows)
                self.serve()
                for citizen in lost:
                    with self.refused(CODE.NOT_FOUND, "corrupt"):
                        self.one(citizen)
                self.assertOthersSign(*lost)

    def put_rows(self, rows):
        for row in rows:
            self.execute("UPDATE rows SET body = ?2, mac = ?3 WHERE id = ?1", *row)


if __name__ == "__main__":
    unittest.main()
