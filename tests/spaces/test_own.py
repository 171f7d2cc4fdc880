"""People's own space files that are wrong in any way: one line with file, line and reason, never a traceback.

``OWN_FILES`` says how many of the files below are tried; by hand it has been all of them.
"""

import os
import re
from itertools import product

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import launch
from spaces.errors import SearchError, SpaceError, one_line, typed_line
from spaces.find import OwnError, make_space, own_code
from spaces.sound import check_space, try_out
from spaces.space import LISTED, Space, draw_blank
from spaces.spec import TaskSpec

SPEC = TaskSpec(channels=1, height=8, width=8, classes=2)
GOOD = """\
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from spaces.blanks import Free
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Conv, Flatten, Linear, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.space import Space
from spaces.timing import Repeat


class Mute(Exception):
    def __str__(self):
        raise self


def throw(error):
    raise error


def broken(*args, **options):
    return 1 / 0


def build(spec, draft):
    kernel = draft.choice("kernel", {1: lambda: Conv(1, 4, 1), 3: lambda: Conv(1, 4, 3)})
    links = {"stem": nn.Sequential(kernel, Norm(4), Repeat(TIMESTEPS), Neuron("lif"))}
    links["head"] = nn.Sequential(Flatten(), Linear(4 * 8 * 8, 4), Neuron("lif"), Vote(2))
    return Network(links)


TIMESTEPS = 3
FIELDS = dict(
    name="mine", about="a space", blanks={"kernel": CategoricalDistribution([1, 3])}, timesteps=TIMESTEPS, build=build
)


def mine():
    return Space(**FIELDS)
"""
ODD = ["None", "0", "1.5", "-1", "''", "'x'", "[]", "{}", "object()", "float('nan')", "True", "print", "(1, 2)", "str"]
RAISED = [
    *(
        "ValueError()",
        "ValueError('two\\nlines')",
        "Exception",
        "Mute()",
        "RuntimeError()",
        "MemoryError()",
        "KeyError(3)",
    ),
    *("OverflowError()", "KeyError(3)", "SystemExit(3)", "StopIteration()", "GeneratorExit()", "RecursionError()"),
    *("SpaceError('no')", "AssertionError()", "BaseException()", "UnicodeDecodeError('utf-8', b'x', 0, 1, '')"),
]
BLANKS = [
    *ODD,
    *(f"CategoricalDistribution([{one}, 3])" for one in ("None", "1.5, 1.5", "'3'", "float('nan')", "2 ** 70", "(1,)")),
    *("IntDistribution(0, 2 ** 63)", "IntDistribution(1, 3)", "FloatDistribution(0.0, float('inf'))"),
    *("FloatDistribution(-1.7e308, 1.7e308)", "FloatDistribution(0, 1)", "CategoricalDistribution([1])"),
]
FUNCTIONS = ("build", "family", "infeasible", "canonical", "features")
FIELDS = ("name", "about", "blanks", "timesteps", "published", "usual", *FUNCTIONS)


def swapped(*pairs):
    text = GOOD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def with_fields(text):
    return swapped(("    return Space(**FIELDS)", f"    FIELDS.update({text})\n    return Space(**FIELDS)"))


def with_layer(line):
    odd = f"class Odd(nn.Module):\n    def forward(self, x):\n        {line}\n\n\nclass Mute"
    return swapped(("Vote(2))", "Vote(2))\n    links['odd'] = Odd()"), ("class Mute", odd))


def made_by(text):
    return swapped(("Space(**FIELDS)", text))


FILES = {
    **{f"{field} is {odd}": with_fields(f"{field}={odd}") for field, odd in product(FIELDS, ODD)},
    **{f"{name} gives {odd}": with_fields(f"{name}=lambda *args: {odd}") for name, odd in product(FUNCTIONS, ODD)},
    **{
        f"{name} raises {one}": with_fields(f"{name}=lambda *args: throw({one})")
        for name in FUNCTIONS
        for one in RAISED
    },
    **{f"the choice is {odd}": with_fields(f"blanks={{'kernel': {odd}}}") for odd in BLANKS},
    **{f"a choice is named {odd}": with_fields(f"blanks={{{odd}: IntDistribution(1, 2)}}") for odd in ODD},
    **{f"T is the choice {odd}": with_fields(f"blanks=FIELDS['blanks'] | {{'timesteps': {odd}}}") for odd in BLANKS},
    **{f"the function gives {odd}": made_by(odd) for odd in ODD},
    **{f"the function raises {one}": made_by(f"throw({one})") for one in RAISED},
    **{f"the file raises {one}": f"{GOOD}\nthrow({one})\n" for one in RAISED},
    **{f"the name is {odd}": f"{GOOD}\nmine = {odd}\n" for odd in ODD},
    **{f"a layer gives {odd}": with_layer(f"return {odd}") for odd in ODD},
    **{f"a layer raises {one}": with_layer(f"throw({one})") for one in RAISED},
    "an option is needed": swapped(("def mine():", "def mine(size):")),
    "the function is a generator": swapped(("return Space", "yield Space")),
    "there are other classes": swapped(("Linear(4 * 8 * 8, 4)", "Linear(4 * 8 * 8, 8)"), ("Vote(2)", "Vote(1)")),
    "a layer does not fit": swapped(("Linear(4 * 8 * 8, 4)", "Linear(7, 4)")),
    "a choice is not built": with_fields("blanks={**FIELDS['blanks'], 'more': IntDistribution(1, 2)}"),
    "options differ": swapped(("{1: lambda: Conv(1, 4, 1), ", "{")),
    "a published cell is none": with_fields("published={'cell': {'kernel': 9}}"),
    "a usual value is none": with_fields("usual={'kernel': 9}"),
    "features differ": with_fields("features=lambda c: {str(c['kernel']): 1.0}"),
    "no syntax": GOOD + "\nx = (",
    "a null byte": GOOD + "\0",
    "tabs and spaces": GOOD + "\nif x:\n\ty\n        z\n",
    "nothing": "",
    "a name that is not there": swapped(("def mine", "def other")),
    "a package that is not there": GOOD + "\nimport no_such_package\n",
    "deep": "x = " + "(" * 1000 + ")" * 1000,
}
RIGHT = {
    *("name is 'x'", "about is ''", "about is 'x'", "published is {}", "usual is {}", "family gives None"),
    *(f"family gives {odd}" for odd in ODD if odd not in ("[]", "{}")),
    *("family is print", "family is str", "family gives str", "infeasible gives ''", "features gives {}"),
}  # what may be so, whatever else it is


def outcome(tmp_path, text):
    path = tmp_path / "own.py"
    path.write_text(text)
    name = f"{path}:mine"
    try:
        space, _ = make_space(name)
        with own_code(name, whole=True):
            try_out(space, SPEC)
    except SearchError as error:
        return str(error)
    return ""


CHOSEN = list(FILES)[:: max(1, len(FILES) // int(os.environ.get("OWN_FILES", "48")))]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_wrong_file_is_one_line_with_file_line_and_reason(name, tmp_path):
    said = outcome(tmp_path, FILES[name])
    assert bool(said) != (name in RIGHT), said
    assert "\n" not in said
    if said:
        assert re.search(
            r"space file '.*own\.py', line \d+: \S|own\.py:mine' is a |unknown name in '.*own\.py'", said
        ), said


def test_the_right_file_is_one(tmp_path):
    assert outcome(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD.replace("return Space", "broken()\n    return Space"), "line 24: ZeroDivisionError: division by zero"),
        (GOOD + "\n\nbroken()\n", "line 24: ZeroDivisionError"),
        (GOOD.replace("Space(**FIELDS)", "Mute.other"), "line 41: AttributeError"),
        (GOOD.replace("Space(**FIELDS)", "3"), "line 40: 'own.py:mine' makes a int"),
        (with_fields("timesteps=0"), "line 40: timesteps is 0: T is a whole number from 1 to 1024"),
        ("\nthis = 1\nx = [", "line 3: SyntaxError"),
    ],
)
def test_the_line_is_where_it_was_raised_or_where_the_space_is_defined(text, line, tmp_path, monkeypatch):
    """Also where the path is relative, as most people write it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(OwnError) as error:
        make_space("own.py:mine")
    assert str(error.value).startswith(f"space file 'own.py', {line}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (with_fields("build=broken"), "line 24: ZeroDivisionError"),
        (with_fields("timesteps=None"), "line 40: timesteps is None"),
        (with_fields("infeasible=lambda candidate: throw(ValueError())"), "line 20: ValueError"),
        (GOOD.replace("Linear(4 * 8 * 8, 4)", "Linear(7, 4)"), "line 40: a layer made for 7 inputs gets 1024"),
    ],
)
def test_the_command_line_says_it_in_one_line(text, words, tmp_path, capsys):
    (tmp_path / "own.py").write_text(text)
    args = ["--space", f"{tmp_path / 'own.py'}:mine", "--out", str(tmp_path / "run")]
    for verb in ([], ["sweep"]):
        assert launch.main([*verb, *args]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
        assert not (tmp_path / "run").exists()
    assert launch.main(["spaces", f"{tmp_path / 'own.py'}:mine"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_search_meets_late_is_told_by_file_and_line_too(tmp_path, capsys):
    """What was scored by then is published."""
    text = swapped(
        ("def broken", "def late(candidate):\n    SEEN.append(candidate)\n    return candidate\n\n\ndef broken"),
        ("    return candidate", "    if len(SEEN) > 8:\n        raise ValueError\n    return candidate"),
        ("TIMESTEPS = 3", "TIMESTEPS, SEEN = 3, []"),
        ("build=build\n", "build=build, canonical=late\n"),
        ("8 * 8", "16 * 16"),
        ('4), Neuron("lif"), Vote(2)', '20), Neuron("lif"), Vote(2)'),
    )
    (tmp_path / "own.py").write_text(text)
    out = tmp_path / "run"
    args = ["--space", f"{tmp_path / 'own.py'}:mine", "--out", str(out), "--train-samples", "40", "--val-samples", "20"]
    args += ["--supernet-epochs", "1", "--candidates", "3", "--batch", "1", "--sampler", "joint", "--finalists", "0"]
    status = launch.main([*args, "--no-compile", "--threads", "1"])
    said = capsys.readouterr().err
    assert status == 2, said
    assert "own.py', line 26: ValueError" in said
    assert (out / "candidates.csv").exists()


@pytest.mark.parametrize(
    ("distribution", "low", "high", "step"),
    [
        (IntDistribution(0, 10**18), 0, 10**18, 1),
        (IntDistribution(-(2**61), 2**61), -(2**61), 2**61, 1),
        (IntDistribution(3, 10**15 + 3, step=4), 3, 10**15 + 3, 4),
        (FloatDistribution(0.0, 1e12, step=0.5), 0.0, 1e12, 0.5),
    ],
)
def test_a_blank_of_very_many_values_is_drawn_without_a_list_of_them(distribution, low, high, step):
    space = Space(name="wide", about="", blanks={"x": distribution}, timesteps=1, build=None)
    check_space(space)
    assert space.size == (high - low) // step + 1
    assert space.options("x") is None
    drawn = [draw_blank(distribution, np.random.default_rng(seed)) for seed in range(50)]
    assert all(low <= value <= high and (value - low) % step == 0 for value in drawn)
    assert len(set(drawn)) > 40
    for value in drawn:
        space.check({"x": value})
    with pytest.raises(SpaceError, match="cannot be"):
        space.check({"x": high + step})


def test_few_values_are_drawn_as_from_their_list():
    for distribution, values in (
        (IntDistribution(2, 8, step=3), [2, 5, 8]),
        (FloatDistribution(0.5, 2.0, step=0.5), [0.5, 1.0, 1.5, 2.0]),
        (CategoricalDistribution(["a", "b"]), ["a", "b"]),
        (IntDistribution(4, 4), [4]),
    ):
        space = Space(name="few", about="", blanks={"x": distribution}, timesteps=1, build=None)
        assert space.options("x") == values
        for seed in range(20):
            index = int(np.random.default_rng(seed).integers(len(values)))
            assert draw_blank(distribution, np.random.default_rng(seed)) == values[index]
    assert LISTED >= 10**4


def test_a_size_beyond_all_counting_is_infinite():
    wide = {f"x{i}": IntDistribution(0, 10**18) for i in range(20)}
    assert Space(name="wide", about="", blanks=wide, timesteps=1, build=None).size == float("inf")


class Mute(Exception):
    def __str__(self):
        raise self


@pytest.mark.parametrize("error", [ValueError(), ValueError(" \n"), Mute(), OSError(), MemoryError(), KeyError("")])
def test_an_error_without_text_is_told_by_its_type(error):
    assert one_line(error)
    assert type(error).__name__ in typed_line(error)
    assert "\n" not in typed_line(error)


def test_an_error_without_text_does_not_hide_behind_another(monkeypatch):
    """Where the device and the supernet are tried."""
    from search import setting
    from search.work.checks import check_fit

    def empty(*args, **options):
        raise RuntimeError

    monkeypatch.setattr(setting.torch, "empty", empty)
    with pytest.raises(SearchError, match=r"--device 'cpu' cannot be used here \(RuntimeError\)"):
        setting.make_device("cpu")
    space = Space(name="any", about="", blanks={}, timesteps=1, build=empty)
    with pytest.raises(SearchError, match=r"cannot be held in memory \(RuntimeError\): lower --width"):
        check_fit(space, type("Task", (), {"spec": SPEC}), "autosnn")
