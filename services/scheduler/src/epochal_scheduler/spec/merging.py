"""One tree over another, by the four patch strategies.

| strategy     | a value in both    | a list in both                | a mapping in both |
|--------------|--------------------|-------------------------------|-------------------|
| `post_merge` | the patch's        | the base's, then the patch's  | merged by key     |
| `pre_merge`  | the base's         | the patch's, then the base's  | merged by key     |
| `replace`    | the patch's        | the patch's                   | the patch's       |
| `isnull`     | the base's         | the base's                    | the base's        |

Mappings of fields that the grammar knows (`termination`, `container`) are merged field by field by
every strategy; only free mappings, such as labels, are replaced whole. A field that only one of
them has is kept. An explicit null clears a field, if the patch wins.
"""

from __future__ import annotations

from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Scalar, text_at, to_data
from epochal_scheduler.spec.schema.lookup import Kinds, models, narrow, step
from epochal_scheduler.spec.values import to_json

STRATEGIES = ("replace", "isnull", "post_merge", "pre_merge")
_PATCH_WINS = ("post_merge", "replace")


def patch(base: Node, overlay: Node, strategy: str, kinds: Kinds) -> Node:
    """Returns the base with the patch applied.

    Args:
        base: what is patched.
        overlay: the patch.
        strategy: one of `STRATEGIES`.
        kinds: what the grammar allows at this place.
    """
    if _is_null(base):
        return overlay
    if isinstance(base, MapNode) and isinstance(overlay, MapNode):
        return _patch_mapping(base, overlay, strategy, kinds)
    if isinstance(base, ListNode) and isinstance(overlay, ListNode):
        return _patch_list(base, overlay, strategy)
    return overlay if strategy in _PATCH_WINS else base


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _patch_mapping(base: MapNode, overlay: MapNode, strategy: str, kinds: Kinds) -> Node:
    one, other = text_at(base, "kind"), text_at(overlay, "kind")
    known = models(kinds)
    if known and one is not None and other is not None and one != other:
        return overlay if strategy in _PATCH_WINS else base
    if not known and strategy in ("replace", "isnull"):
        return overlay if strategy == "replace" else base
    inner = narrow(kinds, one or other or "") if known else kinds
    entries, marks = dict(base.entries), dict(base.marks)
    for key, node in overlay.entries.items():
        if key in entries:
            patched = patch(entries[key], node, strategy, step(inner, key))
            if patched is node:
                marks[key] = overlay.marks[key]
            entries[key] = patched
        else:
            entries[key], marks[key] = node, overlay.marks[key]
    return MapNode(entries, marks, base.mark)


def _patch_list(base: ListNode, overlay: ListNode, strategy: str) -> Node:
    if strategy in ("replace", "isnull"):
        return overlay if strategy == "replace" else base
    first, second = (base, overlay) if strategy == "post_merge" else (overlay, base)
    known = {to_json(to_data(item)) for item in first.items}
    more = tuple(item for item in second.items if to_json(to_data(item)) not in known)
    return ListNode(first.items + more, base.mark)
