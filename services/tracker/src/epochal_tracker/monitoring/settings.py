"""Settings of the monitor."""

from __future__ import annotations

from typing import Literal

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field


class MonitorSettings(ServiceSettings):
    """What only the monitor needs to know."""

    monitor_worker: int = Field(default=0, ge=0, description="Number of this monitor, from 0")
    monitor_workers: int = Field(default=1, gt=0, description="How many monitors there are")
    monitor_storage: Literal["memory", "file"] = Field(
        default="memory",
        description="Where the broker keeps summaries and tables; what is lost is read again",
    )
