"""Run a benchmark and print what it measured.

uv run python -m benchmarks append
uv run python -m benchmarks ingest --json
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import platform
import sys
import time

from benchmarks.report import Row, print_table

NAMES = ("append", "replay", "gateway", "ingest", "startup", "schedule", "orchestrate")


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    args = parser.parse_args()
    module = importlib.import_module(f"benchmarks.{args.name}")
    started = time.time()
    rows: list[Row] = asyncio.run(module.run(args.seconds))
    if args.json:
        document = {
            "benchmark": args.name,
            "machine": {
                "cores": len(os.sched_getaffinity(0)),
                "python": platform.python_version(),
                "system": platform.platform(),
            },
            "started": started,
            "rows": [row.as_json() for row in rows],
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print_table(args.name, rows)


if __name__ == "__main__":
    main()
