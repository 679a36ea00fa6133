"""Hatchling hook: generates the Python code of the contract before it is packed or linked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractBuildHook(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is untyped
    """Runs `codegen.generate` for wheels and editable installs alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate into src/, where hatchling then finds the files."""
        sys.path.insert(0, self.root)
        from codegen import generate  # type: ignore[import-not-found]  # beside this file

        generate(Path(self.root))
