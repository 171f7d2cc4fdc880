"""The command line's parser: each fault is one line that names the option; nothing empty or idle passes.

``PARSER_EXAMPLES`` sets how many drawn command lines the parser is called with; by hand it has been 2000.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import launch
from evaluators.pruning.methods import METHODS
from evaluators.tasks.load import DATA_SETS
from search.options import needs
from search.options.commands import parse_search, parse_sweep, parser_of
from search.options.config import OPTIONS, Config, configure, from_json, to_json
from search.options.declare import declared, flag
from search.options.needs import NEEDS, check_effect, idle, spelled
from search.options.parser import Parser, parts
from search.options.pruning import NEEDS as OF_TICKETS
from search.options.pruning import PruningOptions
from spaces.errors import OptionError, SearchError

EXAMPLES = int(os.environ.get("PARSER_EXAMPLES", "60"))


def said_of(capsys, args):
    assert launch.main(args) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("verb", list(launch.VERBS))
def test_an_empty_value_of_any_option_is_refused_by_name(verb, capsys):
    """As an unset shell variable gives: in the next word, behind an equals sign, or of blanks alone."""
    for option, kind in parser_of(verb).flags.items():
        if kind is None:
            continue
        for words in ([option, ""], [f"{option}="], [option, "  "]):
            assert f"{option} has an empty value" in said_of(capsys, [verb, *words])
    if verb in ("resume", "prune", "report", "spaces"):
        assert "an argument has an empty value" in said_of(capsys, [verb, ""])


def test_a_list_with_an_empty_part_is_refused_by_name(capsys):
    for option in ("objectives", "reference", "fidelities", "table-choices"):
        for text in (",", "a,", ",a", "a,,b", " , a"):
            assert f"--{option} {text!r} has an empty part" in said_of(capsys, [f"--{option}", text])
    assert parts("--spare", "stem, head") == ("stem", "head")
    for option in ("--sparsity", "--spare"):
        assert f"{option} '0.5,' has an empty part" in said_of(capsys, ["prune", "nowhere", option, "0.5,"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["--optimiser", "sgd"],
            "unknown option '--optimiser' (it is of launch.py prune); see launch.py search --help",
        ),
        (["--optimizer", "sgd"], "(did you mean '--optimiser' of launch.py prune?)"),
        (["--seeds", "0,1"], "unknown option '--seeds' (it is of launch.py sweep)"),
        (["sweep", "--seed", "1"], "unknown option '--seed' (it is of launch.py search); see launch.py sweep --help"),
        (["sweep", "--prune", "imp"], "unknown option '--prune' (it is of launch.py search)"),
        (["sweep", "--fidelities=0.1:a=b"], "unknown option '--fidelities' (it is of launch.py search)"),
        (["resume", "x", "--epochs", "3"], "unknown option '--epochs' (it is of launch.py prune)"),
        (
            ["--epochs", "3"],
            "(it is of launch.py prune, here are '--few-shot-epochs' or '--finalist-epochs' or '--supern",
        ),
        (["--lr", "0.1"], "did you mean '--learning-rate'?"),
        (["--objective", "spikes"], "did you mean '--objectives'?"),
        (["--quux"], "unknown option '--quux'; see launch.py search --help"),
        (["-x"], "unknown option '-x'; see launch.py search --help"),
        (["--space", "my_space.py"], "write my_space.py:NAME"),
        (["spaces", "folder/mine.py"], "write folder/mine.py:NAME"),
    ],
)
def test_unknown_names_are_answered_by_near_ones_or_where_they_are_known(args, words, capsys):
    said = said_of(capsys, args)
    assert words in said
    assert "--paths" not in said
    assert "dualspace'" not in said


IDLE = {  # every row of NEEDS: options, each with what shows it idle
    "--table-choices a": "give its file with --table",
    "--fidelities 0.5:accuracy=b": "give its file with --table",
    "--table t.csv --floor 0.5": "a table does not say what a guess scores",
    "--table t.csv --no-racing": "drop --table, or drop --no-racing",
    "--table t.csv --download": "drop --table",
    "--table t.csv --workers 2": "drop --table",
    "--table t.csv --batch-size 32": "drop --table",
    "--table t.csv --table-choices a --width 8": "give --space NAME in its place",
    "--floor 0.4 --min accuracy=0.5": "bounds accuracy",
    "--floor 0.4 --objectives spikes,energy_nj": "bounds accuracy",
    "--download": "is of public data sets",
    "--no-verify --data my/data.npz": "is of public data sets",
    "--data-dir there": "is of public data sets",
    "--event-frames count": "is of recordings of events",
    "--image-fit pad": "add --image-size 32",
    "--loss mse --logit-scale 3": "give --loss ce or tet",
    "--timesteps 2 --time-schedule 2:0.5": "give a smaller T",
    "--few-shot-epochs 10": "add --few-shot CHOICE, or drop --few-shot-epochs",
    "--threshold-balancing --recalibration-samples 0": "give --recalibration-samples 1 or more",
    "--spike-weight -0.08": "add --sampler evolution",
    "--supernets 2 --no-racing": "drop --supernets",
    "--finalists 0 --finalist-epochs 5": "give --finalists 1 or more",
    "--finalists 0 --finalist-weights fresh": "give --finalists 1 or more",
    "--sparsity 0.9": "--sparsity 0.9 is of lottery tickets, which --prune makes: add --prune METHOD, or drop",
    "--log mlflow --runner ray": "add --runner tune",
    "--storage there": "add --runner ray",
    "--retries 3": "add --runner ray",
    "--train-workers 2 --workers 2": "is of workers that score candidates",
    "--train-workers 2 --candidate-timeout 2": "is of workers that score candidates",
    "--runner ray --address auto --object-store-mb 100": "drop --address",
    "sweep --paths 1": "which a sweep has with --proxy supernet alone: add it, or drop --paths",
    "sweep --data digits my/data.npz --download": "is of public data sets",
}


@pytest.mark.parametrize(("words", "said"), IDLE.items())
def test_an_option_without_effect_is_an_error_that_names_what_is_missing(words, said, capsys):
    """Also where its value is the default."""
    assert said in said_of(capsys, words.split())


WORKING = (
    "--prune imp --sparsity 0.9",
    "--data cifar10 --download --no-verify --data-dir there",
    "--data nmnist --event-frames count",
    "--data a/folder --event-frames count",
    "--few-shot slot1 --few-shot-epochs 3",
    "--sampler evolution --spike-weight -0.1",
    "--train-workers 2 --retries 1 --storage there --cpus-per-worker 2",
    "--table t.csv --table-choices a --finalists 0 --runner in-process --log none --seed 3",
    "--timesteps 4 --time-schedule full",
    "--floor 0.3 --objectives separability,spikes",
)


@pytest.mark.parametrize("words", WORKING)
def test_options_with_effect_pass(words):
    assert isinstance(parse_search(words.split()), Config)


def test_how_recordings_are_cut_is_refused_where_data_hold_none(tmp_path, capsys):
    images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    args = ["--data", str(tmp_path / "images.npz"), "--event-frames", "count", "--out", str(tmp_path / "run")]
    assert "--event-frames count is of recordings of events" in said_of(capsys, args)
    assert not (tmp_path / "run").exists()


def test_what_one_data_set_of_a_sweep_takes_up_passes():
    config, _, data, _ = parse_sweep(["--data", "digits", "cifar10", "--download"])
    assert (config.data.download, data) == (True, ["digits", "cifar10"])


def test_what_one_run_of_a_grid_takes_up_is_left_out_of_the_others():
    plain, public = configure(data="digits"), configure(data="mnist")
    check_effect([plain, public], ["data_dir", "threads"])
    assert list(idle(plain, ["data_dir", "threads"])) == ["data_dir"]
    assert not idle(public, ["data_dir", "threads"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fading_rate": 0.1}, "add --method fading"),
        ({"method": "gmp", "rewind_epoch": 1}, "those of imp and early-time"),
        ({"method": "fading", "budget": "layer"}, "the firing rates decide"),
        ({"pattern": "2:4", "floor": 0.1}, "take --pattern weights or channels"),
        ({"pattern": "2:4", "budget": "layer"}, "take --pattern weights or channels"),
    ],
)
def test_options_of_tickets_without_effect_are_errors(options, said):
    with pytest.raises(OptionError, match=said):
        check_effect([PruningOptions(**options)], options, OF_TICKETS)


def test_the_tables_of_needs_name_what_there_is():
    known = set(OPTIONS)
    assert all(set(need.options) <= known for need in NEEDS)
    assert all(set(need.options) <= set(declared(PruningOptions)) for need in OF_TICKETS)
    assert (*needs.IMAGE_SETS, needs.EVENTS) == tuple(DATA_SETS)
    others = {
        *("space", "width", "timesteps", "neuron", "fix", "table", "table_choices", "objectives", "constraints"),
        *("reference", "fidelities", "floor", "seed", "sampler", "candidates", "minutes", "batch", "warm_start"),
        *("try_first", "out", "export_optuna", "runner", "train_epochs", "proxy"),
    }
    assert {*needs.OF_NETWORKS, *others} == known  # a new option is one of these
    assert spelled("verify", False) == "--no-verify"
    assert spelled("download", True) == "--download"
    assert spelled("learning_rate", 0.5) == "--learning-rate 0.5"


@pytest.mark.parametrize(
    "words",
    [
        *("--learning-rate 1e-300", "--learning-rate 5e-324", "--learning-rate 1e308", "--learning-rate -0.0"),
        *("--minutes inf", "--minutes 1e300", "--minutes 5e-324", "--norm-scale 1e-310", "--head-gain 1e308"),
        *("--logit-scale nan", "--logit-scale 1e308", "--spike-weight 1e5", "--spike-weight -inf", "--floor nan"),
        *("--floor -1e-300", "--test-share nan", "--cpus-per-worker 1e-300", "--cpus-per-worker 1e300"),
        *("--gpus-per-worker 1e-300", "--gpus-per-worker nan", "--candidate-timeout 1e300"),
        *("--candidate-timeout 5e-324", "--seed 99999999999999999999", "--max spikes=1e308", "--min spikes=-1e300"),
        *("--reference accuracy=1e200,spikes=1,energy_nj=1", "--search-sparsity nan", "--search-sparsity 1e-300"),
        "--time-schedule 1:5e-324",
    ],
)
def test_numbers_that_nothing_can_be_done_with_are_refused_by_name(words, capsys):
    option = words.split()[0]
    assert option in said_of(capsys, words.split())


NUMBERS = st.one_of(
    st.floats().map(str),
    st.integers(-(10**40), 10**40).map(str),
    st.sampled_from(["0", "-0", "1e-300", "5e-324", "1e400", "nan", "-inf", "1_0", "٣", "0x10", "1" * 400]),
)
NAMES = sorted(
    {*(name for one in OPTIONS.values() for name in one.option.choices), *DATA_SETS, *METHODS, "autosnn", "evolution"}
)
VALUES = st.one_of(NUMBERS, st.sampled_from(NAMES), st.text(max_size=8), st.sampled_from(["", " ", ",", "a,b", "a=1"]))


@st.composite
def command_lines(draw):
    """A verb, and options of it with values that are drawn."""
    verb = draw(st.sampled_from(["search", "search", "search", "sweep"]))
    flags = parser_of(verb).flags
    words = []
    for word in draw(st.lists(st.sampled_from(sorted(flags)), max_size=5)):
        words.append(word)
        if flags[word] is not None:
            words.append(draw(NUMBERS if flags[word] in (int, float) else VALUES))
    return verb, words + draw(st.lists(VALUES, max_size=1))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(command_lines())
@example(("search", ["--fidelities", "1e-300:A=B"]))
@example(("sweep", ["--seeds", ""]))
def test_any_options_and_values_end_in_a_configuration_or_one_line(line):
    verb, words = line
    try:
        config = parse_search(words) if verb == "search" else parse_sweep(words)[0]
    except SearchError as error:
        assert str(error).strip()  # noqa: PT017
        assert len(" ".join(str(error).split())) < 2000  # noqa: PT017
        return
    assert from_json(to_json(config)) == config
    for name, value in to_json(config).items():
        assert not isinstance(value, float) or abs(value) < 1e10, flag(name)


def test_a_parser_says_in_one_line_what_argparse_finds():
    parser = Parser(prog="p")
    parser.add("", "--n", kind=int)
    with pytest.raises(OptionError) as error:
        parser.parse(["--n", "9" * 5000 + "x"])
    assert len(str(error.value)) < 400
    with pytest.raises(OptionError, match="expected one argument; see p --help"):
        parser.parse(["--n"])


def test_an_option_may_have_an_older_name():
    assert parse_search(["--table", "t.csv", "--table-blanks", "a,b"]).table.choices == ("a", "b")
    assert "--table-blanks" not in parser_of("search").format_help()
