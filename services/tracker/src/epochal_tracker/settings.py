"""Settings of the tracker."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field


class TrackerSettings(ServiceSettings):
    """What only the tracker needs to know."""

    telemetry_max_bytes: int = Field(
        default=8 * 1024**3,
        gt=0,
        description="Bytes of telemetry that may wait for the tracker; full refuses, never drops",
    )
    object_store_url: str = Field(
        default="",
        description="Where telemetry is archived, that of the gateway; empty: nothing is archived",
    )
    retention_every_s: float = Field(
        default=600.0, gt=0, description="Look for what is old, or to be archived, every"
    )
    object_min_age_s: int = Field(
        default=3_600,
        ge=0,
        description="Bytes of a deleted artifact stay when they were uploaded again this lately",
    )
