"""Run a benchmark and print what it measured.

uv run python -m benchmarks append
uv run python -m benchmarks ingest --json
uv run python -m benchmarks schedule --peers
uv run python -m benchmarks orchestrate --only temporal --only dagster
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
from pathlib import Path

from benchmarks.peers.comparing import LIMITS_S, peer_rows
from benchmarks.peers.environments import DEFAULT_FOLDER, PINS
from benchmarks.report import Row, print_table

NAMES = (
    "append",
    "archive",
    "audit",
    "replay",
    "gateway",
    "ingest",
    "lineage",
    "series",
    "monitor",
    "log_call",
    "artifacts",
    "search",
    "startup",
    "schedule",
    "orchestrate",
    "mlflow_door",
    "registry",
    "openlineage",
)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--full", action="store_true", help="the largest size too (search)")
    parser.add_argument("--peers", action="store_true", help="measure other programs as well")
    parser.add_argument(
        "--only", action="append", choices=sorted(PINS), help="measure this one, of the others"
    )
    parser.add_argument(
        "--peers-dir", type=Path, default=DEFAULT_FOLDER, help="where the others are installed"
    )
    args = parser.parse_args()
    peers = args.only or (list(PINS) if args.peers else [])
    if peers and args.name not in LIMITS_S:
        parser.error(f"there are others to compare with for {' and '.join(LIMITS_S)}")
    module = importlib.import_module(f"benchmarks.{args.name}")
    started = time.time()
    if args.full and args.name != "search":
        parser.error("--full is for search")
    sizes = {"full": True} if args.full else {}
    rows: list[Row] = asyncio.run(module.run(args.seconds, **sizes))
    if peers:  # the others take minutes: what is known is said, and is there when they are stopped
        for row in rows:
            print(json.dumps(row.as_json()), file=sys.stderr, flush=True)
    rows += peer_rows(args.name, rows, peers, args.peers_dir)
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
