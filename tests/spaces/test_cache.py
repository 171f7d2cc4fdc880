"""Folders for compiled code: used only if nobody else could have written there, and if not, another, with a word."""

import os
import tempfile
from pathlib import Path

import pytest

from spaces import cache
from spaces.cache import cache_home, exposure, private_folders, temporary_home
from spaces.neurons import scan

OTHER = 65534  # the user "nobody"
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def kept(tmp_path):
    """A folder of compiled code, as it should be."""
    folder = tmp_path / "cache" / "kept"
    cache._make(folder)
    (folder / "code").write_text("")
    assert exposure(folder) == ""
    return folder


def passed_over(folder, match):
    """Whether a folder is passed over, with a warning, for the next one."""
    with pytest.warns(RuntimeWarning, match=match) as told:
        assert next(private_folders(folder, folder.parent.parent / "next")) == folder.parent.parent / "next"
    return len(told) == 1


def test_what_is_made_is_open_to_nobody_else(kept):
    assert [one.stat().st_mode & 0o777 for one in (kept, kept.parent)] == [0o700, 0o700]
    assert next(private_folders(None, kept)) == kept


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_folder_that_others_may_write_to(kept, mode):
    kept.chmod(mode)
    assert passed_over(kept, "others may write to .*kept'; remove that, or name a folder of your own")


def test_a_file_that_others_may_write_to(kept):
    (kept / "code").chmod(0o666)
    assert exposure(kept) == ""  # nobody else comes as far as that
    kept.chmod(0o755)
    assert passed_over(kept, "others may write to .*code'")


def test_a_folder_around_it_that_others_may_write_to(kept):
    kept.parent.chmod(0o777)
    assert passed_over(kept, "others may write to .*cache'")
    kept.parent.chmod(0o1777)  # as the temporary folder: only owners rename what is there
    assert exposure(kept) == ""


def test_a_file_in_the_place_of_the_folder(kept):
    assert passed_over(kept / "code", "is no folder")


@root
@pytest.mark.parametrize("what", ["kept", "kept/code", ".", "kept/deep/code"])
def test_what_belongs_to_another_user(kept, what):
    (kept / "deep").mkdir()
    (kept / "deep" / "code").write_text("")
    os.chown(kept.parent / what, OTHER, OTHER)
    assert passed_over(kept, "belongs to user 65534")


@root
def test_a_link_of_another_user(kept, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(kept)
    assert exposure(link) == ""
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert passed_over(link, "the link .* belongs to user 65534")


@root
def test_what_root_keeps_is_good_for_all(kept, monkeypatch):
    monkeypatch.setattr(cache.os, "geteuid", lambda: OTHER)
    assert exposure(kept) == ""


def test_where_nothing_can_be_made_a_fresh_folder_says_that_it_goes(tmp_path, monkeypatch):
    ends = []
    monkeypatch.setattr(cache.atexit, "register", ends.append)
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="for this process alone"):
        found = list(private_folders(tmp_path / "file" / "below", None))
    assert [folder.stat().st_mode & 0o777 for folder in found] == [0o700]
    ends[0]()
    assert not found[0].exists()


def test_without_a_home_there_is_the_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for relative in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert cache_home() is None
    assert temporary_home() == tmp_path / f"spikefront-{os.geteuid()}"
    assert next(private_folders(cache_home(), temporary_home())) == temporary_home()
    monkeypatch.setattr(tempfile, "gettempdir", (tmp_path / "none").stat)
    assert temporary_home() is None


@pytest.fixture
def torch_cache(monkeypatch):
    """What has PyTorch keep its kernels in a folder, and tells that folder."""

    def keep():
        scan._keep_private.cache_clear()
        scan._keep_private()
        return Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    yield keep
    scan._keep_private.cache_clear()


def test_kernels_by_pytorch_are_kept_where_nobody_else_writes(torch_cache, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = torch_cache()
    assert found == temporary_home() / "inductor"
    assert torch_cache() == found
    found.chmod(0o777)
    with (
        pytest.warns(RuntimeWarning, match="for this process alone"),
        pytest.warns(RuntimeWarning, match="others may write to"),
    ):
        fresh = torch_cache()
    assert fresh.parent == tmp_path
    assert fresh.stat().st_mode & 0o777 == 0o700


@root
def test_not_even_where_the_environment_says_so(torch_cache, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    named = tmp_path / "named"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(named))
    assert torch_cache() == named
    os.chown(named, OTHER, OTHER)
    with (
        pytest.warns(RuntimeWarning, match="for this process alone"),
        pytest.warns(RuntimeWarning, match="named' belongs to user 65534"),
    ):
        assert torch_cache().parent == tmp_path
