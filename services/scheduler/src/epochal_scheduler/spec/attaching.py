"""What resolving attaches to a document beside its grammar: operations of hooks and tuner."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Extras:
    """What was resolved beside the document: operations of hooks, and of the tuner."""

    hooks: tuple[JsonValue, ...] = ()
    tuner: JsonValue = None

    @classmethod
    def split(cls, data: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], Extras]:
        """Returns the document without what was attached to it, and that."""
        tuner = data.get("tuner")
        kept = {key: value for key, value in data.items() if key != "tuner"}
        hooks = data.get("hooks")
        if not isinstance(hooks, list):
            return kept, cls((), tuner)
        found, bare = list[JsonValue](), list[JsonValue]()
        for hook in hooks:
            found.append(hook.get("template") if isinstance(hook, dict) else None)
            if isinstance(hook, dict):
                hook = {key: value for key, value in hook.items() if key != "template"}
            bare.append(hook)
        return {**kept, "hooks": bare}, cls(tuple(found), tuner)

    def hooks_with_templates(self, hooks: JsonValue) -> list[JsonValue]:
        """Returns hooks with the operations that they run, where those are known."""
        made = list[JsonValue]()
        for index, hook in enumerate(hooks if isinstance(hooks, list) else []):
            template = self.hooks[index] if index < len(self.hooks) else None
            if isinstance(hook, dict) and template is not None:
                hook = {**hook, "template": template}
            made.append(hook)
        return made
