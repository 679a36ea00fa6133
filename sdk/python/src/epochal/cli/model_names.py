"""How models, versions and promotions are named on the command line."""

from __future__ import annotations

import re
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer

from epochal.cli.session import Session
from epochal.errors import InvalidArgument

ModelArgument = Annotated[str, typer.Argument(help="Its id or full name.")]
VersionArgument = Annotated[str, typer.Argument(help="MODEL/VERSION, such as digits/3.")]
PromotionArgument = Annotated[
    str, typer.Argument(help="MODEL/NUMBER, such as digits/7, or its full name.")
]
StageOption = Annotated[str, typer.Option("--stage", help="Such as Production.")]
AliasOption = Annotated[str, typer.Option("--alias", help="Such as champion.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")]

_SHORT: Final = re.compile(r"(?P<model>[^/]+)/(?P<number>\d+)")


def model_name(opened: Session, text: str) -> str:
    """The full name of a model given by its id or in full."""
    return text if "/" in text else f"{opened.project}/models/{text}"


def version_name(opened: Session, text: str) -> str:
    """The full name of a version given as MODEL/VERSION or in full.

    Raises:
        InvalidArgument: It is neither.
    """
    return _below(opened, text, "versions")


def promotion_name(opened: Session, text: str) -> str:
    """The full name of a promotion given as MODEL/NUMBER or in full.

    Raises:
        InvalidArgument: It is neither.
    """
    return _below(opened, text, "promotions")


def any_name(opened: Session, text: str) -> str:
    """The full name of a model, or of a version given as MODEL/VERSION."""
    return version_name(opened, text) if _SHORT.fullmatch(text) else model_name(opened, text)


def metrics_text(version: pb.ModelVersion) -> str:
    """Metrics on a line."""
    return "  ".join(f"{name}={value:.6g}" for name, value in sorted(version.metrics.items()))


def _below(opened: Session, text: str, kind: str) -> str:
    if f"/{kind}/" in text:
        return text
    found = _SHORT.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"{text!r} names none of the {kind}: write MODEL/NUMBER, as digits/3")
    return f"{opened.project}/models/{found['model']}/{kind}/{found['number']}"
