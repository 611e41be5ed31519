#!/usr/bin/python3
"""The results as tables in Markdown.  report.py FILE.json prints an older one again."""

import json
import sys

NAMES = {
    "plain": "plain upsert",
    "capture": "capture_cart(session, items)",
    "facts": "capture_cart(..., email, context)",
    "batch": "capture_carts of 10, per cart",
    "plain_first": "plain insert of a new session",
    "first": "capture_cart, first of a session",
    "cte": "by hand, without events",
    "cte_events": "by hand, with events",
    "convert": "convert_order(id)",
}


def load(clients, sync):
    return f"{clients} client{'s' if clients > 1 else ''}, {'durable' if sync == 'on' else 'async'}"


def find(entries, clients, sync):
    for entry in entries or []:
        if entry["clients"] == clients and entry["synchronous_commit"] == sync:
            return entry
    return None


def targets(results):
    """What is promised: (text, measured, bound, at most or at least)."""
    rows = []

    def add(text, entry, name, key, bound, most=True, factor=1):
        if entry is not None:
            rows.append((text, entry[name][key] * factor, bound, most))

    counts = results.get("instructions")
    capture = results.get("capture")
    if counts:
        rows.append(("capture, instructions to plain", counts["capture"] / counts["plain"], 0.70, True))
    add("capture, p50 to plain, 1 client async", find(capture, 1, "off"), "capture", "p50_ratio", 0.95)
    add("capture, p50 to plain, 8 clients async", find(capture, 8, "off"), "capture", "p50_ratio", 0.90)
    add("capture, transactions/s to plain, 8 clients durable", find(capture, 8, "on"), "capture", "tps_ratio", 1.05, False)
    if "storage" in results:
        stored = results["storage"]["bytes"]
        rows.append(("stored bytes of a cart to jsonb", stored["line_items"] / stored["jsonb"], 0.5, True))
    convert = find(results.get("convert"), 1, "off")
    for name, text in (("cte", "without events"), ("cte_events", "with events")):
        if counts:
            rows.append((f"convert, instructions to by hand {text}", counts["convert"] / counts[name], 1.05, True))
        add(f"convert, p50 to by hand {text}, 1 client async", convert, "convert", "p50_ratio", 1.0, True,
            1 / convert[name]["p50_ratio"] if convert else 1)
    for clients, sync in ((8, "on"), (1, "off")):
        add(f"capture_carts of 10, carts/s to single calls, {load(clients, sync)}", find(results.get("batch"), clients, sync),
            "batch", "tps_ratio", 3, False, 10)
    return rows


def table(out, head, rows):
    out.write("| " + " | ".join(head) + " |\n")
    out.write("|---" + "|---:" * (len(head) - 1) + "|\n")
    for row in rows:
        out.write("| " + " | ".join(row) + " |\n")
    out.write("\n")


def write_targets(results, out):
    rows = []
    for text, value, bound, most in targets(results):
        met = value <= bound if most else value >= bound
        rows.append([text, f"{value:.2f}", f"{'≤' if most else '≥'} {bound:.2f}", "yes" if met else "**no**"])
    table(out, ["target", "measured", "to reach", "reached"], rows)


def write_comparison(entries, names, out, per_call=None):
    rows = []
    for entry in entries:
        for name in names:
            v = entry[name]
            factor = (per_call or {}).get(name, 1)
            rows.append([load(entry["clients"], entry["synchronous_commit"]), NAMES[name], f"{v['p50_us'] / factor:.0f}",
                         f"{v['p50_ratio'] / factor:.2f}", f"{v['p95_ratio'] / factor:.2f}",
                         f"{v['tps'] * factor:,.0f}", f"{v['tps_ratio'] * factor:.2f}"])
    table(out, ["load", "what", "p50, µs", "p50 ratio", "p95 ratio", "per second", "ratio"], rows)


def write(results, out):
    m = results["machine"]
    out.write(f"{m['cores']} cores of {m['cpu']}, {m['system']}, PostgreSQL {m.get('server', '?')}"
              f"{', quick run' if m['quick'] else ''}.\n\n")
    write_targets(results, out)
    counts = results.get("instructions")
    if counts:
        rows = []
        for base, names in (("plain", ("plain", "capture", "facts", "batch")), ("plain_first", ("plain_first", "first")),
                            ("cte", ("cte", "convert", "cte_events"))):
            rows += [[NAMES[name], f"{counts[name]:,.0f}", f"{counts[name] / counts[base]:.2f}"]
                     for name in names if name in counts]
        table(out, ["instructions of the backend per call", "", "ratio"], rows)
    if "capture" in results:
        write_comparison(results["capture"], ("plain", "capture", "facts"), out)
    if "batch" in results:
        write_comparison(results["batch"], ("capture", "batch"), out, {"batch": 10})
    if "convert" in results:
        write_comparison(results["convert"], ("cte", "convert", "cte_events"), out)
    if "storage" in results:
        s = results["storage"]
        table(out, ["bytes", "", "ratio"],
              [[f"a cart as {k}", f"{v:.0f}", f"{v / s['bytes']['jsonb']:.2f}"] for k, v in s["bytes"].items()] +
              [[f"WAL per update, {NAMES[k]}", f"{v['plain']:.0f}", f"{v['plain'] / s['wal']['plain']['plain']:.2f}"]
               for k, v in s["wal"].items()] +
              [[f"WAL per update just after a checkpoint, {NAMES[k]}", f"{v['after_checkpoint']:.0f}",
                f"{v['after_checkpoint'] / s['wal']['plain']['after_checkpoint']:.2f}"] for k, v in s["wal"].items()])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        write(json.load(file), sys.stdout)
