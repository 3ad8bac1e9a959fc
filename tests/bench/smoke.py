# SPDX-License-Identifier: Apache-2.0
"""The measuring itself is tested: a row of each kind, for a moment, against whatever build this is. Figures are not
judged, their shape is."""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROLES = {"authority", "front", "load", "vault"}

# What each row must say: every one of these is a number, and above nought unless it may be it.
POSITIVE = {
    "hot-p256": ("ceiling_per_s", "server_per_s", "ratio", "cpu_ratio", "p50_ms", "p99_ms", "p999_ms",
                 "fsyncs_per_sig", "commit_ms", "hsm_ms"),
    "inflight-1": ("p50_ms", "allowance_ms"),
    "open-half": ("p99_by_p50",),
    "overload-hot": ("peak_per_s", "offered_per_s", "goodput_per_s", "goodput_by_peak"),
    "mixed": ("alone_p50_ms", "alone_p99_ms", "beside_p50_ms", "beside_p99_ms", "p99_by_alone", "bulk_per_s"),
    "latency-p256": ("ceiling_per_s", "server_per_s", "ratio"),
    "hot-p256-threads": ("ceiling_per_s", "ratio", "workers"),
    "drift": ("unwrap_signs", "start_mib", "highest_mib", "end_mib", "samples"),
}
PRESENT = {
    "overload-hot": ("recovery_by_peak", "refused", "expired", "past_deadline", "past_deadline_50ms", "receipts_past_deadline", "unsent_share"),
    "drift": ("drift_mib", "vaults_replaced", "vault_restarts"),
}
ASKS = {"hot-p256": "ratio", "inflight-1": "p50_ms", "open-half": "p99_by_p50", "overload-hot": "past_deadline", "mixed": "p99_by_alone",
        "latency-p256": "ratio", "hot-p256-threads": "ratio", "drift": "drift_mib"}


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def check(row):
    name = row["name"]
    for figure in POSITIVE[name]:
        assert is_number(row.get(figure)) and row[figure] > 0, f"{name}: {figure} is {row.get(figure)}"
    for figure in PRESENT.get(name, ()):
        assert is_number(row.get(figure)), f"{name}: {figure} is {row.get(figure)}"
    assert ASKS[name] in [a["figure"] for a in row["asked"]], f"{name}: {row['asked']}"
    assert row["errors"] == 0 and row["errors_by_status"] == {}, row
    assert row["verified"] > 0, row


def main():
    with tempfile.TemporaryDirectory(prefix="kyso-bench-") as folder:
        path = os.path.join(folder, "rows.json")
        named = [word for name in POSITIVE for word in ("--row", name)]
        done = subprocess.run([os.path.join(HERE, "run"), *named, "--seconds", "0.3", "--rounds", "1", "--signatures", "20",
                               "--citizens", "40", "--totps", "15", "--json", path], stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"run ended with {done.returncode}"
        with open(path) as f:
            rows = {row["name"]: row for row in map(json.loads, f)}
    assert set(rows) == set(POSITIVE), list(rows)
    for row in rows.values():
        check(row)
    hot, flood = rows["hot-p256"], rows["overload-hot"]
    seen = {role for row in rows.values() for role in row.get("cpu_us_per_sig", ())}  # a role may use less than a tick in one of them
    assert ROLES <= seen, seen
    assert hot["verified"] >= 0.01 * hot["signatures"] > 0, (hot["verified"], hot["signatures"])
    assert hot["p50_ms"] <= hot["p99_ms"] <= hot["p999_ms"], hot
    assert flood["refused"] > 0, flood
    assert flood["offered_per_s"] > 2 * flood["peak_per_s"], flood
    best_of = rows["hot-p256-threads"]
    assert [max(tried.values()) for tried in best_of["ceilings_tried"]] == best_of["ceilings"], best_of
    assert set(best_of["ceilings_tried"][0]) == {"1", "2", "4"}, best_of
    assert rows["drift"]["unwrap_signs"] >= 20, rows["drift"]
    return 0


if __name__ == "__main__":
    sys.exit(main())
