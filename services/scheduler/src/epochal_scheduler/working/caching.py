"""Which runs are equal: the key of a result, and why one run may stand in for another.

A key covers what decides the outcome: the sections of the operation that run (command, image,
environment variables, init steps, connections), the values of the inputs that count, the outputs
it declares, and which upload its code is from. Names, tags, queues, priorities do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

import epochal_proto.v1 as pb
from pydantic import JsonValue

from epochal_scheduler.domain.creating import Reuse
from epochal_scheduler.projections.results import ResultRow
from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.values import to_value

_SECTIONS = {
    "containers": ("container", "sidecars"),
    "init": ("init",),
    "connections": ("connections",),
}
_SHOWN = 60


def cache_key(compiled: CompiledOperation, project: str, upload: str = "") -> str:
    """Returns the key of a run's result, `sha256:HEX`, within its project.

    Args:
        compiled: what runs.
        project: whose results count.
        upload: run whose uploaded code it works with; the code of two uploads is never taken for
            the same.
    """
    plan = compiled.plan
    document = json.loads(compiled.canonical_json)
    run = document.get("run") or {}
    cache = plan.cache
    if cache is not None and cache.key:
        counted: JsonValue = {"key": cache.key}
    else:
        chosen = set((cache and cache.sections) or _SECTIONS)
        names = [name for section, of in _SECTIONS.items() if section in chosen for name in of]
        params = counted_params(compiled)
        counted = {
            "kind": run.get("kind"),
            "run": {name: run[name] for name in names if name in run},
            "params": {name: compiled.params[name] for name in params},
            "outputs": [io for io in document.get("io") or [] if not io.get("isInput")],
        }
    whole = [project, counted, upload] if upload else [project, counted]
    text = json.dumps(whole, ensure_ascii=False, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def counted_params(compiled: CompiledOperation) -> list[str]:
    """Returns the names of the inputs that count: those that `cache.io` names, or all."""
    cache = compiled.plan.cache
    if cache is not None and cache.io:
        return sorted(name for name in cache.io if name in compiled.params)
    return sorted(compiled.params)


def is_used(compiled: CompiledOperation, levels: CacheLevels) -> bool:
    """Says whether results are reused: the nearest level that has an opinion decides.

    What the caller asks for counts before all. Where the deployment or the project has switched
    reuse off it is off; else the operation's own `cache` counts before its pipeline's, and that
    before the project's. Off by default for runs of their own, on inside DAGs and sweeps, off for
    schedules, as in Polyaxon.
    """
    if levels.caller != pb.CACHE_USE_UNSPECIFIED:
        return levels.caller == pb.CACHE_USE_ON
    if not levels.deployment or levels.project == pb.CACHE_USE_OFF:
        return False
    cache = compiled.plan.cache
    if cache is not None:
        return not cache.disable
    return levels.in_pipeline or levels.project == pb.CACHE_USE_ON


class CacheLevels:
    """What each level says of reuse."""

    def __init__(
        self,
        caller: pb.CacheUse = pb.CACHE_USE_UNSPECIFIED,
        project: pb.CacheUse = pb.CACHE_USE_UNSPECIFIED,
        *,
        deployment: bool = True,
        in_pipeline: bool = False,
    ) -> None:
        self.caller = caller
        self.project = project
        self.deployment = deployment
        self.in_pipeline = in_pipeline


def reuse(compiled: CompiledOperation, row: ResultRow, now: datetime) -> Reuse | None:
    """Returns how a result stands in for a run; None when it is too old."""
    cache = compiled.plan.cache
    age = now - row.ended_at
    if cache is not None and cache.ttl and age > timedelta(seconds=cache.ttl):
        return None
    outputs: Mapping[str, JsonValue] = json.loads(row.outputs)
    return Reuse(
        row.name,
        row.cache_key,
        _explain(compiled, row),
        {name: to_value(value) for name, value in outputs.items()},
    )


def _explain(compiled: CompiledOperation, row: ResultRow) -> str:
    counted = counted_params(compiled)
    before: Mapping[str, JsonValue] = json.loads(row.params)
    differing = sorted(
        name
        for name in compiled.params.keys() | before.keys()
        if name not in counted and compiled.params.get(name) != before.get(name)
    )
    same = (
        f"the same operation and inputs ({', '.join(counted)})" if counted else "the same operation"
    )
    sentence = f"reused {row.name}: {same}, key {row.cache_key[:19]}"
    if differing:
        names = ", ".join(
            f"{name} ({_short(before.get(name))} -> {_short(compiled.params.get(name))})"
            for name in differing
        )
        sentence += f"; differs in {names}, which cache.io leaves out"
    return sentence


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
