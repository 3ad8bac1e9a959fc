# SPDX-License-Identifier: Apache-2.0
"""Each runbook of deploy/runbooks, as it is written, on a server with a ceremony's token."""

import os
import shutil
import signal
import subprocess
import unittest

from runbook import Host, Room


class Runbooks(unittest.TestCase):
    def setUp(self):
        self.room = Room(m=2, n=3)
        self.addCleanup(self.room.close)
        self.room.init("--demo-pin-file", f"{self.room.dir}/pin")

    def host(self, **options):
        h = Host(self.room, config={"ledger.checkpoint_interval_s": 1}, **options)
        self.addCleanup(h.stop)
        h.start()
        h.add_clients()
        return h

    def finish(self, t):
        t.expect("^--- the end")
        self.assertEqual(t.wait(), 0, t.text[-3000:])

    def kept(self, h):
        """The checkpoint that has left the host."""
        h.wait_for(lambda: h.kyso("ledger", "verify", check=False).returncode == 0, "a checkpoint")
        shutil.copy(f"{h.state}/state/checkpoint", h.variables["SAFE"])

    def test_hsm_replaced(self):
        h = self.host()
        alice = h.add_citizen("alice")
        h.sign(alice)
        self.kept(h)
        self.room.lose_token()
        t = h.follow("hsm-replaced")
        self.room.bring(t, 3, 1)
        t.expect("The token takes the ledger of [0-9]+ records")
        t.expect("SERVING")
        t.expect("The ledger verifies")
        self.finish(t)
        h.sign_by_approval(alice)

    def test_activation_after_power_cut(self):
        h = self.host()
        alice = h.add_citizen("alice")
        h.stop_server()
        h.variables.update(M="2", CUSTODIANS=h.ask_custodians())
        h.launch()
        with open(f"{h.dir}/kysod.pid") as f:
            os.kill(int(f.read()), signal.SIGKILL)
        t = h.follow("activation-after-power-cut")
        self.room.unlock(t, 3, 1)
        t.expect("SERVING")
        t.expect("1,3")
        self.finish(t)
        h.sign_by_approval(alice)

    def test_restore_on_an_empty_host(self):
        h = self.host()
        alice = h.add_citizen("alice")
        h.sign(alice)
        self.kept(h)
        h.kyso("backup", "--output", f"{h.variables['SAFE']}/backup.db")
        h.add_citizen("bob")  # who is lost
        h.stop_server()
        self.room.lose_token()
        shutil.rmtree(f"{h.state}/state")
        t = h.follow("restore-on-an-empty-host")
        t.expect("restored: [0-9]+ records")
        self.room.bring(t, 2, 1)
        t.expect("The token takes the ledger of [0-9]+ records")
        t.expect("SERVING")
        t.expect("The ledger verifies")
        t.expect(" anchored ")
        self.finish(t)
        h.sign_by_approval(alice)
        self.assertNotEqual(h.kyso("subject", "show", "bob", check=False).returncode, 0)

    def test_suspected_compromise_of_a_front(self):
        h = self.host()
        h.sign(h.add_citizen("alice"))
        self.kept(h)
        pki = f"{h.state}/pki"
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server", "-keyout",
                        f"{h.dir}/new.key", "-out", f"{h.dir}/new.csr"], check=True, capture_output=True)
        with open(f"{h.dir}/ext", "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        subprocess.run(["openssl", "x509", "-req", "-in", f"{h.dir}/new.csr", "-CA", f"{pki}/tls-ca.pem", "-CAkey", f"{pki}/tls-ca.key", "-days", "30",
                        "-extfile", f"{h.dir}/ext", "-out", f"{h.dir}/new.pem"], check=True, capture_output=True)
        h.variables.update(SINCE="2026", NEW_KEY=f"{h.dir}/new.key", NEW_CERT=f"{h.dir}/new.pem", TLS_KEY=f"{pki}/server.key",
                           TLS_CERT=f"{pki}/server.pem")
        t = h.follow("suspected-compromise-of-a-front")
        t.expect("The ledger verifies")
        t.expect("sound")
        t.expect(" intent ")
        t.expect("portal")
        self.finish(t)
        h.sign_by_approval(h.add_citizen("bob"))  # under the new certificate

    def test_suspected_compromise_of_an_operators_key(self):
        h = self.host(operators=("second", "mallory"))
        mallory = ("--operator", "mallory", "--operator-key", f"{h.state}/mallory.key")
        h.kyso("subject", "add", "eve", "--name", "Eve", *mallory)
        self.kept(h)
        h.variables.update(SINCE="2026", SUSPECT="mallory", SECOND="second", SECOND_KEY=f"{h.state}/second.key", NEW_NAME="mallory-2")
        t = h.follow("suspected-compromise-of-an-operators-key")
        t.expect("removed")
        t.expect("The ledger verifies")
        t.expect("name=add-subject .*operators=mallory")
        t.expect("mallory-2 +operator")
        self.finish(t)
        self.assertNotEqual(h.kyso("subject", "add", "eve2", "--name", "Eve", *mallory, check=False).returncode, 0)

    def test_suspected_compromise_of_a_custodian(self):
        h = self.host()
        h.sign(h.add_citizen("alice"))
        t = h.follow("suspected-compromise-of-a-custodian")
        t.expect("signatures")
        self.room.bring(t, 2, 3)  # without the first one's form
        t.expect("The transcript is signed")
        self.finish(t)


class FirstCeremony(unittest.TestCase):
    def test_first_ceremony(self):
        room = Room(m=2, n=3)
        self.addCleanup(room.close)
        h = Host(room)
        self.addCleanup(h.stop)
        h.make_state()
        h.variables.update(M="2", CUSTODIANS=h.ask_custodians())
        t = h.follow("first-ceremony")
        for number in (1, 2, 3):
            room.receive(t, number)
        t.expect("Press Enter to go on")
        t.type()
        t.expect("The transcript is signed")
        room.unlock(t, 2, 3)
        room.unlock(t, 1, 2)
        t.expect("^--- the end")
        self.assertEqual(t.wait(), 0, t.text[-3000:])


if __name__ == "__main__":
    unittest.main()
