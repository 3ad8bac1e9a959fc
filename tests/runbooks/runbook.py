# SPDX-License-Identifier: Apache-2.0
"""Runs a runbook as it is written: every ```sh block of deploy/runbooks/NAME.md, in order, in one shell on a
pseudo-terminal, on a host whose `systemctl` starts and stops a server of the test's own. A block that ends with
another code than 0 ends the runbook. What people read and type is played by the test."""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/ceremony"))
from ceremony import Room, Terminal  # noqa: E402,F401
from server import ServerOn  # noqa: E402

FOLDER = os.path.join(ROOT, "deploy/runbooks")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
SYSTEMCTL = """#!/bin/bash
# What systemd does with deploy/kyso.service.
set -eu
pid={dir}/kysod.pid
case "$1" in
    start) setsid kysod --config "$KYSO_CONFIG" >>{log} 2>&1 </dev/null & echo $! >$pid ;;
    stop)
        [ -s $pid ] || exit 0
        kill "$(cat $pid)" 2>/dev/null || true
        tail --pid="$(cat $pid)" -f /dev/null
        rm $pid ;;
    *) exit 2 ;;
esac
"""


def script(name):
    """The commands of a runbook; each block says where in the file it stands."""
    with open(f"{FOLDER}/{name}.md") as f:
        text = f.read()
    blocks = [(text.count("\n", 0, found.start()) + 2, found.group(1)) for found in BLOCK.finditer(text)]
    assert blocks, f"{name}.md has no commands"
    return "set -eu -o pipefail\n" + "".join(f"echo '--- {name}.md:{line}'\n{block}" for line, block in blocks)


class Host(ServerOn):
    """A server on a ceremony's token, run by `systemctl start|stop kyso`. variables: what runbooks call what is here
    (deploy/runbooks/README.md)."""

    def __init__(self, room, **options):
        super().__init__(room, **options)
        self.variables = {}

    def make_state(self):
        super().make_state()
        os.mkdir(f"{self.dir}/bin")
        with open(f"{self.dir}/bin/systemctl", "w") as f:
            f.write(SYSTEMCTL.format(dir=self.dir, log=self.log_path))
        os.chmod(f"{self.dir}/bin/systemctl", 0o755)
        os.mkdir(f"{self.dir}/safe")
        self.env["PATH"] = f"{self.dir}/bin:{self.bin}:{self.env['PATH']}"
        self.variables.update(STATE=f"{self.state}/state", SAFE=f"{self.dir}/safe", PLAN=self.room.plan,
                              BACKUP_FILE=self.room.backup, TRANSCRIPT=self.room.transcript, LEDGER_PUB=f"{self.room.dir}/kept/first.ledger.pub")

    def launch(self):
        subprocess.run(["systemctl", "start", "kyso"], env=self.env, check=True)

    def _is_serving(self):
        try:
            return self.kyso("health", "--profile", self.profile("portal"), check=False).returncode == 0
        except OSError:  # not yet published
            return False

    def stop_server(self, sig=None):
        subprocess.run(["systemctl", "stop", "kyso"], env=self.env, check=True)

    def follow(self, name):
        """The runbook on a terminal, from its first command on."""
        path = f"{self.dir}/{name}.sh"
        with open(path, "w") as f:
            f.write(f"cd {self.dir}\n{script(name)}echo '--- the end'\n")
        t = Terminal(["/bin/bash", path], {**self.env, "TERM": "xterm", **self.variables})
        self.room.open.append(t)
        return t
