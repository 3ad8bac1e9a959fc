#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plays any of the supervisor's roles, by the name it is started under. Says what happens to it in $FAKE_DIR/log, one JSON object a
line, and misbehaves while a file of the misbehaviour's name lies in $FAKE_DIR."""
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import time

FAKE_DIR, CONTROL_H = os.environ["FAKE_DIR"], os.environ["FAKE_CONTROL_H"]
ROLE = os.path.basename(sys.argv[0]).removeprefix("kyso-")
CONTROL, CHANNEL = 3, 5
MESSAGE = struct.Struct("=IIIIQ96s")


def read_types():
    """enum control_type, from the header that the programs are built with."""
    with open(CONTROL_H) as f:
        body = re.search(r"enum control_type \{(.*?)\};", re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S), re.S).group(1)
    types, value = {}, -1
    for name, number in re.findall(r"CONTROL_(\w+)\s*(?:=\s*(\d+))?", body):
        value = int(number) if number else value + 1
        types[name] = value
    return types


def descriptors():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(fd))
            found.append(int(fd))
        except OSError:
            pass  # the listing's own
    return sorted(found)


def ignored_signals():
    with open("/proc/self/status") as f:
        mask = int(re.search(r"SigIgn:\s*([0-9a-f]+)", f.read()).group(1), 16)
    return [n for n in range(1, 32) if mask >> (n - 1) & 1]


def told(name):
    return os.path.exists(os.path.join(FAKE_DIR, name))


def say(event, **more):
    line = json.dumps(dict(role=ROLE, args=sys.argv[1:], pid=os.getpid(), event=event, **more)) + "\n"
    fd = os.open(os.path.join(FAKE_DIR, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def send(control, name, arg=0):
    control.send(MESSAGE.pack(TYPES[name], 0, 0, 0, arg, b""))


def receive(control):
    """(name, door, index, fds), or None at the end."""
    data, fds, _, _ = socket.recv_fds(control, MESSAGE.size, 4)
    if not data:
        return None
    kind, door, index, *_ = MESSAGE.unpack(data)
    return NAMES[kind], door, index, fds


def log_in(control):
    send(control, "HELLO")
    if told("vault-dies-after-hello"):
        say("hello")
        os.kill(os.getpid(), signal.SIGKILL)
    name, _, _, fds = receive(control)
    if name != "PIN":
        sys.exit(0)
    pin = os.read(fds[0], 4096)
    say("pin")
    if told("vault-vendor-code"):
        send(control, "LOGIN_FAILED", 0x80000042)
        sys.exit(11)
    while told("vault-slow-login"):
        time.sleep(0.02)
    with open(os.path.join(FAKE_DIR, "right-pin"), "rb") as f:
        if pin != f.read():
            send(control, "LOGIN_FAILED", 0xA0)
            sys.exit(11)
    send(control, "LOGGED_IN")


def main():
    before = descriptors()
    if ROLE == "vault" and told("vault-dies-after-hello"):
        os.kill(os.getppid(), signal.SIGSTOP)  # so that it hears of the word and of the end at once
    say("start", fds=before, ignored=ignored_signals())
    if told(ROLE + "-dies"):
        sys.exit(1)
    control = socket.socket(fileno=CONTROL)
    watched, kept = [control], []
    if ROLE == "vault":
        log_in(control)
    if ROLE in ("vault", "front"):
        watched.append(CHANNEL)
    send(control, "READY")
    while True:
        for ready in select.select(watched, [], [])[0]:
            if ready == CHANNEL:
                if not os.read(CHANNEL, 1):
                    say("channel-ended")
                    sys.exit(0)
                continue
            got = receive(control)
            if got is None:
                sys.exit(1)
            name, door, index, fds = got
            kept += fds
            say("told", type=name, door=door, index=index)
            if name == "DRAIN":
                while told(ROLE + "-slow-drain"):
                    time.sleep(0.02)
                sys.exit(0)


TYPES = read_types()
NAMES = {v: k for k, v in TYPES.items()}
main()
