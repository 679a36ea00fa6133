"""Settings of an agent, read from the environment with the prefix EPOCHAL_."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AgentSettings(BaseSettings):
    """What an agent needs: the bus, a folder, and how much it may run."""

    model_config = SettingsConfigDict(env_prefix="EPOCHAL_", extra="ignore", frozen=True)

    nats_url: str = Field(description="NATS, nats://token@host:port")
    url: str = Field(default="", description="Where processes reach the gateway, http://host:port")
    data_dir: Path = Field(default=Path("."), description="Folder for the files of runs")
    agent_name: str = Field(
        default_factory=platform.node,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$",
        description="Name for people; each start adds a suffix of its own",
    )
    agent_queues: str = Field(default="default", description="Queues served, comma-separated")
    agent_slots: int = Field(
        default_factory=lambda: 2 * (os.cpu_count() or 1), ge=1, le=512, description="Runs at once"
    )
    agent_host: str = Field(
        default="127.0.0.1", description="Where the gateway reaches services of this agent"
    )
    agent_labels: str = Field(
        default="", description="Labels, such as zone=a,gpu=a100", pattern=r"^([^=,]+=[^=,]*,?)*$"
    )
    agent_executor: str = Field(
        default="process",
        pattern="^(process|noop)$",
        description="noop starts nothing and says that all went well: only to measure the platform",
    )
    stop_grace_s: float = Field(default=10.0, ge=0, description="From SIGTERM to SIGKILL")
    agent_drain_s: float = Field(
        default=5.0, ge=0, description="How long a shutdown waits for runs"
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")

    @property
    def labels(self) -> dict[str, str]:
        """The labels, by name."""
        pairs = (pair.partition("=") for pair in self.agent_labels.split(",") if pair.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues served, in order."""
        return tuple(name.strip() for name in self.agent_queues.split(",") if name.strip())
