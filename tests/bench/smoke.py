# SPDX-License-Identifier: Apache-2.0
"""The measuring itself is tested: one short row against whatever build this is. Figures are not judged, their shape is."""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBERS = ("ceiling_per_s", "server_per_s", "ratio", "p50_ms", "p99_ms", "p999_ms", "fsyncs_per_sig")
ROLES = {"authority", "front", "load", "vault"}


def main():
    with tempfile.TemporaryDirectory(prefix="kyso-bench-") as folder:
        path = os.path.join(folder, "rows.json")
        done = subprocess.run([os.path.join(HERE, "run"), "--row", "hot-p256", "--seconds", "1", "--rounds", "1",
                               "--citizens", "16", "--json", path], stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"run ended with {done.returncode}"
        with open(path) as f:
            rows = [json.loads(line) for line in f]
    assert [r["name"] for r in rows] == ["hot-p256"], rows
    row = rows[0]
    for name in NUMBERS:
        assert isinstance(row[name], (int, float)) and row[name] > 0, f"{name}: {row[name]}"
    assert ROLES <= set(row["cpu_us_per_sig"]), row["cpu_us_per_sig"]
    assert row["errors"] == 0 and row["errors_by_status"] == {}, row
    assert row["verified"] >= 0.01 * row["signatures"] > 0, (row["verified"], row["signatures"])
    assert row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"], row
    return 0


if __name__ == "__main__":
    sys.exit(main())
