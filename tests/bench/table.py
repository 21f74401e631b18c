#!/usr/bin/python3
"""Reads the JSON lines of benchmarks from stdin and prints a table for people, a part for each kind."""

import json
import sys


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def first(line, *keys):
    return next((line[key] for key in keys if key in line), None)


def packet(line):
    return {
        "net min, ns": number(line["net_min_ns"]),
        "net median": number(line["net_median_ns"]),
        "floor": number(line["floor_min_ns"]),
        "unit": number(line["unit_min_ns"]),
        "net, units": number(line["net_min_units"], 1),
        "target, units": number(line.get("target_units"), 1),
    }


def live(line):
    return {
        "frames/s": number(line["frames_per_second"]),
        "bare XDP_TX": number(line["floor_frames_per_second"]),
        "share": number(100 * line["share_of_floor"]) + " %",
        "target": number(100 * line["target_share"]) + " %",
        "net min, ns": number(line["net_min_ns"]),
        "floor": number(line["floor_min_ns"]),
    }


def memory(line):
    return {"bytes": number(line["bytes"]), "entries": number(line.get("entries"))}


def milliseconds(line):
    return {
        "min, ms": number(first(line, "gross_min_ms", "min_ms"), 2),
        "median": number(first(line, "gross_median_ms", "median_ms"), 2),
        "floor": number(line["floor_min_ms"], 3),
    }


def tables(line):
    return {
        "total min, ms": number(line["total_min_ms"], 1),
        "median": number(line["total_median_ms"], 1),
        "longest step": number(line["longest_step_min_ms"], 3),
        "steps": number(line["steps"]),
        "floor": number(line["floor_min_ms"], 1),
    }


def checks(line):
    share = line.get("cpu_share")
    return {
        "checks/s": number(line.get("checks_per_second")),
        "checks/s of CPU": number(line.get("checks_per_cpu_second")),
        "floor": number(line.get("floor_per_cpu_second")),
        "CPU": "" if share is None else number(100 * share) + " %",
        "p99 start delay, ms": number(line.get("start_delay_p99_ms"), 1),
        "bytes": number(line.get("bytes_per_check")),
    }


COLUMNS = {"packet": packet, "agent": packet, "live": live, "memory": memory, "tables": tables,
           "checks": checks}


def show(kind, lines):
    rows = []
    for line in lines:
        cells = {kind: line["case"]}
        cells.update(COLUMNS.get(kind, milliseconds)(line))
        cells["load"] = number(line["load1"], 1)
        rows.append(cells)
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    name, *others = widths
    for row in [{key: key for key in widths}] + rows:
        cells = [row[name].ljust(widths[name])] + [row[key].rjust(widths[key]) for key in others]
        print("  ".join(cells).rstrip())
    print()


def main():
    kinds = {}
    for text in sys.stdin:
        line = json.loads(text)
        kinds.setdefault(line["bench"], []).append(line)
    for kind, lines in kinds.items():
        show(kind, lines)


if __name__ == "__main__":
    main()
