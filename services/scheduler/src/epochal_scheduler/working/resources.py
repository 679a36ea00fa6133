"""What a plan asks for, as Kubernetes writes amounts: `500m` cores, `1Gi` bytes, whole GPUs."""

from __future__ import annotations

from collections.abc import Mapping

import epochal_proto.v1 as pb
from pydantic import JsonValue

_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
_GPUS = ("gpu", "nvidia.com/gpu", "amd.com/gpu")


def amount(text: JsonValue) -> float:
    """Returns an amount as a number; what is none counts as nothing.

    Source: Kubernetes, `resource.Quantity`.
    """
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        return 0.0
    word = str(text).strip()
    for suffix in sorted(_UNITS, key=len, reverse=True):
        number = word.removesuffix(suffix) if suffix else word
        if suffix and number == word:
            continue
        try:
            return max(0.0, float(number) * _UNITS[suffix])
        except ValueError:
            continue
    return 0.0


def resources_of(container: Mapping[str, JsonValue]) -> pb.Resources:
    """Returns what a container asks for: its requests, or else its limits.

    Args:
        container: `{"requests": {...}, "limits": {...}}`.
    """
    asked: dict[str, float] = {}
    for section in ("limits", "requests"):
        given = container.get(section)
        if isinstance(given, dict):
            asked |= {name: amount(value) for name, value in given.items()}
    gpus = sum(asked.pop(name, 0.0) for name in _GPUS)
    return pb.Resources(
        cpu_millis=round(asked.pop("cpu", 0.0) * 1000),
        memory_bytes=round(asked.pop("memory", 0.0)),
        gpus=round(gpus),
        custom={name: value for name, value in asked.items() if value > 0},
    )
