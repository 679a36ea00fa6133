"""Settings every service has, read from the environment with the prefix EPOCHAL_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Common settings; a service adds its own in a subclass."""

    model_config = SettingsConfigDict(env_prefix="EPOCHAL_", extra="ignore", frozen=True)

    database_url: str = Field(description="PostgreSQL, postgresql://user:password@host:port/name")
    nats_url: str = Field(description="NATS, nats://token@host:port")
    data_dir: Path = Field(default=Path("."), description="Folder for files of this process")
    http_host: str = Field(default="127.0.0.1", description="Where probes and metrics are served")
    http_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    otlp_endpoint: str = Field(default="", description="OTLP/gRPC collector; empty: no traces")
    pool_size: int = Field(default=8, ge=3, le=100, description="PostgreSQL connections at most")
    fork_allows: str = Field(
        default="",
        pattern="^[a-z, ]*$",
        description="What a fork may do beyond answering: execute, notify, publish",
    )
    drain_s: float = Field(default=8.0, gt=0, description="Longest a shutdown may take")
