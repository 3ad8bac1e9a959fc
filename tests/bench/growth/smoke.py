# SPDX-License-Identifier: Apache-2.0
"""A grown population must sign, over a clean start and over one after a kill. Figures are not judged, their shape is."""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    with tempfile.TemporaryDirectory(prefix="kyso-growth-") as folder:
        path = os.path.join(folder, "rows.json")
        done = subprocess.run([os.path.join(HERE, "run"), "--sizes", "200,1000", "--seconds", "0.5", "--rounds", "1",
                               "--starts", "1", "--signatures-per-citizen", "2", "--json", path], stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"run ended with {done.returncode}"
        with open(path) as f:
            rows = [json.loads(line) for line in f]
    assert [r["credentials"] for r in rows] == [200, 1000], rows
    for row in rows:
        assert row["errors"] == 0 and row["verified"] > 0 and row["signatures"] > 0, row
        assert 0 < row["p50_ms"] <= row["p99_ms"] and row["start_s"] > 0 and row["start_after_kill_s"] > 0, row
        assert all(row["memory_high_mib"][role] > 0 for role in ("authority", "front", "vault")), row
    return 0


if __name__ == "__main__":
    sys.exit(main())
