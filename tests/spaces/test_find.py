"""Spaces by name and out of people's own files; the README's example is one."""

import re
from pathlib import Path

import pytest

from evaluators.conformance import SpaceConformance
from spaces.errors import OptionError, SearchError, SpaceError
from spaces.find import make_space
from spaces.space import Space

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLE = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "def mine(" in code)
HEAD = "from spaces.space import Space\nfrom optuna.distributions import CategoricalDistribution\n"


def written(tmp_path, text):
    path = tmp_path / "my space.py"
    path.write_text(text)
    return path


def test_the_readmes_example_is_one_page_and_a_space(tmp_path):
    assert len(EXAMPLE.splitlines()) <= 60
    space, used = make_space(f"{written(tmp_path, EXAMPLE)}:mine", options={"width": 8, "timesteps": None})
    assert (space.name, used, space.timesteps) == ("mine", {"width": 8, "timesteps": 4}, 4)
    assert len(space.blanks) == 10


def test_options_are_the_functions_own(tmp_path):
    with pytest.raises(OptionError, match=r"--neuron lif: space .* has no such option; it has --width, --timesteps"):
        make_space(f"{written(tmp_path, EXAMPLE)}:mine", options={"neuron": "lif"})
    space, used = make_space("autosnn", options={"width": 4, "timesteps": 3, "neuron": None}, compiled=False)
    assert (space.timesteps, used, space.compiled) == (3, {"width": 4, "timesteps": 3, "neuron": "plif"}, False)


def test_a_space_itself_may_be_named(tmp_path):
    text = HEAD + "this = Space(name='this', about='', blanks={}, timesteps=1, build=None)"
    assert isinstance(make_space(f"{written(tmp_path, text)}:this")[0], Space)


def test_a_space_file_may_hold_dataclasses_whose_annotations_are_texts(tmp_path):
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, KW_ONLY\n"
        + HEAD
        + "@dataclass\nclass Sizes:\n    _: KW_ONLY\n    width: int = 4\n"
        + "this = Space(name='this', about=str(Sizes(width=3)), blanks={}, timesteps=1, build=None)"
    )
    assert make_space(f"{written(tmp_path, text)}:this")[0].about == "Sizes(width=3)"


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (None, "mine", "is not there"),
        ("x = (", "mine", "line 1: SyntaxError"),
        ("\n\nimport no_such_package", "mine", "line 3: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)", "mine", "line 2: SystemExit: 3"),
        (HEAD + "def mine(): return 3", "mine", "makes a int, not a Space"),
        (HEAD + "def mine(): return 3", "mime", "did you mean 'mine'?"),
        (HEAD + "mine = 3", "mine", "is a int: name a function"),
        (
            HEAD + "from spaces.blanks import declare\ndeclare({'a': 1}, {'a': 2})",
            "mine",
            "choice 'a' is declared twice",
        ),
    ],
)
def test_files_that_are_no_spaces_are_named_in_one_line(tmp_path, text, name, words):
    path = tmp_path / "my space.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SearchError) as error:
        make_space(f"{path}:{name}")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def build_with(blanks, ask):
    """A space whose network asks its draft for something."""

    def build(spec, draft):
        from torch import nn

        from spaces.network import Network

        ask(draft)
        return Network({"only": nn.Identity()})

    return Space(name="any", about="", blanks=blanks, timesteps=1, build=build)


def test_blanks_and_network_must_agree():
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from torch import nn

    from spaces.spec import TaskSpec

    spec = TaskSpec(channels=1, height=8, width=8, classes=2)
    blanks = {"op": CategoricalDistribution(["a", "b"]), "level": FloatDistribution(0, 1)}
    options = {"a": nn.Identity, "b": nn.Identity}
    for ask, words in (
        (lambda draft: draft.choice("op", options), "choice 'level' is declared by space 'any' but not built"),
        (lambda draft: draft.choice("opp", options), "did you mean 'op'?"),
        (lambda draft: draft.choice("op", {"a": nn.Identity}), "declared with a, b but built with a"),
        (lambda draft: draft.choice("level", options), "is not a categorical choice"),
    ):
        with pytest.raises(SpaceError, match="choice") as error:
            build_with(blanks, ask).network(spec)
        assert words in str(error.value)
    build_with(blanks, lambda draft: (draft.choice("op", options), draft.number("level"))).network(spec)


class TestTheReadmesExample(SpaceConformance):
    """It passes the suite that the README promises for it."""

    @pytest.fixture
    def space(self, tmp_path):
        return make_space(f"{written(tmp_path, EXAMPLE)}:mine", options={"width": 4, "timesteps": 3}, compiled=False)[0]
