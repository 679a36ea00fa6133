"""Settings of the scheduler."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field, SecretStr


class SchedulerSettings(ServiceSettings):
    """What only the scheduler needs to know."""

    run_token_secret: SecretStr = Field(
        default=SecretStr(""), description="Shared with the gateway; empty: processes get no token"
    )
    agent_lease_s: float = Field(
        default=10.0, gt=0, description="Silence after which an agent is taken for lost"
    )
    heartbeat_hold_s: float = Field(
        default=2.0, gt=0, description="How long a heartbeat waits for something to stop"
    )
    seal_grace_s: float = Field(
        default=30.0, ge=0, description="How long a good end waits for telemetry to be sealed"
    )
    failed_seal_grace_s: float = Field(
        default=3.0, ge=0, description="How long a bad end waits for telemetry to be sealed"
    )
    retry_first_s: float = Field(default=1.0, ge=0, description="Wait before the first retry")
    retry_most_s: float = Field(default=60.0, ge=0, description="Longest wait before a retry")
    run_token_days: int = Field(default=30, ge=1, description="How long a run's token is good")
    work_max_bytes: int = Field(
        default=4 * 1024**3, gt=0, description="Most that the WORK stream may hold"
    )
    infrastructure_retries: int = Field(
        default=3, ge=0, description="Times a run is tried again that the platform failed"
    )
    cache_enabled: bool = Field(default=True, description="Whether equal runs may be reused at all")
    spec_urls: bool = Field(default=False, description="Whether urlRef is fetched")
