"""Outlives the agent by a moment, to end what the agent would leave behind.

Waits for the end of its standard input, which the agent holds open: when the agent is gone, for
whatever reason, every process it started is killed. Run as a plain script by `python -I -S`, so
it costs little memory and imports nothing of the platform.
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    """Waits, kills what carries the mark given as first argument, and ends."""
    mark = sys.argv[1]
    marks = runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "marks.py"))
    while os.read(0, 4096):
        pass
    marks["kill_marked"](mark)


if __name__ == "__main__":
    main()
