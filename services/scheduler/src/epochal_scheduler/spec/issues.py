"""What is wrong with a spec, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text, line and column from 1; line 0 means no place in particular.

    `source` says which text: 0 for the first file given, 1 for the next, and so on; what a file
    refers to comes after all files.
    """

    line: int = 0
    column: int = 0
    source: int = 0


NOWHERE = Mark()


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: place, dotted field path, rule broken, and a message that says the fix."""

    mark: Mark
    field: str
    rule: str
    message: str

    @property
    def source(self) -> int:
        """Which text it is about; see `Mark`."""
        return self.mark.source

    def to_proto(self) -> pb.SpecIssue:
        """Returns the finding as the contract carries it."""
        return pb.SpecIssue(
            line=self.mark.line,
            column=self.mark.column,
            field=self.field,
            rule=self.rule,
            message=self.message,
            source=self.source,
        )

    def __str__(self) -> str:
        if self.mark.line and self.mark.source:
            place = f"file {self.mark.source + 1}, line {self.mark.line}"
            return f"{place}, column {self.mark.column}: {self.message}"
        if self.mark.line:
            return f"line {self.mark.line}, column {self.mark.column}: {self.message}"
        return self.message


MAX_ISSUES = 100


class SpecError(InvalidArgument):
    """The polyaxonfile cannot be compiled.

    Carries every issue found (the first 100, so that an answer stays an answer), in the order of
    the text, so that one round of mending is enough; on the wire each is a violation whose message
    begins with its place.
    """

    default_reason = "INVALID_SPEC"

    def __init__(self, issues: Iterable[Issue]) -> None:
        ordered = sorted(dict.fromkeys(issues), key=_in_text_order)
        self.issues: Sequence[Issue] = tuple(ordered[:MAX_ISSUES])
        found = [Violation(issue.field, issue.rule, str(issue)) for issue in self.issues]
        count = "an error" if len(ordered) == 1 else f"{len(ordered)} errors"
        first = found[0].message if found else ""
        super().__init__(f"the polyaxonfile has {count}: {first}", violations=found)


def _in_text_order(issue: Issue) -> tuple[int, Mark, str, str]:
    return issue.mark.source, issue.mark, issue.field, issue.rule


def dotted(path: Sequence[str | int]) -> str:
    """Returns a path as people write it, such as `inputs[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
