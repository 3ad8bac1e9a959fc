# SPDX-License-Identifier: Apache-2.0
"""A whole server whose database and token are put back, exchanged and copied between its lives. Each test begins with the same
clean stop; what may run beside the server is a clone on a copy of the state and the same token."""

import contextlib
import copy
import fcntl
import glob
import os
import re
import shutil
import signal
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../main"))

import base  # noqa: E402,F401
from base import ServerCase, grpc, new_id, signer_pb2  # noqa: E402,F401

CODE = grpc.StatusCode
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
UNSEEN = 60000  # an anchor interval in ms that no test lives to see


class StateCase(ServerCase):
    config = {"token.vaults": 1, "log_level": "debug", "policy.client_failures_per_minute": 100000, "policy.client_failure_percent": 100,
              "policy.begins_per_5min": 8}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stop_cleanly()
        cls.save("base")

    def setUp(self):
        self.put_back("base")
        self.clock.last.clear()
        self.log_start = len(self.h.log_text())

    def tearDown(self):
        self.kill()

    # --- lives ------------------------------------------------------------------------------------

    @classmethod
    def stop_cleanly(cls):
        if cls.h.stop_server() != 0:
            raise AssertionError(cls.h.log_text()[-4000:])

    @classmethod
    def kill(cls, h=None):
        """kill -9, and every role has gone with it."""
        h = h or cls.h
        h.stop_server(signal.SIGKILL)
        h.wait_for(lambda: not is_locked(f"{h.state}/state/kyso.db.lock"), "the authority to end")

    def serve(self, h=None):
        h = (h or self.h).run_server()
        self.stub = self.signer_of(h)
        return h

    def signer_of(self, h):
        c = base.k.channel(h.endpoints()["signer"], f"{h.state}/pki/tls-ca.pem", f"{h.state}/pki/portal.pem",
                           f"{h.state}/pki/portal.key")
        self.channels.append(c)
        return base.signer_pb2_grpc.SignerStub(c)

    @contextlib.contextmanager
    def clone(self):
        """Another server on a copy of the state as it is now, with the same token."""
        other = copy.copy(self.h)
        other.process, other.state, other.log_path = None, f"{self.h.dir}/clone", f"{self.h.dir}/clone.log"
        shutil.copytree(self.h.state, other.state, ignore=shutil.ignore_patterns("run", "token", "*.lock"))
        shutil.copytree(f"{self.h.state}/token", f"{other.state}/token")  # never used: the token is one
        with open(f"{self.h.state}/kyso.yaml") as f:
            text = f.read().replace(f"state_dir: {self.h.state}/state", f"state_dir: {other.state}/state")
        with open(f"{other.state}/kyso.yaml", "w") as f:
            f.write(text)
        other.env = dict(self.h.env, KYSO_CONFIG=f"{other.state}/kyso.yaml")
        open(other.log_path, "w").close()
        try:
            yield other
        finally:
            self.kill(other)
            shutil.rmtree(other.state)

    def assertSeals(self, reason, h=None, launch=True):
        """The server, started on what is there, or when it next looks, seals itself for this reason and signs nothing."""
        h = h or self.h
        start = self.log_start if h is self.h and not launch else len(h.log_text())
        if launch:
            h.launch()
        h.wait_for(lambda: " sealed reason=" in h.log_text()[start:] or h.process.poll() is not None, "a seal")
        self.assertIn(reason, h.log_text()[start:])
        with self.assertRaises(grpc.RpcError) as caught:
            self.signer_of(h).Sign(self.sign_request(self.alice, code="000000"), timeout=10)
        self.assertEqual(caught.exception.code(), CODE.UNAVAILABLE)

    def log(self):
        return self.h.log_text()[self.log_start:]

    # --- copies -----------------------------------------------------------------------------------

    @classmethod
    def save(cls, name, token=True):
        """The database as it is, of a server that rests or is stopped; the token only of one that is stopped."""
        folder = f"{cls.h.dir}/saved-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        for path in database_files(cls.h):
            shutil.copy2(path, folder)
        if token:
            shutil.copytree(f"{cls.h.state}/token/objects", f"{folder}/objects")

    @classmethod
    def put_back(cls, name, database=True, token=True):
        folder = f"{cls.h.dir}/saved-{name}"
        if database:
            for path in database_files(cls.h):
                os.remove(path)
            for path in glob.glob(f"{folder}/kyso.db*"):
                shutil.copy2(path, f"{cls.h.state}/state")
        if token:
            shutil.rmtree(f"{cls.h.state}/token/objects")
            shutil.copytree(f"{folder}/objects", f"{cls.h.state}/token/objects")

    def sql(self, statement, *values, name=None):
        """On the database of the stopped server, or on a saved one."""
        path = f"{self.h.dir}/saved-{name}/kyso.db" if name else f"{self.h.state}/state/kyso.db"
        db = sqlite3.connect(path)
        try:
            rows = db.execute(statement, values).fetchall()
            db.commit()
            return rows
        finally:
            db.close()

    # --- records ----------------------------------------------------------------------------------

    def add_records(self, count):
        """As many denials: of a credential that is not there."""
        nobody = dict(self.alice, credential_id="c9-0000000000000000")
        requests = (self.sign_request(nobody, code="000000") for _ in range(count))
        replies = list(self.stub.SignStream(requests, timeout=600))
        self.assertEqual(sum(r.HasField("error") for r in replies), count)

    def wait_for_anchor(self, size):
        """Until the token has one of a ledger at least so long."""
        self.h.wait_for(lambda: self.anchored() >= size, f"an anchor of {size}")

    def anchored(self):
        """How long a ledger the log says is anchored."""
        return max(map(int, re.findall(r" anchor size=(\d+)", self.log())), default=0)

    def head(self, name=None):
        return self.sql("SELECT max(idx) + 1 FROM ledger", name=name)[0][0]

    def assertRefused(self, code, request):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Sign(request, timeout=10)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())


def database_files(h):
    return [path for path in glob.glob(f"{h.state}/state/kyso.db*") if not path.endswith(".lock")]


def is_locked(path):
    if not os.path.exists(path):
        return False
    with open(path) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
