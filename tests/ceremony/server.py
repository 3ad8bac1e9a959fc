# SPDX-License-Identifier: Apache-2.0
"""A server on a ceremony's token."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../harness"))
import harness  # noqa: E402
from harness import HarnessError, command_line  # noqa: E402,F401


class ServerOn(harness.Harness):
    def __init__(self, room, **options):
        super().__init__(**options)
        self.room = room

    def make_state(self):
        super().make_state()
        self.env["SOFTHSM2_CONF"] = self.room.env["SOFTHSM2_CONF"]
        self.config.update({"token.pin_file": f"{self.room.dir}/pin", "token.vaults": 1,
                            "ledger.ceremony_transcript": self.room.transcript})
        self.configure()

    def ask_custodians(self):
        """From now on its configuration names no PIN, only where custodians come: that path."""
        path = f"{self.room.dir}/custodians.sock"
        self.config.pop("token.pin_file", None)
        self.config["token.custodian_socket"] = path
        self.configure()
        with open(f"{self.state}/kyso.yaml") as f:
            text = f.read()
        with open(f"{self.state}/kyso.yaml", "w") as f:
            f.write(re.sub(r"^  pin_file:.*\n", "", text, flags=re.M))
        return path

    def sign(self, citizen):
        """One signature by a code."""
        path = f"{self.dir}/document"
        with open(path, "w") as f:
            f.write(os.urandom(8).hex())
        self.kyso("sign", path, "--profile", self.profile("portal"), "--credential", citizen["credential_id"],
                  "--totp-secret", citizen["totp"]["secret"])

    def sign_by_approval(self, citizen):
        path = f"{self.dir}/document"
        with open(path, "w") as f:
            f.write(os.urandom(8).hex())
        with subprocess.Popen([f"{self.bin}/kyso", "sign", path, "--profile", self.profile("portal"), "--credential",
                               citizen["credential_id"], "--approval", "--json"], env=self.env, stdout=subprocess.PIPE,
                              text=True) as sign:
            code = harness.find_key(json.loads(sign.stdout.readline()), "matching_code")
            self.kyso("approve", "--profile", self.profile("approver"), "--authenticator",
                      citizen["device"]["authenticator_id"], "--device-key", citizen["device"]["key"], "--code", code)
            sign.stdout.read()
        assert sign.returncode == 0
