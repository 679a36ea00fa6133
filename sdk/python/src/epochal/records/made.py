"""What an encoder makes: the bytes of a record, and what is known of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import epochal_proto.v1 as pb

from epochal.errors import FailedPrecondition, InvalidArgument, Violation


@dataclass(frozen=True, slots=True)
class Made:
    """A record that is not logged yet.

    Attributes:
        about: kind, media type, caption and summary; the rest is set when it is logged.
        content: its bytes, or the file that has them.
        suffix: of its file's name, such as ".png".
    """

    about: pb.Record
    content: bytes | Path
    suffix: str


def package(name: str, why: str) -> ModuleType:
    """Imports an optional package when it is needed.

    Raises:
        FailedPrecondition: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        root = name.partition(".")[0]
        raise FailedPrecondition(
            f"{why} needs {root}, which is not installed here: pip install {root}",
            reason="PACKAGE_MISSING",
        ) from None


def wrong(field: str, rule: str, message: str) -> InvalidArgument:
    """Makes the error for an argument that cannot be logged."""
    return InvalidArgument(message, violations=[Violation(field, rule, message)])


def existing(path: str | Path) -> Path:
    """Returns the path of a file that is there.

    Raises:
        InvalidArgument: There is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise wrong("path", "exists", f"there is no file {file}")
    return file
