"""Kernels that are kept: only whole ones, and ours, are loaded, whatever lies there; all others are compiled anew."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from spaces.native import library

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Folders that the kernels were compiled into: a copy of those that are there already."""
    content, into = Path(library.kernels()._name).read_bytes(), []

    def copy(folder, name):
        path = folder / library._named(name, content)
        path.with_suffix(".new").write_bytes(content)
        into.append(folder)
        return path.with_suffix(".new").replace(path)  # what is loaded already is not written to

    monkeypatch.setattr(library, "_compiled", copy)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return into


def test_one_that_is_whole_is_loaded_and_any_other_compiled_anew(compiled, tmp_path):
    kept = Path(library._loaded()._name)
    assert kept.parent == tmp_path / "cache" / "spikefront" / "kernels"
    content = kept.read_bytes()
    for wrong in (content[:-1], content + b"\0", b"", b"no library"):
        kept.unlink()
        kept.write_bytes(wrong)
        compiled.clear()
        assert library._loaded()._name == str(kept)
        assert compiled == [kept.parent]
        assert kept.read_bytes() == content
    compiled.clear()
    assert library._loaded()._name == str(kept)
    assert not compiled


def test_one_that_lacks_a_function_or_is_none_is_compiled_anew(compiled, tmp_path):
    kept = Path(library._loaded()._name)
    name = kept.name.rpartition("-")[0]
    (tmp_path / "other.c").write_text("int pack_bits(void) { return 0; }\n")
    subprocess.run(
        [*library._compiler(), "-shared", "-fPIC", "-o", tmp_path / "other.so", tmp_path / "other.c"], check=True
    )
    for wrong in ((tmp_path / "other.so").read_bytes(), b"no library"):
        kept.unlink()
        (kept.parent / library._named(name, wrong)).write_bytes(wrong)
        compiled.clear()
        assert library._loaded()._name == str(kept)
        assert compiled == [kept.parent]


def test_another_place_is_taken_where_others_could_write(compiled, tmp_path):
    kept = Path(library._loaded()._name).parent
    kept.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others may write to"):
        found = Path(library._loaded()._name)
    assert found.parent == tmp_path / "temporary" / f"spikefront-{os.getuid()}" / "kernels"


@pytest.mark.parametrize("home", ["/proc/none", ""])
def test_without_a_cache_they_are_kept_in_the_temporary_folder(compiled, tmp_path, monkeypatch, home):
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    for _ in range(2):
        assert Path(library._loaded()._name).parent.parent == tmp_path / "temporary" / f"spikefront-{os.getuid()}"
    assert len(compiled) == 1


@root
def test_a_cache_that_is_read_only_is_used_and_one_that_lacks_them_passed_over(compiled, monkeypatch):
    """As in a container whose image has a cache, and whose user is another."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        Path(home).chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", f"{home}/cache")
        monkeypatch.setattr(tempfile, "tempdir", f"{home}/temporary")
        Path(home, "temporary").mkdir()
        Path(home, "temporary").chmod(0o1777)
        kept = Path(library._loaded()._name)
        for path in (kept, *kept.parents[:3]):
            path.chmod(0o755)
        for content in (kept.read_bytes(), b"none"):
            kept.unlink()
            kept.write_bytes(content)
            os.seteuid(65534)
            try:
                found = Path(library._loaded()._name)
            finally:
                os.seteuid(0)
            assert (found == kept) == (content != b"none")
        assert found.parent == Path(home, "temporary", "spikefront-65534", "kernels")


@pytest.mark.parametrize(("compiler", "way"), [("false", "mend that"), ("no-compiler-of-this-name", "cannot be run")])
def test_what_cannot_be_compiled_is_said_with_its_reason(monkeypatch, tmp_path, compiler, way):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    library.kernels.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=way) as told:
            assert library.kernels() is None
        assert len(told) == 1
    finally:
        library.kernels.cache_clear()


def test_without_a_compiler_one_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    library.kernels.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="no C compiler found.*install a C compiler such as gcc"):
            assert library.kernels() is None
    finally:
        library.kernels.cache_clear()
