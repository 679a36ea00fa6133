"""The few lines we say to the person who trains, on stderr so that stdout stays theirs."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """Prints one line, unless EPOCHAL_QUIET is set or there is nowhere to print to."""
    if os.environ.get("EPOCHAL_QUIET") or sys.stderr is None:
        return
    print(f"epochal: {text}", file=sys.stderr, flush=True)
