#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Takes a front's place at the supervisor: gives the channel to the authority to whoever listens at $TAKEN_SOCKET, with the near
end of a channel of its own, and becomes the real front on the far end. So all that passes passes through there."""
import os
import socket
import sys

CHANNEL = 5

door = sys.argv[sys.argv.index("--door") + 1]
if door in os.environ["TAKEN_DOORS"].split():
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["TAKEN_SOCKET"])
        socket.send_fds(s, [door.encode()], [CHANNEL, ours.fileno()])
    os.dup2(theirs.fileno(), CHANNEL)
os.execv(os.environ["TAKEN_FRONT"], [os.environ["TAKEN_FRONT"], *sys.argv[1:]])
