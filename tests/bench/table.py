# SPDX-License-Identifier: Apache-2.0
"""The figures for people: the table, one line for each campaign, and what was asked beside what was reached."""

COMPARE = {"<=": lambda reached, bound: reached <= bound, ">=": lambda reached, bound: reached >= bound}

LINES = {
    "overload": (("peak_per_s", "peak {:.0f}/s"), ("offered_per_s", "offered {:.0f}/s"), ("goodput_per_s", "goodput {:.0f}/s"),
                 ("goodput_by_peak", "= {:.2f} of it"), ("refused", "refused {:.0f}"), ("refusal_p99_ms", "after p99 {:.1f} ms"),
                 ("expired_share", "expired {:.1%} of all"), ("unsent_share", "not sent {:.1%}"), ("past_deadline", "past deadline {}"), ("receipts_past_deadline", "({} by the ledger)"),
                 ("recovery_by_peak", "next second {:.2f} of peak"), ("p99_ms", "good p99 {:.0f} ms"), ("errors", "errors {}")),
    "mixed": (("alone_p50_ms", "alone p50 {:.2f}"), ("alone_p99_ms", "p99 {:.2f} ms"), ("beside_p50_ms", "beside p50 {:.2f}"),
              ("beside_p99_ms", "p99 {:.2f} ms"), ("p99_by_alone", "= {:.1f} times"), ("bulk_per_s", "bulk {:.0f}/s"),
              ("errors", "errors {}")),
    "drift": (("unwrap_signs", "{} unwrap-signs"), ("start_mib", "from {:.0f} MiB"), ("highest_mib", "to at most {:.0f} MiB"),
              ("end_mib", "at the end {:.0f} MiB"), ("vaults_replaced", "vaults replaced {}"), ("vault_restarts", "died {}"), ("errors", "errors {}")),
}


def judge(row, result):
    """Adds what was asked of the row and whether it was reached. A figure that is missing was not."""
    result["asked"] = []
    for figure, sense, bound in row.asks:
        limit = result.get(bound) if isinstance(bound, str) else bound
        reached = result.get(figure)
        met = None not in (limit, reached) and COMPARE[sense](reached, limit)
        result["asked"].append({"figure": figure, "sense": sense, "bound": limit, "reached": reached, "met": met})
    return result


def number(v, form):
    return "-" if v is None else format(v, form)


def show(results):
    show_ratios([r for r in results if r["kind"] == "ratio"])
    for r in results:
        if r["kind"] != "ratio":
            print(f"{r['name']:<18}" + ", ".join(form.format(r[key]) for key, form in LINES[r["kind"]] if r[key] is not None))
    show_asked(results)


def show_ratios(results):
    if not results:
        return
    head = f"{'row':<18}{'ceiling/s':>10}{'server/s':>10}{'ratio':>7}{'by CPU':>8}{'p50 ms':>9}{'p99 ms':>9}{'p999 ms':>9}" \
           f"{'fsync/sig':>11}{'errors':>8}{'verified':>10}  CPU us per signature"
    print(head)
    print("-" * len(head))
    for r in results:
        cpu = " ".join(f"{role} {us:.1f}" for role, us in r["cpu_us_per_sig"].items())
        print(f"{r['name']:<18}{r['ceiling_per_s']:>10.0f}{r['server_per_s']:>10.0f}{r['ratio']:>7.2f}"
              f"{number(r.get('cpu_ratio'), '.2f'):>8}{number(r['p50_ms'], '.2f'):>9}{number(r['p99_ms'], '.2f'):>9}{number(r['p999_ms'], '.2f'):>9}"
              f"{number(r['fsyncs_per_sig'], '.4f'):>11}{r['errors']:>8}{r['verified']:>10}  {cpu}")


def show_asked(results):
    if not any(r["asked"] for r in results):
        return
    print("\nasked" + " " * 13 + f"{'figure':<18}{'':>3}{'asked':>9}{'reached':>10}")
    for r in results:
        for a in r["asked"]:
            print(f"{r['name']:<18}{a['figure']:<18}{a['sense']:>3}{number(a['bound'], '.3g'):>9}"
                  f"{number(a['reached'], '.3g'):>10}  {'' if a['met'] else 'not met'}".rstrip())
