"""Settings of the gateway."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings
from pydantic import Field, SecretStr


class GatewaySettings(ServiceSettings):
    """What only the gateway needs to know."""

    gateway_host: str = Field(default="127.0.0.1", description="Where the doors are")
    gateway_grpc_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    gateway_http_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    gateway_public_grpc: str = Field(
        default="", description="host:port clients reach gRPC at, when it differs"
    )
    bootstrap_token: SecretStr = Field(
        default=SecretStr(""), description="Secret of the first owner's token; empty: no bootstrap"
    )
    run_token_secret: SecretStr = Field(
        default=SecretStr(""), description="Shared with the scheduler; empty: no run tokens"
    )
    object_store_url: str = Field(
        default="", description="file:///folder, s3://bucket/prefix, gs://..., az://..."
    )
    allow_test_reset: bool = Field(
        default=False,
        description="Serve POST /test/reset, which empties experiments; only on loopback",
    )
    max_message_bytes: int = Field(
        default=4 * 1024 * 1024, ge=65_536, description="Largest request on any door"
    )
    max_artifact_bytes: int = Field(
        default=50 * 1024**3, gt=0, description="Largest artifact that may be uploaded"
    )
    rate_per_s: float = Field(default=5_000.0, gt=0, description="Calls a second per token")
    rate_burst: int = Field(default=10_000, gt=0, description="Calls at once per token")
