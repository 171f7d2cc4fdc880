"""Options from files and presets: the command line wins, faults are one line, and a run can be made again."""

import json
from pathlib import Path

import pytest

import launch
from search.options.commands import VERBS, options_of, parse_search, parse_sweep, parser_of
from search.options.config import OPTIONS, PARTS, Config, configure, from_json, matched, to_json, values_of
from search.options.page import page
from search.options.sources import PRESETS, read_toml, to_toml
from spaces.checksums import write_json
from spaces.errors import OptionError

SMALL = "--width 3 --timesteps 2 --supernet-epochs 1 --candidates 3 --batch 3 --finalists 1 --finalist-epochs 1"
QUICK = [*SMALL.split(), "--train-samples", "60", "--val-samples", "40", "--threads", "1", "--no-compile"]


def written(tmp_path, text):
    (tmp_path / "options.toml").write_text(text)
    return str(tmp_path / "options.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[search]\ncandidtes = 3", "[search] unknown key 'candidtes' (did you mean 'candidates'?)"),
        ("[search]\nwidth = 3", "'width' is an option of [space], not of [search]: move it there"),
        ("[serch]\ncandidates = 3", "unknown table 'serch' (did you mean 'search'?)"),
        ("candidates = 3", "'candidates' stands outside its table: write it below [search]"),
        ("space = 'autosnn'", "'space' stands outside its table: write it below [space]"),
        ("[search]\ncandidates = 'many'", "[search] candidates is 'many': give a whole number"),
        ("[search]\ncandidates = 3.5", "[search] candidates is 3.5: give a whole number"),
        ("[search]\ncandidates = true", "[search] candidates is True: give a whole number"),
        ("[goal]\nobjectives = 'spikes'", "[goal] objectives is 'spikes': give a list"),
        ("[goal]\nobjectives = [1]", "[goal] objectives is (1,): give a list"),
        ("[search]\nracing = 'no'", "[search] racing is 'no': give true or false"),
        ("[search]\nseed = 2020-01-01", "seed is datetime.date(2020, 1, 1): give a whole number"),
        (
            "[search\ncandidates = 3",
            "is not TOML (Expected ']' at the end of a table declaration (at line 1, column 8))",
        ),
        ("[search]\ncandidates = 3\ncandidates = 4", "at line 3, the end"),
        ("[search]\ncandidates = 0", "--candidates 0 is out of range: give 1 to 1000000000"),
        ("[sweep]\ntrain_epochs = 3", "[sweep] train_epochs is no option of search: take it out"),
    ],
)
def test_a_file_that_cannot_be_taken_is_one_line_with_the_place(text, words, tmp_path, capsys):
    path = written(tmp_path, text)
    assert launch.main(["--config", path]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_files_that_are_none_are_named(tmp_path, capsys):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe[search]")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "bytes.toml"):
        assert launch.main(["--config", str(path)]) == 2
        said = capsys.readouterr().err
        assert f"--config {str(path)!r}" in said
        assert said.count("\n") == 1


def test_the_command_line_takes_the_place_of_a_file_and_a_file_of_a_preset(tmp_path):
    path, told = written(tmp_path, "[search]\ncandidates = 7\nseed = 3\n[finalists]\ncount = 1"), []
    config = parse_search(["--config", path, "--preset", "quick", "--seed", "4"], told.append)
    assert (config.search.candidates, config.search.seed, config.finalists.count) == (7, 4, 1)
    assert config.supernet.epochs == PRESETS["quick"]["search"]["supernet_epochs"]
    assert told == [
        f"--seed 4 takes the place of --seed 3 in {path!r}",
        "--candidates 7 takes the place of --candidates 60 of preset quick",
        "--finalists 1 takes the place of --finalists 2 of preset quick",
        "preset quick sets --supernet-epochs 4, --finalist-epochs 2",
    ]


def test_every_preset_is_a_configuration_of_both_verbs_that_says_what_it_set():
    for preset in PRESETS:
        told = []
        config = parse_search(["--preset", preset], told.append)
        sweep = parse_sweep(["--preset", preset], told.append)[0]
        for verb, one in (("search", config), ("sweep", sweep)):
            assert {name: values_of(one)[name] for name in PRESETS[preset][verb]} == PRESETS[preset][verb]
        assert [line.startswith(f"preset {preset} sets ") for line in told] == [True, True]
    assert parse_search(["--preset", "standard"]) == Config()
    with pytest.raises(OptionError, match=r"unknown preset 'quik'.*did you mean 'quick'"):
        parse_search(["--preset", "quik"])


def test_what_a_preset_sets_need_not_have_an_effect_but_what_a_person_says_must(tmp_path):
    assert parse_search(["--preset", "quick", "--finalists", "0"]).finalists.count == 0
    path = written(tmp_path, "[tickets]\nsparsity = '0.5'")
    with pytest.raises(OptionError, match="add --prune METHOD"):
        parse_search(["--config", path])


SPELT = (
    "",
    "--space residual --fix block=sew --max spikes=100 --objectives accuracy,sops --no-racing --no-compile",
    "--table made.csv --table-choices a,b --objectives x:max,y:min --fidelities 0.5:x=z --sampler joint",
    "--prune imp --sparsity 0.5,0.9 --batch-size 16 --runner ray --workers 3 --spike-weight -0.5 --sampler evolution",
)


@pytest.mark.parametrize("words", SPELT)
def test_what_a_run_leaves_makes_its_configuration_again(words, tmp_path):
    config = parse_search(words.split())
    assert parse_search(["--config", written(tmp_path, to_toml(config))]) == config


def test_what_a_sweep_leaves_makes_it_again_and_several_of_each_may_stand_in_a_file(tmp_path):
    config, *grid = parse_sweep(["--data", "a.npz", "--seeds", "3", "--train-epochs", "2", "--candidates", "4"])
    path = written(tmp_path, to_toml(from_json(to_json(configure("sweep", **{**values_of(config), "data": "a.npz"})))))
    assert parse_sweep(["--config", path]) == (config, ["autosnn"], ["a.npz"], [3])
    path = written(tmp_path, "[search]\nseed = [1, 2]\n[space]\nname = ['autosnn', 'residual']")
    assert parse_sweep(["--config", path])[1:] == (["autosnn", "residual"], ["digits"], [1, 2])
    assert grid == [["autosnn"], ["a.npz"], [3]]
    for text in ("[search]\nseed = []", "[search]\nseed = ['a']", "[data]\nname = 3"):
        with pytest.raises(OptionError, match="or a list of them"):
            parse_sweep(["--config", written(tmp_path, text)])


def test_names_are_those_of_the_parts_or_of_the_flags(tmp_path):
    for text in ("[supernet]\nepochs = 3", "[supernet]\nsupernet_epochs = 3", "[supernet]\nsupernet-epochs = 3"):
        assert read_toml(written(tmp_path, text)) == {"supernet_epochs": 3}
    assert read_toml(written(tmp_path, "[table]\ntable_blanks = ['a']")) == {"table_choices": ("a",)}


def test_the_file_of_a_run_makes_it_again(tmp_path, capsys):
    """The same candidates and scores, and the run itself is gone on with where it is named."""
    first, again = tmp_path / "first", tmp_path / "again"
    assert launch.main([*QUICK, "--seed", "5", "--out", str(first)]) == 0
    assert launch.main(["--config", str(first / "config.toml"), "--out", str(again)]) == 0
    one, other = (
        [{**json.loads(line), "seconds": 0, "crc32": ""} for line in (run / "ledger.jsonl").read_text().splitlines()]
        for run in (first, again)
    )
    assert one == other
    kept = [json.loads((run / "config.json").read_text()) for run in (first, again)]
    assert kept[0]["hash"] == kept[1]["hash"]
    ledger = (first / "ledger.jsonl").read_bytes()
    assert launch.main(["--config", str(first / "config.toml"), "--out", str(first)]) == 0
    assert (first / "ledger.jsonl").read_bytes() == ledger


def test_a_run_of_a_newer_version_is_named(tmp_path, capsys):
    out = tmp_path / "run"
    assert launch.main([*QUICK, "--out", str(out)]) == 0
    kept = json.loads((out / "config.json").read_text())
    write_json(out / "config.json", {**kept, "schema": 99})
    for verb in ("resume", "report", "prune"):
        capsys.readouterr()
        assert launch.main([verb, str(out)]) == 2
        said = capsys.readouterr().err
        assert "newer version (schema 99, this one reads up to 2)" in said
        assert said.count("\n") == 1


def test_an_option_stands_in_one_place_and_is_known_to_all_that_read_it():
    """From the one declaration come the flag, its default and help, config.json, the match and the TOML file."""
    for name, one in OPTIONS.items():
        assert sum(name in {field.name for field in part.__dataclass_fields__.values()} for part in PARTS.values()) <= 1
        assert name in to_json(Config())
        assert (name in matched(Config())) == one.option.matched
        for verb in one.option.verbs:
            assert name in options_of(verb)
            flags = parser_of(verb).flags
            assert one.flag in flags or f"--{name}s" in flags or name == "space"
    assert all(parser_of(verb).options for verb in VERBS)


def test_the_page_of_all_options_is_that_of_the_declarations():
    kept = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
    assert page() == kept, "run `python -m search.options.page > docs/options.md`"
    for one in OPTIONS.values():
        assert not one.option.verbs or f"| `{one.flag}` |" in kept
