# SPDX-License-Identifier: Apache-2.0
"""The project's own rules, each a function from a tree to a list of complaints. `lint.py ROOT` runs them on the project; `lint.py
--self-test` plants one violation per rule in a copy of nothing but that violation, and fails if a rule stays silent."""

import fnmatch
import os
import re
import subprocess
import sys
import tempfile

SOURCE_DIRS = ("proto", "hsm", "policy", "signer", "tests")

# Who may include whose headers (the folder of a source file -> folders whose private or public headers it may name).
MAY_INCLUDE = {"proto": {"proto"}, "hsm": {"hsm", "proto"}, "policy": {"policy", "proto"},
               "signer": {"signer", "proto", "hsm", "policy"}}
BANNED = {
    "gets": "reads without a limit", "strcpy": "copies without a limit", "strcat": "copies without a limit",
    "sprintf": "prints without a limit", "vsprintf": "prints without a limit", "rand": "is predictable",
    "srand": "is predictable", "random": "is predictable", "drand48": "is predictable", "system": "runs a shell",
    "popen": "runs a shell", "atoi": "hides errors", "strtok": "keeps hidden state", "tmpnam": "races",
    "alloca": "overflows the stack", "localtime": "keeps hidden state", "gmtime": "keeps hidden state",
}
# memcmp tells by its time where two secrets differ: public bytes only, in these files.
MEMCMP_ALLOWED = {line.split("#")[0].strip() for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                                           "memcmp-allowed"))} - {""}
SYMBOL_PREFIXES = {"proto": ("ky_", "door_", "job_", "ledger_", "merkle_", "row_", "control_", "kyso_"),
                   "policy": ("policy_",), "hsm": ("hsm_",)}


def files(root, *endings, dirs=SOURCE_DIRS):
    for top in dirs:
        for folder, _, names in os.walk(os.path.join(root, top)):
            if "node_modules" in folder or "__pycache__" in folder:
                continue
            for name in sorted(names):
                if name.endswith(endings):
                    path = os.path.join(folder, name)
                    yield os.path.relpath(path, root), open(path, errors="replace").read()


def without_comments(text):
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())  # noqa: E731
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"', blank, text, flags=re.S)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def rule_includes(root):
    owner = {}
    for path, _ in files(root, ".h", dirs=("proto", "hsm", "policy", "signer")):
        owner.setdefault(os.path.basename(path), set()).add(path.split("/")[0])
    for path, text in files(root, ".c", ".h", dirs=tuple(MAY_INCLUDE)):
        here = path.split("/")[0]
        for m in re.finditer(r'^#include "([^"]+)"', text, re.M):
            folders = owner.get(os.path.basename(m.group(1)), set())
            if folders and not folders & MAY_INCLUDE[here]:
                yield f"{path}:{line_of(text, m.start())}: {here} must not include {m.group(1)}"


def rule_banned_calls(root):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path, text in files(root, ".c", ".h", dirs=("proto", "hsm", "policy", "signer")):
        code = without_comments(text)
        for m in pattern.finditer(code):
            yield f"{path}:{line_of(code, m.start())}: {m.group(1)} {BANNED[m.group(1)]}"


def rule_memcmp(root):
    for path, text in files(root, ".c", ".h", dirs=("proto", "hsm", "policy", "signer")):
        code = without_comments(text)
        for m in re.finditer(r"(?<!\w)memcmp\s*\(", code):
            if path not in MEMCMP_ALLOWED:
                yield (f"{path}:{line_of(code, m.start())}: memcmp: use ky_span_eq_ct, or list the file in "
                       "tests/lint/memcmp-allowed when the bytes are public")


def rule_header_line(root):
    for path, text in files(root, ".c", ".h", ".py", ".proto", "CMakeLists.txt"):
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.split("\n")[:3]):
            yield f"{path}:1: no SPDX line"


def rule_header_form(root):
    for path, text in files(root, ".c", ".h"):
        if not text.startswith(SPDX):
            yield f"{path}:1: does not open with {SPDX.strip()}"


def rule_unfinished(root):
    word = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for path, text in files(root, ".c", ".h", ".py", ".sh"):
        for m in word.finditer(text):
            yield f"{path}:{line_of(text, m.start())}: unfinished: {m.group()}"


def rule_headers_compile_alone(root):
    flags = subprocess.run(["pkg-config", "--cflags", "libprotobuf-c", "libevent", "jansson", "p11-kit-1"],
                           capture_output=True, text=True).stdout.split()
    generated = os.environ.get("KYSO_GENERATED")
    include = ["-Iproto/include", "-Ipolicy/include", "-Ihsm/include"] + ([f"-I{generated}"] if generated else [])
    private = {"signer/": ["signer/common", "signer/common/ledger", "signer/client", "signer/http", "proto/command", "proto/head",
                           "hsm", "hsm/ceremony"],
               "hsm/ceremony/": ["hsm", "proto/command", "proto/yaml"]}
    for path, _ in files(root, ".h", dirs=("proto", "hsm", "policy", "signer")):
        # a private header sees its own folder, and those that its library names
        near = [f"-I{p}" for p in [os.path.dirname(path)] + [n for top in private if path.startswith(top) for n in private[top]]]
        done = subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", *include, *near, *flags,
                               path], cwd=root, capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{path}:1: does not compile alone: {done.stderr.strip().splitlines()[0]}"


def rule_symbol_prefixes(root):
    build = os.environ.get("KYSO_BUILD")
    for folder, prefixes in SYMBOL_PREFIXES.items():
        library = os.path.join(build or root, folder, f"libkyso_{folder}.a")
        if not os.path.exists(library):
            continue
        out = subprocess.run(["nm", "-g", "--defined-only", library], capture_output=True, text=True).stdout
        for m in re.finditer(r"^[0-9a-f]+ [TDBRV] (\w+)$", out, re.M):
            if not m.group(1).startswith(prefixes) and not m.group(1).startswith("__"):
                yield f"libkyso_{folder}.a: {m.group(1)} lacks the prefix {' or '.join(prefixes)}"


def rule_workplace(root):
    """The project speaks of itself alone."""
    pattern = re.compile("/(wo" "rk|fa" "rm)/|\\.lib" "rary|sha" "red/(DES" "IGN|STY" "LE|fa" "cts)")
    for path, text in files(root, ".c", ".h", ".py", ".md", ".txt", ".js", ".yaml", dirs=SOURCE_DIRS + ("deploy",)):
        for m in pattern.finditer(text):
            yield f"{path}:{line_of(text, m.start())}: names something outside the project"


# Faults that have no test yet: PostgreSQL (52-54), a witness (56).
NOT_YET = {52, 53, 54, 56}


def catalogue(root, path):
    """A catalogue's rows by their numbers, each with the names of its tests; and the text of its last column."""
    try:
        with open(os.path.join(root, path)) as f:
            rows = dict(re.findall(r"^\| (\d+) \|.*\|(.*)\|$", f.read(), re.M))
    except OSError:
        rows = {}
    return {int(number): (re.findall(r"`([\w*]+)`", text), text) for number, text in rows.items()}


def tests_of(root):
    """The names of all test functions."""
    found = set()
    for _, source in files(root, ".c", ".py", dirs=("tests",)):
        found.update(re.findall(r"^(?:static void|\s+def) (\w+)\((?:void \*\*|self)", source, re.M))
    return found


def rule_fault_catalogue(root):
    """tests/FAULTS.md has a row for each fault, and each row names tests that exist, by the fault's number."""
    path, rows, tests = "tests/FAULTS.md", catalogue(root, "tests/FAULTS.md"), tests_of(root)
    for number in range(1, 61):
        names, text = rows.get(number, ((), ""))
        if not names and not ("not yet" in text and number in NOT_YET):
            yield f"{path}: fault {number} has no test"
        if names and not any(n.startswith((f"test_{number:02}_", f"fault_{number:02}_")) for n in names):
            yield f"{path}: no test of fault {number} carries its number"
        for name in names:
            if not fnmatch.filter(tests, name):
                yield f"{path}: fault {number}: there is no test {name}"


def rule_compliance(root):
    """tests/compliance.md has a row for each of the 40 lines, and each row names tests that exist; from 24 to 39 by its number."""
    path, rows, tests = "tests/compliance.md", catalogue(root, "tests/compliance.md"), tests_of(root)
    for number in range(1, 41):
        names, text = rows.get(number, ((), ""))
        if not names and text.strip() != "-":
            yield f"{path}: line {number} has no test"
        if 24 <= number <= 39 and not any(n.startswith(f"test_compliance_{number}_") for n in names):
            yield f"{path}: no test of line {number} carries its number"
        for name in names:
            if not fnmatch.filter(tests, name):
                yield f"{path}: line {number}: there is no test {name}"


RULES = [rule_includes, rule_banned_calls, rule_memcmp, rule_header_line, rule_header_form, rule_unfinished,
         rule_headers_compile_alone, rule_symbol_prefixes, rule_workplace,
         rule_fault_catalogue, rule_compliance]

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
VIOLATIONS = {
    "rule_includes": [("policy/a.c", SPDX + '#include "kyso/vault_private.h"\n'), ("hsm/vault_private.h", SPDX)],
    "rule_banned_calls": [("hsm/a.c", SPDX + "void f(char *p) { sprintf(p, 0); }\n")],
    "rule_memcmp": [("signer/a.c", SPDX + "int f(void *p) { return memcmp(p, p, 1); }\n")],
    "rule_header_line": [("proto/a.c", "int x;\n")],
    "rule_header_form": [("proto/a.c", "// SPDX-License-Identifier: Apache-2.0\nint x;\n")],
    "rule_unfinished": [("proto/a.c", SPDX + "/* TO" "DO: later */\n")],
    "rule_headers_compile_alone": [("proto/a.h", SPDX + "uint32_t f(void);\n")],
    "rule_fault_catalogue": [("tests/FAULTS.md", "| 1 | x | y | `test_01_gone` |\n"), ("tests/test_a.py", "def test_01_here(self):\n")],
    "rule_compliance": [("tests/compliance.md", "| 1 | x | `test_gone` |\n"), ("tests/test_a.py", "def test_here(self):\n")],
    "rule_workplace": [("proto/a.c", SPDX + "/* see /wo" "rk/notes */\n")],
}


def self_test():
    bad = 0
    for rule in RULES:
        with tempfile.TemporaryDirectory() as root:
            if rule is rule_symbol_prefixes:
                os.makedirs(f"{root}/policy")
                subprocess.run(["cc", "-x", "c", "-c", "-", "-o", f"{root}/a.o"], input="int stray(void) { return 0; }",
                               text=True, check=True)
                subprocess.run(["ar", "rc", f"{root}/policy/libkyso_policy.a", f"{root}/a.o"], check=True)
                os.environ["KYSO_BUILD"] = root
            for path, text in VIOLATIONS.get(rule.__name__, ()):
                os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
                with open(f"{root}/{path}", "w") as f:
                    f.write(text)
            found = list(rule(root))
            print(f"{rule.__name__}: {found[0] if found else 'SILENT'}")
            bad += not found
    return bad


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    complaints = [c for rule in RULES for c in rule(sys.argv[1])]
    print("\n".join(complaints) or "no complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
