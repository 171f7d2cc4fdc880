"""What is printed arrives whatever the encoding of a terminal or pipe is, and so do names that are no text."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.terminal import NEAREST, show_all, text_name

ENCODINGS = ("ascii", "latin-1", "cp437", "cp1252", "koi8-r", "utf-8", "utf-16")


def printed(text, encoding, errors="strict"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, newline="\n")
    show_all(stream)
    print(text, file=stream, flush=True)
    return stream.buffer.getvalue().removesuffix("\n".encode(encoding).removeprefix(b"\xff\xfe"))


def test_what_an_encoding_lacks_is_in_the_nearest_letters_or_by_number():
    assert printed("The front’s 20\u2009% − 8×8 – é…", "ascii") == b"The front's 20 % - 8x8 - \\xe9..."
    assert printed("The front’s é β", "latin-1") == b"The front's \xe9 \\u03b2"
    assert printed("The front’s é ß", "cp437") == b"The front's \x82 \xe1"
    assert printed("The front’s é", "utf-8") == "The front’s é".encode()
    assert all(nearest.isascii() for nearest in NEAREST.values())


@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "backslashreplace"])
@pytest.mark.parametrize("encoding", ENCODINGS[:-1])
def test_a_name_that_is_no_text_is_printed_as_the_bytes_that_it_is(encoding, errors):
    assert printed("runs/caf\udce9", encoding, errors) == b"runs/caf\xe9"


def test_what_the_user_has_said_stays():
    assert printed("front’s", "ascii", "replace") == b"front?s"
    show_all(None)


@given(st.text(st.characters(categories=None)), st.sampled_from(ENCODINGS))
def test_nothing_fails(text, encoding):
    found = printed(text, encoding)
    lacks = text.encode(encoding, "ignore").decode(encoding) != text
    assert lacks or found == text.encode(encoding)


@given(
    st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b".."))
)
def test_a_name_as_a_text_can_be_written_anywhere(name):
    text = text_name(Path("runs") / name.decode("utf-8", "surrogateescape"))
    text.encode()
    assert text
