"""Settings of the lineage service: the common ones."""

from __future__ import annotations

from epochal_kernel.runtime.settings import ServiceSettings


class LineageSettings(ServiceSettings):
    """Nothing beyond what every service has."""
