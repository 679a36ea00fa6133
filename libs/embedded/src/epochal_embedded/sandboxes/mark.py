"""`fork.json` in a data folder: it is, or is becoming, a fork.

Written first with `complete: false` and last with `true`, so that a fork that was killed midway can
be told from one that is done, and from a platform of its own. The services have a mark of their own
in the database (`log.fork`); this one is for what runs before they do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from epochal_kernel.acts import Act, allowed_acts
from epochal_kernel.errors import InvalidArgument

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home
from epochal_embedded.servers.folders import write_private

ALLOWS: Final = "EPOCHAL_FORK_ALLOWS"

#: Variables that lead to places of the platform that was forked. A fork's programs get none.
LEADING_OUT: Final = frozenset(
    f"EPOCHAL_{name}"
    for name in (
        *("OBJECT_STORE_URL", "AUDIT_ORIGIN", "AUDIT_SIGNING_KEY", "AUDIT_WITNESSES"),
        *("GATEWAY_PUBLIC_GRPC", "PUBLIC_URL", "OTLP_ENDPOINT"),
    )
)

#: Events that a service replays in a second at the least, on a slow machine.
_REPLAYED_PER_S = 2_000


@dataclass(frozen=True, slots=True)
class ForkMark:
    """What a data folder says of its fork.

    Attributes:
        complete: whether all of the history is there.
        fork_id: the same as in the log.
        source: where it is from, in words.
        position: the last position that is the source's.
        forked_at: ISO time.
    """

    complete: bool
    fork_id: str
    source: str
    position: int = 0
    forked_at: str = ""

    def write(self, home: Home) -> None:
        """Replace the file durably."""
        write_private(_path(home), json.dumps(asdict(self), indent=2) + "\n")

    def done(self, position: int, forked_at: str) -> ForkMark:
        """Return the mark of the same fork, complete."""
        return replace(self, complete=True, position=position, forked_at=forked_at)

    @property
    def patience_s(self) -> float:
        """How much longer than another platform its services may take to their first answer."""
        return self.position / _REPLAYED_PER_S


def read_mark(home: Home) -> ForkMark | None:
    """Return what a data folder says of its fork; None for a platform of its own.

    Raises:
        EmbeddedError: the file is damaged.
    """
    path = _path(home)
    try:
        return ForkMark(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EmbeddedError(
            f"{path} is damaged ({error}). Fork again into another folder."
        ) from error


def runnable(home: Home, environ: Mapping[str, str] = os.environ) -> ForkMark | None:
    """Return the mark of a fork that may start, None for a platform of its own.

    Raises:
        EmbeddedError: the fork is not complete, or would use servers that are not its own.
    """
    mark = read_mark(home)
    if mark is None:
        return None
    if not mark.complete:
        raise EmbeddedError(
            f"{home.root} is a fork that was not completed. Run `epochal audit fork --to "
            f"{home.root}` again, which begins it anew; or delete the folder."
        )
    for name in ("EPOCHAL_DATABASE_URL", "EPOCHAL_NATS_URL"):
        if environ.get(name):
            raise EmbeddedError(
                f"{home.root} is a fork and runs on servers of its own: unset {name}, which leads "
                "to another platform's."
            )
    return mark


def may(mark: ForkMark | None, act: Act, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a platform acts so of its own accord.

    Raises:
        EmbeddedError: EPOCHAL_FORK_ALLOWS allows what there is not.
    """
    try:
        return mark is None or act in allowed_acts(environ.get(ALLOWS, ""))
    except InvalidArgument as error:
        raise EmbeddedError(error.message) from error


def _path(home: Home) -> Path:
    return home.root / "fork.json"
