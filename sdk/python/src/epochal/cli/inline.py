"""Operations and overlays made from options of `epochal run`, without a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from epochal.cli.documents import Document
from epochal.errors import InvalidArgument

MATRIX_KINDS: Final = ("grid", "random", "tpe", "asha", "cmaes", "bayes", "hyperband")
_LISTED: Final = ("choice", "range", "linspace", "logspace", "geomspace", "daterange")
_LISTS: Final = ("choice", "pchoice")
_SPACE: Final = re.compile(r"[a-z]+")


def hub_operation(reference: str) -> Document:
    """An operation that runs a registered component."""
    return _document({"kind": "operation", "hubRef": reference}, f"--hub {reference}")


def url_operation(url: str) -> Document:
    """An operation that runs a component of the web, where the platform allows it."""
    return _document({"kind": "operation", "urlRef": url}, f"--url {url}")


def command_operation(
    command: str,
    *,
    env: Mapping[str, str],
    resources: Mapping[str, str],
    ports: Sequence[int],
    image: str = "",
) -> Document:
    """An operation that runs one line of shell; a service when it has ports."""
    fields: dict[str, object] = {"version": 1.1, "kind": "component", "cmd": command}
    asked = {key: value for key, value in resources.items() if value}
    optional = {
        "env": dict(env),
        "resources": asked,
        "ports": list(ports),
        "container": {"image": image} if image else {},
    }
    fields |= {key: value for key, value in optional.items() if value}
    return _document(fields, "--cmd")


def matrix_overlay(
    hparams: Mapping[str, str], *, kind: str, concurrency: int, num_runs: int, metric: str
) -> Document | None:
    """An overlay that makes a sweep of the operation; None when no options ask for one.

    Spaces are written `KIND:VALUE`: `choice:0.1,0.2`, `uniform:0,1`, `range:0:10:2`.

    Raises:
        InvalidArgument: An option does not fit.
    """
    if not hparams:
        if kind or num_runs or metric:
            raise InvalidArgument("a sweep needs --hparams NAME=KIND:VALUE, such as lr=uniform:0,1")
        return None
    spaces = {name: _space(name, text) for name, text in hparams.items()}
    listed = all(space["kind"] in _LISTED for space in spaces.values())
    chosen = kind or ("grid" if listed and not metric else "tpe" if metric else "random")
    if chosen not in MATRIX_KINDS:
        raise InvalidArgument(f"--matrix-kind is one of {', '.join(MATRIX_KINDS)}, not {chosen!r}")
    matrix: dict[str, object] = {"kind": chosen, "params": spaces}
    if concurrency:
        matrix["concurrency"] = concurrency
    if num_runs:
        matrix["numInitialRuns" if chosen == "bayes" else "numRuns"] = num_runs
    elif chosen == "random":
        raise InvalidArgument("say how many runs a random sweep has: --matrix-num-runs 20")
    if metric:
        name, _, goal = metric.partition(":")
        matrix["metric"] = {"name": name, "optimization": goal or "minimize"}
    return _document({"kind": "operation", "isPreset": True, "matrix": matrix}, "--hparams")


def _space(name: str, text: str) -> dict[str, object]:
    kind, colon, value = text.partition(":")
    if not (colon and value and _SPACE.fullmatch(kind)):
        raise InvalidArgument(
            f"--hparams takes NAME=KIND:VALUE such as {name}=choice:0.1,0.2, not {name}={text}"
        )
    try:
        parsed: object = json.loads(value)
    except ValueError:
        parsed = None
    if isinstance(parsed, list | dict):
        return {"kind": kind, "value": parsed}
    if kind in _LISTS or "," in value:
        return {"kind": kind, "value": [_scalar(each) for each in value.split(",")]}
    return {"kind": kind, "value": value}


def _scalar(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return text.strip()
    return parsed


def _document(fields: Mapping[str, object], label: str) -> Document:
    return Document(json.dumps(fields).encode(), label)
