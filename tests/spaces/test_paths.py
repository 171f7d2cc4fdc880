"""Paths that people write, and names of files: one clear line, or a path that stays where it belongs."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import OptionError
from spaces.paths import LONGEST, is_plain, plain_name, user_path


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("~nobody-by-this-name/x", "knows the home folder '~nobody-by-this-name'"),
        ("~nobody-by-this-name", "knows the home folder '~nobody-by-this-name'"),
        ("a\0b", "null"),
        ("x" * 5000, "File name too long"),
        ("/".join(["folder"] * 2000), "File name too long"),
    ],
)
def test_what_can_be_no_path_is_one_line_with_the_option_and_the_text(text, rule):
    with pytest.raises(OptionError, match=rule) as caught:
        user_path(text, "--out")
    assert str(caught.value).startswith(f"--out {repr(text)[:50]}")
    assert str(caught.value).endswith("give another path")
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_without_home_and_without_an_entry_for_the_user_a_tilde_is_one_line(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(OptionError, match="knows the home folder '~'"):
        user_path("~/x", "--storage")
    assert user_path("x", "--storage") == Path("x")


def test_a_folder_that_may_not_be_entered_is_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may enter every folder")
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(OptionError, match="Permission denied"):
        user_path(tmp_path / "closed" / "x", "run")


def test_homes_are_filled_in_and_all_else_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a/b", "--out") == tmp_path / "a/b"
    assert user_path("a/~/b", "--out") == Path("a/~/b")
    (tmp_path / "file").write_text("")
    assert user_path(tmp_path / "file/below", "--out") == tmp_path / "file/below"  # who makes it says what is wrong


@given(st.text() | st.sampled_from(["..", ".", "../../x", "a/b", "a\\b", "nul\0", "two\nlines", "-rf", "é" * 300]))
def test_a_plain_name_is_one_part_of_a_path_that_every_file_system_takes(text):
    name = plain_name(text, "data")
    assert is_plain(name)
    assert (Path("/home") / name).parent == Path("/home")
    assert os.path.normpath(f"/home/{name}") == f"/home/{name}"
    assert len(os.fsencode(name)) <= LONGEST
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert name[0] not in "-."
    assert plain_name(name, "data") == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0", "a\n", "-", "..."])
def test_what_leads_out_of_a_folder_is_no_plain_name(name):
    assert not is_plain(name)
