"""Walks end, meet every edge in reach once, and say when they were cut short."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from epochal_lineage.projections.graph_rows import RunArtifactRow
from epochal_lineage.services.model_versions import digest_of
from epochal_lineage.store.graph import FoundEdge, Scope, Steps
from epochal_lineage.traversal import Walked, walk
from hypothesis import given
from hypothesis import strategies as st

SCOPE = Scope("orgs/acme", None, 99)
UP, DOWN = [Steps(upstream=True, kinds=(1,))], [Steps(upstream=False, kinds=(1,))]
BOTH = UP + DOWN


def node(name: str) -> UUID:
    return UUID(int=ord(name))


class FakeGraph:
    """Edges in memory, found as the index finds them."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        unique = dict.fromkeys(pairs)
        self.edges = [FoundEdge(node(a), node(b), 1, n, 1, n) for n, (a, b) in enumerate(unique)]

    async def step(
        self, ids: Sequence[UUID], scope: Scope, steps: Steps, limit: int
    ) -> list[FoundEdge]:
        end = "target" if steps.upstream else "source"
        return [edge for edge in self.edges if getattr(edge, end) in ids][:limit]


def reach(pairs: Sequence[tuple[str, str]], start: str, depth: int) -> set[tuple[str, str]]:
    """Edges met going down from a node in at most `depth` steps."""
    reached, met = {start}, set()
    for _ in range(depth):
        met |= {(a, b) for a, b in pairs if a in reached}
        reached |= {b for _, b in met}
    return met


def met_by(walked: Walked) -> list[tuple[str, str]]:
    return [(chr(edge.source.int), chr(edge.target.int)) for edge in walked.edges.values()]


nodes = st.sampled_from("abcdef")
graphs = st.lists(st.tuples(nodes, nodes), max_size=14)  # cycles and loops included


@given(graphs, st.integers(1, 6))
async def test_a_walk_meets_every_edge_in_reach_once(
    pairs: list[tuple[str, str]], depth: int
) -> None:
    down = reach(pairs, "a", depth)
    up = {(b, a) for a, b in reach([(b, a) for a, b in pairs], "a", depth)}
    for direction, expected in ((DOWN, down), (UP, up), (BOTH, up | down)):
        walked = await walk(FakeGraph(pairs), SCOPE, [node("a")], direction, depth, 1_000)
        met = met_by(walked)
        assert len(met) == len(set(met))
        assert set(met) == expected
        assert not walked.truncated


@given(graphs, st.integers(1, 6), st.sampled_from([UP, DOWN, BOTH]))
async def test_a_walk_cut_short_says_so(
    pairs: list[tuple[str, str]], most: int, direction: list[Steps]
) -> None:
    whole = await walk(FakeGraph(pairs), SCOPE, [node("a")], direction, 20, 1_000)
    cut = await walk(FakeGraph(pairs), SCOPE, [node("a")], direction, 20, most)
    assert len(cut.edges) == min(most, len(whole.edges))
    assert cut.truncated == (len(whole.edges) > most)
    assert set(met_by(cut)) <= set(met_by(whole))


def test_a_file_has_its_own_digest_and_a_folder_that_of_its_listing() -> None:
    one, two = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    assert digest_of([RunArtifactRow("r", "m.bin", one)], "m.bin") == f"sha256:{one.hex()}"
    folder = [RunArtifactRow("r", "m/a", one), RunArtifactRow("r", "m/b/c", two)]
    listing = f"{one.hex()}  a\n{two.hex()}  b/c\n".encode()
    assert digest_of(folder, "m/") == f"sha256:{hashlib.sha256(listing).hexdigest()}"
    listing = f"{one.hex()}  a\n".encode()
    assert digest_of(folder[:1], "m/") == f"sha256:{hashlib.sha256(listing).hexdigest()}"
