"""Settings of the notifier."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field, SecretStr


class NotifierSettings(ServiceSettings):
    """What only the notifier needs to know."""

    secret_key: SecretStr = Field(description="Seals the secrets of channels; never change it")
    public_url: str = Field(default="", description="Where people open runs; for links in messages")
    smtp_host: str = Field(default="", description="Mail server; empty: no mail")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_tls: str = Field(default="starttls", pattern="^(starttls|tls|none)$")
    smtp_sender: str = Field(default="epochal@localhost", description="From address")
    notify_private_hosts: bool = Field(
        default=False,
        description="Deliver to loopback and private addresses; off guards the inner network",
    )
    delivery_timeout_s: float = Field(default=10.0, gt=0, le=60)
    max_attempts: int = Field(default=8, ge=1, le=20)
    first_retry_s: float = Field(default=2.0, gt=0, description="Doubles with each attempt")
