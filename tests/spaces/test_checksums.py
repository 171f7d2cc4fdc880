"""JSON with a checksum: no flipped bit of a file changes what is read."""

import json

import pytest

from spaces.checksums import parse_object, with_checksum, without_checksum

VALUES = {"searched": 12, "forecasts": [{"name": "acc", "points": [[1, 0.25, -3e-5]], "found": None}], "why": 'a "b" é'}


@pytest.mark.parametrize("indent", [None, 2])
def test_every_flipped_bit_is_refused_or_changes_nothing(indent):
    text = json.dumps(with_checksum(VALUES), indent=indent).encode() + b"\n"
    assert parse_object(text) == VALUES
    refused = 0
    for place in range(len(text)):
        for bit in range(8):
            flipped = bytearray(text)
            flipped[place] ^= 1 << bit
            try:
                assert parse_object(bytes(flipped)) == VALUES, flipped
            except ValueError:
                refused += 1
    assert refused > 7 * len(text)


def test_objects_without_a_checksum_are_read_as_they_are():
    for value in ({}, VALUES, {"crc": "00000000"}, {"a": 1, "b": "c4dd5da4"}):
        assert without_checksum(value) == value
        assert list(without_checksum(value)) == list(value)


def test_a_checksum_under_another_name_is_told():
    value = with_checksum(VALUES)
    value["crc33"] = value.pop("crc32")
    with pytest.raises(ValueError, match='the name crc32 of its checksum has become "crc33"'):
        without_checksum(value)
