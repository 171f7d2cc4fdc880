"""The version of this program."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAME = "spikefront"


def program_version() -> str:
    """As it is installed; in a folder that is not, as its pyproject.toml says."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])
