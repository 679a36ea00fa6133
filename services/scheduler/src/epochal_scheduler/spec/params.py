"""Parameters: as they are declared, and with the value they have for a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from epochal_scheduler.spec.iotypes import IOType
from epochal_scheduler.spec.nodes import Path
from epochal_scheduler.spec.schema.io import IO, JoinParam, Param, Validation
from epochal_scheduler.spec.templates import template_of
from epochal_scheduler.spec.values import as_text, to_json

ANY_TYPE = IOType("any")


@dataclass(frozen=True, slots=True)
class Declared:
    """An input or output, its type, and where its declaration stands."""

    io: IO
    path: Path
    is_input: bool
    kind: IOType = ANY_TYPE
    rules: Validation = field(default_factory=Validation)


@dataclass(frozen=True, slots=True)
class BoundParam:
    """A parameter with the value it has for this run; `is_pending` if that is not known yet."""

    name: str
    value: JsonValue
    kind: IOType
    declared: IO | None
    is_input: bool
    to_env: str | None
    param: Param | JoinParam | None = None
    is_pending: bool = False

    def as_argument(self) -> str:
        """Returns the value as a command-line argument: by `argFormat`, as flag, or `--name=v`."""
        if self.declared is not None and self.declared.is_flag:
            return f"--{self.name}" if self.value is True else ""
        if self.value is None:
            return ""
        if self.declared is not None and self.declared.arg_format:
            rendered = template_of(self.declared.arg_format).render({self.name: self.value})
            return as_text(rendered)
        return f"--{self.name}={as_text(self.value)}"

    def env_text(self) -> str:
        """Returns the value as an environment variable has it: text, or else JSON."""
        return self.value if isinstance(self.value, str) else to_json(self.value)


def rules_of(io: IO) -> Validation:
    """Returns the rules for an input's value, with its old `options` among them."""
    rules = io.validation or Validation()
    if io.options is not None and rules.options is None:
        return rules.model_copy(update={"options": io.options})
    return rules
