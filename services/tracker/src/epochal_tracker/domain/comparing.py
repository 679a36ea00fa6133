"""Compares two runs: what differs, what is equal, what nobody recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import epochal_proto.v1 as pb

#: Sections in the order in which they are told.
SECTIONS = ("code", "inputs", "params", "environment", "metrics", "spec", "outputs")
_CAPTURED = ("code", "inputs", "environment")


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs; `capture` and `spec` are None when there is none."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, str]
    outputs: Mapping[str, str]
    capture: pb.Capture | None
    spec: str | None


def compare(left: Side, right: Side) -> pb.CompareRunsResponse:
    """Return what differs, by section and name."""
    answer = pb.CompareRunsResponse(unknown=list(_unknown(left, right)))
    sides = _sections(left), _sections(right)
    for section in SECTIONS:
        first, second = (side.get(section, {}) for side in sides)
        for name in sorted(first.keys() | second.keys()):
            ours, theirs = first.get(name), second.get(name)
            if ours == theirs:
                answer.equal[section] += 1
                continue
            answer.differences.add(section=section, name=name, left=ours or "", right=theirs or "")
    return answer


def value_text(value: pb.Value) -> str:
    """Return a value as people write it."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return ""
    found = getattr(value, kind)
    return str(found).lower() if kind == "bool_value" else str(found)


def flattened(text: str) -> dict[str, str]:
    """Return a JSON document as leaves by path, such as "run.container.args[0]"."""
    return dict(_leaves("", json.loads(text))) if text else {}


def _sections(side: Side) -> dict[str, Mapping[str, str]]:
    capture = side.capture
    known: dict[str, Mapping[str, str]] = {
        "params": side.params,
        "metrics": side.metrics,
        "outputs": side.outputs,
        "spec": flattened(side.spec or ""),
    }
    if capture is not None:
        known |= {
            "code": _code(capture),
            "inputs": dict(capture.inputs),
            "environment": _environment(capture),
        }
    return known


def _code(capture: pb.Capture) -> dict[str, str]:
    git = capture.git
    found = {
        "command": " ".join(capture.command),
        "git.url": git.url,
        "git.commit": git.commit,
        "git.branch": git.branch,
        "git.diff": git.diff_digest or ("dirty" if git.dirty else ""),
        "upload": capture.upload_digest,
    }
    return {name: value for name, value in found.items() if value}


def _environment(capture: pb.Capture) -> dict[str, str]:
    found = {"interpreter": capture.interpreter} if capture.interpreter else {}
    for prefix, values in (
        ("package", capture.packages),
        ("hardware", capture.hardware),
        ("seed", capture.seeds),
    ):
        found |= {f"{prefix}:{name}": value for name, value in values.items()}
    return found


def _unknown(left: Side, right: Side) -> Iterator[str]:
    for side in (left, right):
        if side.capture is None:
            sections = ", ".join(_CAPTURED)
            yield f"{side.name} recorded no capture: {sections} cannot be compared"
        else:
            yield from (f"{side.name}: {missing}" for missing in side.capture.missing)


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)
