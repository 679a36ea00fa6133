"""A policy from its text: YAML with nothing left to guess; a word it does not know is an error.

stages:
  Production:
    from: [Staging]               # stages it may come from; None is in no stage
    holders: one                  # or many
    displace_to: Archived         # where who had it before goes
    gates:
      metrics: ["metrics.acc >= 0.9", "metrics.acc > holder.metrics.acc + 0.01"]
      validations: [evaluate]     # components of the hub
      approvals: [{role: admin, count: 1}]
      signed: [release]           # keys, by name
aliases:
  champion: {gates: {}}
datasets:                         # stages of datasets of the project: one version has one
  stages:
    Production: {gates: {metrics: ["metrics.rows >= 1000"], checks: [all, schema]}}
components:                       # in the policy of an organisation
  stages: {Production: {from: [Staging], gates: {validations: [smoke-test]}}}
freezes:
  - {reason: holidays, zone: Europe/Berlin, start: 2026-12-20 00:00, end: 2027-01-04 08:00}
  - {reason: weekend, zone: Europe/Berlin, cron: "0 16 * * FRI", hours: 64, places: [Production]}
keys:
  release: "-----BEGIN PUBLIC KEY-----..."
emergency: {role: admin}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import epochal_proto.v1 as pb
import yaml
from cronsim import CronSim, CronSimError
from epochal_kernel.errors import InvalidArgument, Violation
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from epochal_lineage.domain.gates.evaluating import rule_word
from epochal_lineage.domain.gates.freezing import Freeze
from epochal_lineage.domain.gates.policy import ALL, NONE, Place, Policy
from epochal_lineage.domain.gates.thresholds import Threshold, ThresholdError, parse
from epochal_lineage.domain.signing import SignatureRefused, fingerprint_of_pem

Stage = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,62}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,255}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Role = Literal["viewer", "editor", "admin", "owner"]

MOST: Final = 100


def _origin(value: object) -> object:
    # YAML reads None as text and ~ and null as nothing; people mean the same.
    return NONE if value is None else value


Origin = Annotated[Stage, BeforeValidator(_origin)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Approval(_Part):
    role: Role = "editor"
    count: int = Field(default=1, ge=1, le=20)


class _ComponentGates(_Part):
    validations: list[Word] = Field(default=[], max_length=MOST)
    approvals: list[_Approval] = Field(default=[], max_length=10)


class _Measured(_ComponentGates):
    metrics: list[str] = Field(default=[], max_length=MOST)

    @field_validator("metrics")
    @classmethod
    def _readable(cls, texts: list[str]) -> list[str]:
        for text in texts:
            parse(text)
        return texts

    def thresholds(self) -> tuple[Threshold, ...]:
        return tuple(parse(text) for text in self.metrics)


class _Gates(_Measured):
    signed: list[Word] = Field(default=[], max_length=MOST)


class _DatasetGates(_Measured):
    checks: list[str] = Field(default=[], max_length=MOST)

    @field_validator("checks")
    @classmethod
    def _kinds(cls, words: list[str]) -> list[str]:
        known = [ALL, *(rule_word(kind) for kind in pb.DatasetRuleKind.values() if kind)]
        for word in words:
            if word not in known:
                raise ValueError(f"{word!r} is no kind of rule: {', '.join(known)}")
        return words


class _Place(_Part):
    from_: list[Origin] | None = Field(default=None, alias="from", max_length=MOST)


class _DatasetStage(_Place):
    gates: _DatasetGates = _DatasetGates()


class _ComponentStage(_Place):
    gates: _ComponentGates = _ComponentGates()


class _Datasets(_Part):
    stages: dict[Stage, _DatasetStage] = Field(default={}, max_length=MOST)


class _Components(_Part):
    stages: dict[Stage, _ComponentStage] = Field(default={}, max_length=MOST)


class _Alias(_Place):
    gates: _Gates = _Gates()


class _Stage(_Alias):
    holders: Literal["one", "many"] = "one"
    displace_to: Stage = "Archived"


class _Freeze(_Part):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    cron: str = ""
    hours: float = Field(default=0.0, ge=0, le=24 * 366)
    places: list[str] = Field(default=[], max_length=MOST)

    @field_validator("start", "end", mode="before")
    @classmethod
    def _moment(cls, value: object) -> object:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value

    @field_validator("hours", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _one_of_two(self) -> _Freeze:
        if bool(self.cron) == (self.start is not None):
            raise ValueError("give either start and end, or cron and hours")
        if self.cron:
            try:
                CronSim(self.cron, datetime(2026, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                raise ValueError(f"{self.cron!r} is no cron expression: {error}") from None
            if not self.hours:
                raise ValueError("a freeze by cron needs hours")
        elif (
            self.end is None
            or self.start is None
            or _zoned(self.end, self.zone) <= _zoned(self.start, self.zone)
        ):
            raise ValueError("a freeze ends after its start: give both")
        return self

    def freeze(self) -> Freeze:
        return Freeze(
            reason=self.reason,
            zone=ZoneInfo(self.zone),
            start=_zoned(self.start, self.zone) if self.start else None,
            end=_zoned(self.end, self.zone) if self.end else None,
            cron=self.cron,
            hours=self.hours,
            places=frozenset(self.places),
        )


class _Emergency(_Part):
    role: Role | Literal["nobody"] = "admin"


class _Document(_Part):
    stages: dict[Stage, _Stage] = Field(default={}, max_length=MOST)
    aliases: dict[Alias, _Alias] = Field(default={}, max_length=MOST)
    datasets: _Datasets = _Datasets()
    components: _Components = _Components()
    freezes: list[_Freeze] = Field(default=[], max_length=MOST)
    keys: dict[Word, str] = Field(default={}, max_length=MOST)
    emergency: _Emergency = _Emergency()

    @field_validator("keys")
    @classmethod
    def _public(cls, keys: dict[str, str]) -> dict[str, str]:
        for name, pem in keys.items():
            try:
                fingerprint_of_pem(pem)
            except SignatureRefused as error:
                raise ValueError(f"{name}: {error}") from None
        return keys

    @model_validator(mode="after")
    def _names_are_known(self) -> _Document:
        places: Mapping[str, _Alias] = {**self.aliases, **self.stages}
        for name, place in places.items():
            for key in place.gates.signed:
                if key not in self.keys:
                    raise ValueError(f"{name} wants a signature of {key!r}, which is not in keys")
        known = {*places, *self.datasets.stages, *self.components.stages}
        for freeze in self.freezes:
            for name in freeze.places:
                if name not in known:
                    raise ValueError(f"a freeze is about {name!r}, which is no stage or alias here")
        return self


class _Loader(yaml.SafeLoader):
    """Without anchors: a few bytes of them can stand for gigabytes. No name comes twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors are not read here: write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.YAMLError(
                    f"{key.value!r} is there twice (line {key.start_mark.line + 1})"
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_policy(text: str, version: int = 0) -> Policy:
    """Read a policy; an empty text is none.

    Raises:
        InvalidArgument: it is no YAML, or says what no policy can.
    """
    if not text.strip():
        return Policy(version=version)
    try:
        content = yaml.load(text, _Loader)
        document = _Document.model_validate(content)
    except ValidationError as error:
        raise InvalidArgument(
            "the policy is not right",
            violations=[
                Violation(
                    ".".join(["text", *(str(part) for part in one["loc"])]),
                    one["type"],
                    one["msg"].removeprefix("Value error, "),
                )
                for one in error.errors(include_url=False)[:20]
            ],
        ) from None
    except (yaml.YAMLError, ThresholdError, RecursionError, ValueError) as error:
        raise InvalidArgument(
            f"the policy cannot be read: {str(error)[:500]}",
            violations=[Violation("text", "yaml", "must be YAML, as docs/registry.md shows it")],
        ) from None
    return Policy(
        text=text,
        version=version,
        stages={
            name: replace(
                _model_place(name, one),
                single=one.holders == "one",
                displace_to=one.displace_to,
            )
            for name, one in document.stages.items()
        },
        aliases={name: _model_place(name, one) for name, one in document.aliases.items()},
        datasets={
            name: replace(
                _place(name, one, one.gates),
                metrics=one.gates.thresholds(),
                checks=tuple(one.gates.checks),
            )
            for name, one in document.datasets.stages.items()
        },
        components={
            name: _place(name, one, one.gates) for name, one in document.components.stages.items()
        },
        freezes=tuple(one.freeze() for one in document.freezes),
        keys=dict(document.keys),
        emergency_role="" if document.emergency.role == "nobody" else document.emergency.role,
    )


def _model_place(name: str, one: _Alias) -> Place:
    return replace(
        _place(name, one, one.gates),
        metrics=one.gates.thresholds(),
        signers=tuple(one.gates.signed),
    )


def _place(name: str, one: _Place, gates: _ComponentGates) -> Place:
    return Place(
        name=name,
        origins=None if one.from_ is None else frozenset(one.from_),
        displace_to="",
        validations=tuple(gates.validations),
        approvals=tuple((approval.role, approval.count) for approval in gates.approvals),
    )


def _zoned(moment: datetime, zone: str) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
