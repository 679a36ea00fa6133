"""Output becomes lines whatever way it comes."""

from epochal_scheduler.agent.output import MAX_LINE_BYTES, LineSplitter
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40)
    ),
    st.data(),
)
def test_lines_do_not_depend_on_the_chunks(lines, data):
    source = "".join(line + "\n" for line in lines).encode()
    splitter, found = LineSplitter(), []
    while source:
        size = data.draw(st.integers(1, len(source)))
        found += splitter.feed(source[:size])
        source = source[size:]
    assert found + list(splitter.end()) == lines


def test_long_lines_come_in_pieces_and_colours_stay():
    splitter = LineSplitter()
    assert list(splitter.feed(b"\x1b[1mx\x1b[0m\r\n\xff")) == ["\x1b[1mx\x1b[0m"]
    assert list(splitter.end()) == ["\ufffd"]
    pieces = list(splitter.feed(b"a" * (2 * MAX_LINE_BYTES + 1) + b"\n"))
    assert [len(piece) for piece in pieces] == [MAX_LINE_BYTES, MAX_LINE_BYTES, 1]
