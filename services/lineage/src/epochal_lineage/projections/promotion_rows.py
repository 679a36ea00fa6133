"""Rows about promotions: wishes, policies, what validates a version, its files and signatures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from epochal_kernel.projections.tables import Json, Table

from epochal_lineage.projections.rows import ModelRow, ModelVersionRow

#: `until` of what holds still.
FOREVER = 2**63 - 1


@dataclass(frozen=True)
class PromotionRow:
    """One promotion; `gates` and `approvals` are lists of messages as JSON.

    Attributes:
        resource: the model, dataset or component.
        owner: the project or organisation that this is of.
        version: last part of the version's name; `old_version` too, empty for none.
        position: of the first event; lists go by it.
        since: position of the event that made the row what it is.
    """

    resource: str
    number: int
    owner: str
    version: str
    stage: str
    alias: str
    kind: int
    state: int
    requester: str
    reason: str
    gates: Json
    policy_version: int
    policy_digest: str
    approvals: Json
    old_version: str
    review_open: bool
    reviewer: str
    review: str
    rejection: str
    position: int
    create_time: datetime
    update_time: datetime
    since: int


@dataclass(frozen=True)
class PromotionPastRow(PromotionRow):
    """A promotion as it stood from `since` on, up to the event at `until`."""

    until: int


@dataclass(frozen=True, slots=True)
class RegistryPolicyRow:
    """One version of the policy of a project, or of an organisation."""

    project: str
    version: int
    text: str
    digest: str
    author: str
    reason: str
    create_time: datetime
    position: int


@dataclass(frozen=True, slots=True)
class CardSectionRow:
    """What people wrote in the card of a model or a version; each text is kept."""

    name: str
    section: int
    text: str
    author: str
    position: int


@dataclass(frozen=True, slots=True)
class RunFactRow:
    """What gates must know of a run; `component` is empty for what the platform did not run."""

    run: str
    creator: str
    display_name: str
    component: str
    succeeded: bool


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A run that names a model version in its parameters or tags."""

    model_version: str
    run: str
    position: int


@dataclass(frozen=True, slots=True)
class VersionFileRow:
    """A file of a version."""

    model: str
    version: int
    path: str
    sha256: bytes
    size_bytes: int
    artifact: str
    position: int


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A signature of a version's files."""

    model: str
    version: int
    key: str
    bundle: str
    creator: str
    create_time: datetime
    position: int


@dataclass(frozen=True, slots=True)
class ModelPastRow(ModelRow):
    """A model as it was from `since` on, up to the event at `until`."""

    until: int


@dataclass(frozen=True, slots=True)
class ModelVersionPastRow(ModelVersionRow):
    """A version as it was from `since` on, up to the event at `until`."""

    until: int


PROMOTIONS = Table("promotion", PromotionRow, ("resource", "number"))
PROMOTIONS_PAST = Table("promotion_past", PromotionPastRow, ("resource", "number", "since"))
REGISTRY_POLICIES = Table("registry_policy", RegistryPolicyRow, ("project", "version"))
CARD_SECTIONS = Table("card_section", CardSectionRow, ("name", "section", "position"))
RUN_FACTS = Table("run_fact", RunFactRow, ("run",))
REFERENCES = Table("version_reference", ReferenceRow, ("model_version", "run"))
VERSION_FILES = Table("version_file", VersionFileRow, ("model", "version", "path"))
SIGNATURES = Table("version_signature", SignatureRow, ("model", "version", "key"))
MODELS_PAST = Table("model_past", ModelPastRow, ("name", "since"))
VERSIONS_PAST = Table("model_version_past", ModelVersionPastRow, ("model", "version", "since"))
