"""Questions that both servers are asked: `questions.jsonl`, one a line.

Each has a verb, a path (one that begins with a slash is whole), what is said, and why the answers
differ where they do. In what is said, "$run" and the like stand for what a server has, "$x*501" for
a text of 501 x, and {"$times": 9, "$of": ...} for a list, in which "$n" is the place.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

REPEATED = re.compile(r"\$(.)\*(\d+)")


@dataclass(frozen=True)
class Things:
    """What a server has that questions are about."""

    experiment: str
    run: str
    model: str
    trace: str


@dataclass(frozen=True)
class Question:
    """One question; `differs` says why the answers do, and is empty when they do not."""

    verb: str
    path: str
    said: object
    differs: str = ""

    def about(self, things: Things) -> object:
        """What is said of a server's own things."""
        return _filled(self.said, asdict(things))


def questions() -> list[Question]:
    """Every question, in the order they are asked."""
    text = (Path(__file__).parent / "questions.jsonl").read_text()
    return [Question(**json.loads(line)) for line in text.splitlines()]


def _filled(said: object, things: dict[str, str]) -> object:
    if isinstance(said, dict):
        if "$times" in said:
            times = range(int(said["$times"]))
            return [_filled(said["$of"], {**things, "n": str(place)}) for place in times]
        return {key: _filled(value, things) for key, value in said.items()}
    if isinstance(said, list):
        return [_filled(one, things) for one in said]
    if not isinstance(said, str):
        return said
    repeated = REPEATED.fullmatch(said)
    if repeated is not None:
        return repeated[1] * int(repeated[2])
    for name, thing in things.items():
        said = said.replace(f"${name}", thing)
    return said
