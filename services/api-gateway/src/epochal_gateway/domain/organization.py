"""An organisation or project as a stream: existence, members, description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, FailedPrecondition, NotFound
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Scope:
    """State of one organisation or project.

    `members` maps "users/alice" to a role. A project lists only those who joined it by name;
    members of the organisation have their role there as well.
    """

    exists: bool = False
    display_name: str = ""
    description: str = ""
    archived: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, pb.Role] = field(default_factory=dict)


class ScopeAggregate:
    """Folds the stream of one organisation or project."""

    category = "access"

    def initial(self) -> Scope:
        """Before its first event it does not exist."""
        return Scope()

    def evolve(self, state: Scope, event: Message) -> Scope:
        """Fold one event."""
        match event:
            case pb.OrganizationCreated():
                return replace(state, exists=True, display_name=event.display_name)
            case pb.ProjectCreated() | pb.ProjectDescribed():
                return replace(
                    state,
                    exists=True,
                    display_name=event.display_name,
                    description=event.description,
                )
            case pb.ProjectArchived():
                return replace(state, archived=True)
            case pb.ProjectRestored():
                return replace(state, archived=False)
            case pb.ProjectTagsSet():
                return replace(state, tags=tagged(state.tags, event))
            case pb.MemberAdded():
                return replace(state, members={**state.members, event.user: event.role})
            case pb.MemberRoleChanged():
                return replace(state, members={**state.members, event.user: event.new_role})
            case pb.MemberRemoved():
                rest = {user: role for user, role in state.members.items() if user != event.user}
                return replace(state, members=rest)
            case _:
                return state


def create_organization(
    state: Scope, name: str, display_name: str, owner: str
) -> Sequence[Message]:
    """Begin an organisation with its first owner.

    Raises:
        AlreadyExists: there is one by that name.
    """
    if state.exists:
        raise AlreadyExists(f"{name} exists already", resource=name)
    return [
        pb.OrganizationCreated(name=name, display_name=display_name or name.split("/")[-1]),
        pb.MemberAdded(parent=name, user=owner, role=pb.ROLE_OWNER),
    ]


def create_project(
    state: Scope,
    name: str,
    display_name: str,
    description: str,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Message]:
    """Begin a project.

    Raises:
        AlreadyExists: there is one by that name.
    """
    if state.exists:
        raise AlreadyExists(f"{name} exists already", resource=name)
    created = pb.ProjectCreated(
        name=name, display_name=display_name or name.split("/")[-1], description=description
    )
    return [created, pb.ProjectTagsSet(name=name, tags=tags)] if tags else [created]


def describe_project(
    state: Scope, name: str, display_name: str | None, description: str | None
) -> Sequence[Message]:
    """Change display name or description; None leaves it as it is.

    Raises:
        NotFound: no such project.
        FailedPrecondition: it is archived.
    """
    _require_open(state, name)
    wanted = pb.ProjectDescribed(
        name=name,
        display_name=state.display_name if display_name is None else display_name,
        description=state.description if description is None else description,
    )
    if (wanted.display_name, wanted.description) == (state.display_name, state.description):
        return []
    return [wanted]


def archive_project(state: Scope, name: str) -> Sequence[Message]:
    """Put a project away; doing it twice is once.

    Raises:
        NotFound: no such project.
    """
    if not state.exists:
        raise NotFound(f"there is no {name}", resource=name)
    return [] if state.archived else [pb.ProjectArchived(name=name)]


def restore_project(state: Scope, name: str) -> Sequence[Message]:
    """Take a project into use again; doing it twice is once.

    Raises:
        NotFound: no such project.
    """
    if not state.exists:
        raise NotFound(f"there is no {name}", resource=name)
    return [pb.ProjectRestored(name=name)] if state.archived else []


def set_tags(
    state: Scope, name: str, tags: Mapping[str, str], remove: Sequence[str]
) -> Sequence[Message]:
    """Set and remove tags; what changes nothing is left out.

    Raises:
        NotFound: no such project.
        FailedPrecondition: it is archived.
    """
    _require_open(state, name)
    changed = {key: value for key, value in tags.items() if state.tags.get(key) != value}
    removed = [key for key in remove if key in state.tags and key not in tags]
    if not changed and not removed:
        return []
    return [pb.ProjectTagsSet(name=name, tags=changed, removed=removed)]


def tagged(tags: Mapping[str, str], event: pb.ProjectTagsSet) -> dict[str, str]:
    """Return tags after an event, by name."""
    merged = {**tags, **event.tags}
    return {key: merged[key] for key in sorted(merged) if key not in event.removed}


def set_member(state: Scope, parent: str, user: str, role: pb.Role) -> Sequence[Message]:
    """Add a member or change its role.

    Raises:
        NotFound: no such organisation or project.
        FailedPrecondition: an organisation would lose its last owner.
    """
    _require_open(state, parent)
    old = state.members.get(user)
    if old == role:
        return []
    if old is None:
        return [pb.MemberAdded(parent=parent, user=user, role=role)]
    _require_owner_left(state, parent, user)
    return [pb.MemberRoleChanged(parent=parent, user=user, old_role=old, new_role=role)]


def remove_member(state: Scope, parent: str, user: str) -> Sequence[Message]:
    """Remove a member.

    Raises:
        NotFound: no such organisation, project or member.
        FailedPrecondition: an organisation would lose its last owner.
    """
    _require_open(state, parent)
    if user not in state.members:
        raise NotFound(f"{user} is no member of {parent}", resource=f"{parent}/members/{user[6:]}")
    _require_owner_left(state, parent, user)
    return [pb.MemberRemoved(parent=parent, user=user)]


def _require_open(state: Scope, name: str) -> None:
    if not state.exists:
        raise NotFound(f"there is no {name}", resource=name)
    if state.archived:
        raise FailedPrecondition(
            f"{name} is archived and cannot be changed", reason="PROJECT_ARCHIVED", resource=name
        )


def _require_owner_left(state: Scope, parent: str, leaving: str) -> None:
    owners = {user for user, role in state.members.items() if role == pb.ROLE_OWNER}
    if "/projects/" not in parent and owners == {leaving}:
        raise FailedPrecondition(
            f"{leaving} is the last owner of {parent}: make another member owner first",
            reason="LAST_OWNER",
            resource=parent,
        )
