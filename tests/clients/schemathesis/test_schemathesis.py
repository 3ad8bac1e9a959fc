# SPDX-License-Identifier: Apache-2.0
"""schemathesis, from the package index, judges kyso-web by deploy/openapi/csc.yaml: requests that fit and that do not, no server error, and every
answer as the file says. KYSO_ROUNDS: examples for each operation (3)."""

import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from web import WebCase, harness  # noqa: E402

PROGRAM = os.path.join(os.environ.get("KYSO_SCHEMATHESIS", ""), "bin/schemathesis")
SCHEMA = os.path.join(harness.ROOT, "deploy/openapi/csc.yaml")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class OpenApi(WebCase):
    options = "limits:\n  held: 1000000\n"
    config = {"policy.client_failures_per_minute": 100000}

    @classmethod
    def seed(cls):
        cls.h.add_citizen("alice", totps=1, device=None)

    @unittest.skipUnless(os.path.exists(PROGRAM), "schemathesis could not be installed from the package index: NOTHING OF IT WAS RUN")
    def test_answers_are_as_described(self):
        done = subprocess.run([PROGRAM, "run", SCHEMA, "--url", f"http://127.0.0.1:{self.web.port}", "--checks", CHECKS, "--workers", "1",
                               "--max-examples", os.environ.get("KYSO_ROUNDS", "3"), "--phases", "examples,coverage,fuzzing",
                               "--generation-deterministic", "--suppress-health-check", "all", "--exclude-operation-id-regex", "auth_revoke",
                               "--header", f"Authorization: Bearer {self.web.token('ministry-a')}", "--no-color"],
                              capture_output=True, text=True, cwd=self.h.dir)
        self.assertEqual(done.returncode, 0, done.stdout[-12000:] + done.stderr[-2000:])
        print("figures: schemathesis", *re.findall(r"\d+ generated, \d+ passed", done.stdout), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
