# SPDX-License-Identifier: Apache-2.0
"""One server on a token of its own, its population, and the programs that measure on it: the bare token and the load."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timezone

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "harness"))
from harness import Harness, HarnessError  # noqa: E402

WARMUP_S = 0.5
SIGNED = 1  # outcome of a receipt (proto/LEDGER.md)


class Bench:
    """Kept for all rows that want the same server and the same people."""

    def __init__(self, bin_dir, row, options):
        self.server = Harness(bin_dir=bin_dir, config={k: self.put_in(v, bin_dir) for k, v in row.config.items()})
        self.server.env.update({k: self.put_in(v, self.server.dir) for k, v in row.env.items()})
        self.population = os.path.join(self.server.dir, "population.jsonl")
        self.past = os.path.join(self.server.dir, "past-deadline")  # what a load has written about its last runs
        self.best = {}  # the best ceiling seen: a busy machine must not leave a later round short of proofs
        self.citizens, self.totps = row.people(options)
        try:
            self.server.start()
            self.server.add_clients()
            self.seed(row)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def put_in(value, folder):
        """"@/NAME" of a row is a file in the folder of programs, or in the server's own."""
        return value.replace("@", folder) if isinstance(value, str) else value

    def seed(self, row):
        began = time.monotonic()
        s, pki, ends = self.server, f"{self.server.state}/pki", self.server.endpoints()
        run([f"{s.bin}/kyso-seed", "--socket", ends["operator"], "--server-id", ends["server_id"],
             "--operator-key", s.env["KYSO_OPERATOR_KEY"], "--ca", f"{pki}/citizen-ca.pem",
             "--ca-key", f"{pki}/citizen-ca.key", "--out", self.population, "--citizens", str(self.citizens),
             "--totps", str(self.totps), "--devices", str(row.devices), "--key-type", row.key_type,
             "--storage", row.storage], s.env)
        say(f"  {self.citizens} citizens enrolled in {time.monotonic() - began:.1f} s")

    def ceiling(self, row, seconds):
        """Of row.processes workers, or the best of row.best_of, each for its part of the time."""
        counts = row.best_of or (row.processes,)
        tried = [self.bare_loop(row, n, seconds / len(counts)) for n in counts]
        return {**max(tried, key=lambda t: t["per_s"]), "tried": dict(zip(counts, [t["per_s"] for t in tried]))}

    def bare_loop(self, row, workers, seconds):
        s = self.server
        out = run([f"{s.bin}/kyso-bench-ceiling", "--module", module_of(s), "--token", "kyso",
                   "--pin-file", f"{s.state}/pin", "--mode", row.ceiling, "--key-type", row.key_type,
                   "--processes", str(workers), "--seconds", str(seconds), "--keys", str(row.ceiling_keys)], s.env)
        return json.loads(out)

    def counter(self, name):
        """One figure of /metrics."""
        with urllib.request.urlopen(f"http://{self.server.endpoints()['status']}/metrics", timeout=10) as reply:
            for line in reply.read().decode().splitlines():
                if line.startswith(name + " "):
                    return int(line.split()[1])
        raise HarnessError(f"/metrics has no {name}")

    def receipts_past(self):
        """Signatures that the ledger has and whose receipt is later than the deadline of their request."""
        with open(self.past) as f:
            until = {request: moment(us) for request, us in map(str.split, f)}
        if not until:
            return 0
        intents, count = {}, 0
        with subprocess.Popen([f"{self.server.bin}/kyso", "ledger", "export"], env=self.server.env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as export:
            for record in map(json.loads, export.stdout):
                if record.get("request_id") in until and record["type"] == "intent":
                    intents[record["index"]] = until[record["request_id"]]
                elif record.get("intent") in intents and record["outcome"] == SIGNED:
                    count += record["time"] > intents[record["intent"]]
        if export.returncode != 0:
            raise HarnessError(f"kyso ledger export: exit {export.returncode}")
        return count

    def processes(self):
        """(program's name, pid, /proc/PID/status) of kysod and of its roles."""
        kysod = self.server.process.pid
        with open(f"/proc/{kysod}/task/{kysod}/children") as f:
            pids = [kysod] + [int(pid) for pid in f.read().split()]
        for pid in pids:
            try:
                with open(f"/proc/{pid}/status") as f:
                    status = dict(line.split(":", 1) for line in f.read().splitlines())
            except OSError:  # it has ended
                continue
            yield status["Name"].strip(), pid, status

    def close(self):
        self.server.stop()


class Load:
    """A kyso-load that runs on command; it lives over all rounds because it knows which proofs are spent."""

    def __init__(self, bench, row, client="portal", relying_party="portal", skip=0, citizens=0):
        self.row, s = row, bench.server
        pki, ends = f"{s.state}/pki", s.endpoints()
        self.log = open(os.path.join(s.dir, f"load-{client}.log"), "w+")
        argv = [f"{s.bin}/kyso-load", "--endpoint", ends["signer"], "--cert", f"{pki}/{client}.pem",
                "--key", f"{pki}/{client}.key", "--ca", f"{pki}/tls-ca.pem", "--relying-party", relying_party,
                "--population", bench.population, "--skip", str(skip), "--citizens", str(citizens),
                "--steps", os.path.join(s.dir, f"steps-{skip}-{citizens}"), "--kysod", str(s.process.pid),
                "--status", ends["status"], "--proof", row.proof, "--hashes", str(row.hashes),
                "--connections", str(row.connections), "--warmup", str(WARMUP_S), "--deadline", str(row.deadline_ms),
                "--spread", str(bench.citizens if row.proof == "sad" and "token.cache_keys" in row.config else 0),
                "--after-in-flight", str(row.in_flight), "--interactive", *(["--stream"] if row.stream else [])]
        if row.deadline_ms:
            argv += ["--past-deadline", bench.past]
        err = None if sys.stderr.isatty() else self.log
        self.process = subprocess.Popen(argv, env=s.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        ended = self.process.wait(60)
        said = self.said()
        self.process.stdout.close()
        self.log.close()
        if ended not in (0, 1) and sys.exc_info()[0] is None:  # 1: there were errors, and they are in the row
            raise HarnessError(f"kyso-load ended with {ended}: {said}")

    def start(self, seconds, in_flight=None, rate=0.0, stock=0, after=0.0):
        self.seconds = seconds
        self.process.stdin.write(f"{seconds} {in_flight or self.row.in_flight} {rate:.1f} {stock} {after}\n")
        self.process.stdin.flush()

    def result(self):
        line = self.process.stdout.readline()
        if not line or "failed" in json.loads(line):
            raise HarnessError(f"kyso-load measured nothing: {self.said()}")
        got = json.loads(line)
        if got["seconds"] < self.seconds / 2:
            raise HarnessError(f"ended after {got['seconds']} s: {'proofs ran out' if got['exhausted'] else got.get('last_error')}")
        return got

    def run(self, *args, **named):
        self.start(*args, **named)
        return self.result()

    def said(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            return f.read().replace("\r", "\n")[-600:]


def run(argv, env):
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=None if sys.stderr.isatty() else subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr or ''}")
    return done.stdout


def module_of(server):
    with open(f"{server.state}/kyso.yaml") as f:
        for line in f:
            if line.strip().startswith("module:"):
                return line.split(":", 1)[1].strip()
    raise HarnessError("the configuration names no module")


def moment(us):
    """As the ledger writes it: order is that of the text."""
    return datetime.fromtimestamp(int(us) / 1e6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def mib(status, field):
    """Of /proc/PID/status; 0 of a process that is ending."""
    return int(status.get(field, "0 kB").split()[0]) / 1024


def say(text):
    print(text, file=sys.stderr, flush=True)
