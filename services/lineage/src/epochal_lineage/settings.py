"""Settings of the lineage service: who signs the log, how often, and where it is published."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field, SecretStr


class LineageSettings(ServiceSettings):
    """What only the lineage service needs to know."""

    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals the signing key of the log; empty: it needs EPOCHAL_AUDIT_SIGNING_KEY",
    )
    audit_signing_key: SecretStr = Field(
        default=SecretStr(""),
        description="Ed25519 seed, base64 of 32 bytes; empty: made at the first start, and sealed",
    )
    audit_origin: str = Field(
        default="",
        pattern=r"^[^\s+]*$",
        max_length=200,
        description="Name of the log in checkpoints, such as log.acme.com/epochal; set once",
    )
    audit_seal_events: int = Field(default=1024, ge=1, description="Seal when so many are new")
    audit_seal_s: float = Field(default=60.0, gt=0, description="Seal at the latest after")
    object_store_url: str = Field(
        default="", description="Where tiles go, below tlog/; empty: only the database has them"
    )
    audit_publish: str = Field(
        default="",
        description="Where checkpoints go too: file://, s3://, gs://, az:// or https:// (webhook), "
        "several with spaces between",
    )
    audit_publish_s: float = Field(default=300.0, gt=0, description="Publish there every")
    audit_archive: str = Field(
        default="",
        description="Where the sealed log is archived whole, to be restored from: file://, s3://, "
        "gs:// or az://, several with spaces between; it is as secret as the database",
    )
    audit_archive_names: str = Field(
        default="",
        description="Where names of people are kept for a restore, apart from the log; a place "
        "that keeps no versions, or erasing somebody does not reach it. Empty: nowhere",
    )
    audit_archive_s: float = Field(default=3_600.0, gt=0, description="Archive there every")
    audit_archive_events: int = Field(
        default=20_000, ge=1, le=200_000, description="Events in a segment at the most"
    )
    audit_witnesses: str = Field(
        default="", description="Verifier keys of witnesses (C2SP), with spaces between"
    )
    openlineage_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Receiver of OpenLineage events of our runs, such as "
        "http://marquez:5000/api/v1/lineage; empty: nobody is told",
    )
    openlineage_api_key: SecretStr = Field(
        default=SecretStr(""), description="Sent to the receiver as a bearer token"
    )
    openlineage_namespace: str = Field(
        default="epochal",
        min_length=1,
        max_length=200,
        description="Jobs and datasets are told of in NAMESPACE/ORGANISATION/PROJECT",
    )
