# SPDX-License-Identifier: Apache-2.0
"""Every command that people type: explained with an example, in the manual page, completed, and clear about a mistake."""

import os
import re
import shutil
import subprocess
import unittest

import base

BIN = os.environ.get("KYSO_BIN") or os.path.join(base.harness.ROOT, "build/dev/bin")
TABLED = ("kyso", "kyso-ceremony")
EXITS = {"ok": 0, "failed": 1, "usage": 2, "unreachable": 3, "unverified": 4, "no-token": 5, "token-full": 6}


def run(program, *words, **env):
    return subprocess.run([f"{BIN}/{program}", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "KYSO_CONFIG": "/nowhere/kyso.yaml", **env}, timeout=60)


def plain(troff):
    return troff.replace("\\-", "-").replace("\\e", "\\")


def commands(program):
    """As its help lists them."""
    listed = run(program, "help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return [re.split(r"  +", line.strip())[0] for line in listed.splitlines()]


def completed(program, script, *words):
    """What bash offers for the last word."""
    line = f"{script}\nCOMP_WORDS=({' '.join(repr(w) for w in (program, *words))}); COMP_CWORD={len(words)}; _{program}; echo \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.split()


class Help(unittest.TestCase):
    def one_line(self, done, code):
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (code, "", 1), done.stderr)

    def test_every_command_is_explained(self):
        for program in TABLED:
            man = plain(run(program, "help", "--man").stdout)
            for words in commands(program):
                with self.subTest(command=f"{program} {words}"):
                    done = run(program, *words.split(), "--help")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    example = re.search(r"^Example: (.+)$", done.stdout, re.M).group(1)
                    self.assertTrue(example.startswith(f"{program} {words}"), example)
                    self.assertIn("Exit status:", done.stdout)
                    self.assertIn(f"\n.SS {words}\n", man)
                    self.assertIn(f"\n{example}\n", man)

    def test_every_command_is_completed(self):
        for program in TABLED:
            script = run(program, "help", "--completion", "bash").stdout
            for words in commands(program):
                with self.subTest(command=f"{program} {words}"):
                    *family, last = words.split()
                    self.assertIn(last, completed(program, script, *family, last[:1]))
                    options = re.findall(r"^  (--[\w-]+)", run(program, *words.split(), "--help").stdout, re.M)
                    self.assertEqual(set(options) - set(completed(program, script, *words.split(), "--")), set())

    def test_a_mistake_is_one_line_and_2(self):
        for program in TABLED:
            self.one_line(run(program, "frobnicate"), EXITS["usage"])
            for words in commands(program):
                with self.subTest(command=f"{program} {words}"):
                    self.one_line(run(program, *words.split(), "--no-such-option"), EXITS["usage"])

    def test_kysod(self):
        shown, man = run("kysod", "--help").stdout, plain(run("kysod", "--man").stdout)
        script = run("kysod", "--completion").stdout
        options = re.findall(r"^  (--[\w-]+)", shown, re.M)
        self.assertEqual(set(options), set(completed("kysod", script, "--")))
        for option in options:
            self.assertIn(f"\\fB{option}\\fR", man)
        self.assertGreaterEqual(len(re.findall(r"^  kysod --config", shown, re.M)), 4)
        for words in (["--frob"], ["--config"], ["here"], ["--init"], ["--operator", "a:b"], ["--restore", "x"], ["--probe", "--check-config"]):
            with self.subTest(words=words):
                self.one_line(run("kysod", *words), EXITS["usage"])
        self.one_line(run("kysod"), EXITS["failed"])  # no configuration

    @unittest.skipUnless(shutil.which("man"), "no man")
    def test_manual_pages_have_no_mistakes(self):
        for argv in (["kyso", "help", "--man"], ["kyso-ceremony", "help", "--man"], ["kysod", "--man"]):
            done = subprocess.run(["man", "--warnings", "-l", "-"], input=run(*argv).stdout, capture_output=True, text=True,
                                  env={**os.environ, "MANPAGER": "cat"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), argv)

    def test_exit_codes_are_one_table(self):
        """What the programs tell of a code is told by the header that all of them use."""
        with open(os.path.join(base.harness.ROOT, "proto/include/kyso/exit.h")) as f:
            header = {name.lower().replace("_", "-"): int(n) for name, n in re.findall(r"KY_EXIT_(\w+) = (\d+)", f.read())}
        self.assertEqual(header, EXITS)
        for program, words in (("kyso", ["help"]), ("kyso-ceremony", ["help"]), ("kysod", ["--help"])):
            told = set(map(int, re.findall(r"^  (\d)  ", run(program, *words).stdout.split("Exit status:")[1], re.M)))
            self.assertTrue({0, 1, 2} <= told <= set(EXITS.values()), told)


class Token(unittest.TestCase):
    """A token that is not there, and one that is full."""

    def setUp(self):
        self.h = base.harness.Harness(bin_dir=BIN)
        self.addCleanup(self.h.stop)
        self.h.make_state()
        self.operator = base.harness.reader(self.h.dir)  # any certificate

    def init(self, **env):
        done = subprocess.run([f"{BIN}/kysod", "--config", f"{self.h.state}/kyso.yaml", "--init", "--operator",
                               f"demo:{self.operator}"], env={**self.h.env, **env}, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stderr

    def test_no_token(self):
        self.h.config = {"token.uri": "pkcs11:token=nowhere"}
        self.h.configure()
        code, said = self.init()
        self.assertEqual(code, EXITS["no-token"], said)
        self.assertEqual(len([line for line in said.splitlines() if "token-error" in line]), 1, said)

    def test_a_full_token(self):
        script = f"{self.h.dir}/full.script"
        with open(script, "w") as f:
            f.write("C_GenerateKey return CKR_DEVICE_MEMORY\n")
        self.h.config = {"token.module": f"{BIN}/kyso-fault.so"}
        self.h.configure()
        code, said = self.init(KYSO_FAULT_SCRIPT=script)
        self.assertEqual(code, EXITS["token-full"], said)
        self.assertEqual(len([line for line in said.splitlines() if "key-refused" in line]), 1, said)


if __name__ == "__main__":
    unittest.main()
