"""The policy of a registry: its places, and what each demands.

Of a project for its models and datasets, of an organisation for its components.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from epochal_lineage.domain.gates.freezing import Freeze
from epochal_lineage.domain.gates.thresholds import Threshold

#: Roles from the weakest to the strongest.
ROLES = ("viewer", "editor", "admin", "owner")

#: How a policy writes "in no stage".
NONE = "None"

#: How it writes "every rule that was held against it".
ALL = "all"


@dataclass(frozen=True, slots=True)
class Place:
    """What one stage or alias demands.

    Attributes:
        origins: stages to come from, "None" for none; None for anywhere.
        single: whether one version has it at a time; an alias always has one.
        displace_to: stage that goes to whoever had a single stage before.
        metrics: thresholds.
        validations: components that must have run on the version and succeeded.
        approvals: how many people of which role at least.
        signers: names of keys, one of which must have signed.
        checks: kinds of rules that must have been held against a dataset, and hold; `ALL` for
            every rule that was held against it last.
    """

    name: str
    origins: frozenset[str] | None = None
    single: bool = True
    displace_to: str = "Archived"
    metrics: tuple[Threshold, ...] = ()
    validations: tuple[str, ...] = ()
    approvals: tuple[tuple[str, int], ...] = ()
    signers: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it is in force.

    Attributes:
        text: as it was written; empty when there is none.
        version: number, 0 when there never was one.
        datasets: stages of datasets.
        components: stages of components.
        keys: public half of each key as PEM, by its name.
        emergency_role: weakest role that may move a version in an emergency; empty for nobody.
    """

    text: str = ""
    version: int = 0
    stages: Mapping[str, Place] = field(default_factory=dict)
    aliases: Mapping[str, Place] = field(default_factory=dict)
    datasets: Mapping[str, Place] = field(default_factory=dict)
    components: Mapping[str, Place] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    emergency_role: str = "admin"

    @property
    def digest(self) -> str:
        """sha256 of its text."""
        return digest_of(self.text)

    def about(self, collection: str) -> Policy:
        """Return what it says of models, datasets or components: its places are theirs."""
        match collection:
            case "datasets":
                return replace(self, stages=self.datasets, aliases={})
            case "components":
                return replace(self, stages=self.components, aliases={})
            case _:
                return self

    def place(self, stage: str, alias: str) -> Place | None:
        """Return what a stage or an alias demands; None when it is not governed."""
        return self.stages.get(stage) if stage else self.aliases.get(alias)


def digest_of(text: str) -> str:
    """Return the digest of a policy's text; empty for none."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else ""


def at_least(role: str, wanted: str) -> bool:
    """Whether a role is as strong as another; no role is as strong as none."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(wanted)
