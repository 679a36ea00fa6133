"""Projects in memory, found by name, by number, and by their name for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from epochal_gateway.projections import ProjectRow


def org_of(name: str) -> str:
    """Return "orgs/acme" of a name below it."""
    return "/".join(name.split("/", 2)[:2])


class ProjectIndex:
    """Takes projects as they change: one costs the same however many there are."""

    def __init__(self, rows: Iterable[ProjectRow] = ()) -> None:
        self._names: dict[str, ProjectRow] = {}
        self._numbers: dict[int, ProjectRow] = {}
        self._orgs: dict[str, dict[str, None]] = {}
        self._titles: dict[tuple[str, str], list[ProjectRow]] = {}
        for row in rows:
            self.put(row)

    def put(self, row: ProjectRow) -> None:
        """Take a project in place of what was known of it."""
        org, old = org_of(row.name), self._names.get(row.name)
        if old is not None:
            self._titles[org, old.display_name].remove(old)
        self._names[row.name] = self._numbers[row.number] = row
        self._orgs.setdefault(org, {})[row.name] = None
        same = self._titles.setdefault((org, row.display_name), [])
        same.append(row)
        same.sort(key=lambda one: (one.archived, one.number))

    def named(self, name: str) -> ProjectRow | None:
        """Return a project by its resource name."""
        return self._names.get(name)

    def numbered(self, number: int) -> ProjectRow | None:
        """Return the project that began at a log position."""
        return self._numbers.get(number)

    def titled(self, org: str, display_name: str) -> Sequence[ProjectRow]:
        """Return the projects of an organisation with a name for people, those in use first."""
        return self._titles.get((org, display_name), ())

    def of(self, org: str) -> list[ProjectRow]:
        """Return the projects of an organisation, archived ones too."""
        return [self._names[name] for name in self._orgs.get(org, ())]
