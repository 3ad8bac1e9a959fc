# SPDX-License-Identifier: Apache-2.0
"""A whole server on a disk that obeys (disk.c): the script can change while it runs, its log tells what struck, and everything that
clients send and get is written down for kyso-check."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../integration/main"), os.path.join(HERE, "../integration/fault")]

from base import grpc, harness, new_id, signer_pb2  # noqa: E402,F401
from test_check import CheckCase, Clients  # noqa: E402

CODE = grpc.StatusCode


class DiskCase(CheckCase):
    people = ("alice", "bob", "carol")

    @classmethod
    def setUpClass(cls):
        bin_dir = os.environ.get("KYSO_BIN") or os.path.join(harness.ROOT, "build/dev/bin")
        folder = tempfile.mkdtemp(prefix="kyso-disk-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.disk_script, cls.disk_log, cls.disk_scripts, cls.disk_log_start = f"{folder}/script", f"{folder}/log", 0, 0
        for path in (cls.disk_script, cls.disk_log):
            with open(path, "wb"):
                pass
        # the disk stands before the sanitizer in the order of loading, which matters to neither
        cls.env = {"LD_PRELOAD": f"{bin_dir}/kyso-disk.so", "KYSO_DISK_SCRIPT": cls.disk_script, "KYSO_DISK_LOG": cls.disk_log,
                   "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
        super().setUpClass()
        cls.key_file(cls("judge"))

    @classmethod
    def seed(cls):
        cls.citizens = [cls.h.add_citizen(name, totps=1) for name in cls.people]

    def setUp(self):
        self.clients = Clients(self, self.recorder, self.citizens, 1)
        self.clients.credential_keys(self.citizens)

    # --- the disk --------------------------------------------------------------------------------------

    @classmethod
    def disk(cls, text):
        """From its next operation on, the authority's disk obeys this; what struck() tells begins here."""
        cls.disk_scripts += 1
        cls.disk_log_start = os.path.getsize(cls.disk_log)
        with open(cls.disk_script, "r+b", buffering=0) as f:  # one write: it is read while it is replaced
            f.write("\n".join((f"# {cls.disk_scripts}", *text.split("; "))).encode().ljust(4095, b"\n"))

    def struck(self):
        with open(self.disk_log) as f:
            f.seek(self.disk_log_start)
            return f.read().splitlines()

    def wait_for_strike(self):
        self.h.wait_for(self.struck, "the disk to strike")

    # --- life ----------------------------------------------------------------------------------------

    def opened(self):
        return self.h.log_text().count(" opened ")

    def wait_for_start(self, before):
        """The next authority after `before` of them, and a server that serves."""
        self.h.wait_for(lambda: self.opened() > before, "the next authority", 120)
        self.h.wait_for(self.h._is_serving, "the server to serve", 120)

    def judge(self):
        """Of a server that stopped: kyso-check finds nothing."""
        self.keep_checkpoint()
        with open(self.export_path, "w", encoding="utf-8") as out:
            subprocess.run([f"{self.h.bin}/kyso-authority", "--export", f"{self.h.state}/state/kyso.db", "--private"], stdout=out,
                           env=self.h.env, check=True)
        told = self.check()
        self.assertEqual((told["violations"], told["unverified"]), ([], 0))
        return told

    # --- requests ------------------------------------------------------------------------------------

    @staticmethod
    def outcome(call, *args, **kw):
        """(what came: "granted" or a status, seconds it took)"""
        began = time.monotonic()
        try:
            call(*args, **kw)
            what = "granted"
        except grpc.RpcError as error:
            what = error.code()
        return what, time.monotonic() - began

    def sad(self, stub, person):
        """Requests for one hash each, under an approved SAD."""
        request, proof = self.clients.approved(stub, person, inline=False)
        return [signer_pb2.SignRequest(request_id=new_id(), request=self.request(person, [h]), **proof) for h in request.hashes]

    def sign(self, stub, person, message, timeout=20):
        return self.recorder.sign(stub, "portal", message, timeout=timeout, subject_id=person["subject_id"])

    def wrong_code(self, person):
        return signer_pb2.SignRequest(request_id=new_id(), request=self.request(person), totp=signer_pb2.TotpProof(code="000000"))
