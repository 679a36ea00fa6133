"""Where agents are asked about commands inside runs: one subject for each agent and verb."""

from __future__ import annotations

import re
from typing import Final, Literal

Verb = Literal["open", "read", "write"]
VERBS: Final[tuple[Verb, ...]] = ("open", "read", "write")

#: How long an agent holds back the answer to a read that has nothing to tell yet.
HOLD_S: Final = 1.0

_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


def terminal_subject(agent: str, verb: Verb) -> str:
    """Returns the subject on which "agents/NAME" is asked; a name may hold dots, a token not."""
    return f"terminal.v1.{_NO_TOKEN.sub('_', agent.rpartition('/')[2])}.{verb}"
