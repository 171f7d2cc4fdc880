"""URLs that are made of paths: names stay names, whatever ``?``, ``%`` and ``#`` mean in a URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from results.folder import RunFolder
from search.runners.tuned import sqlite_uri
from search.storage import place_of
from spaces.errors import RunError

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(NAMES.filter(lambda name: name not in (".", "..")))
def test_a_run_of_any_name_has_a_place_of_its_own_in_a_storage(name):
    uri = place_of("memory://runs/", RunFolder(Path("/somewhere") / name))
    found = urlsplit(uri) if uri.isprintable() else None
    assert not set(uri.removeprefix("memory://runs/")) & set("?#/")
    assert found is None or (found.query, found.fragment, unquote(found.path)) == ("", "", f"/{name}")


@given(NAMES)
def test_the_uri_for_mlflow_names_this_very_file(name):
    path = Path("/somewhere") / name / "mlflow.db"
    assert sqlalchemy.make_url(sqlite_uri(path)).database == str(path)


def test_an_sqlalchemy_that_reads_another_file_is_named(monkeypatch):
    monkeypatch.setattr(sqlalchemy, "make_url", lambda uri: sqlalchemy.URL.create("sqlite", database="/runs/a"))
    with pytest.raises(RunError, match=r"would write '/runs/a\?b/mlflow.db' into '/runs/a': choose an --out without"):
        sqlite_uri(Path("/runs/a?b/mlflow.db"))
