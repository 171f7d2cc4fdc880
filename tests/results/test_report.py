import doctest
import json
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from results import reasons
from results.folder import create_or_open
from results.ledger import Ledger, Outcome
from results.report import formats, words
from results.report.page import embed, write_report
from results.table import front_numbers
from spaces.candidate import Candidate, Score
from spaces.errors import LedgerError, RunError

CONFIG = {
    "match": {
        "space": "autosnn",
        "data": "digits",
        "seed": 3,
        "objectives": ["accuracy:max", "spikes:min", "energy_nj:min"],
        "constraints": ["energy_nj <= 500"],
        "options": {"width": 16, "neuron": "plif"},
    },
    "versions": {"torch": "9.8.7"},
    "created": "2026-11-22T01:02:03",
}
HOSTILE = (
    "</script><script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)> & “ßµ” \u2028 \ud800 {{ 7*7 }}"
)
METRICS = {
    "picked_as": "best accuracy",
    "seed": 3,
    "test_accuracy": 0.98349,
    "val_accuracy": 0.985,
    "spikes": 12840.4,
    "spikes_autosnn": 15001.0,
    "energy_nj": 41.08,
    "sops": 45000.0,
    "sops_by_rate": 48017.0,
    "macs": 36864.0,
    "parameters": 418000,
    "timesteps": 4,
    "epochs": 3,
    "seconds": 21.0,
    "curve": [{"epoch": e, "loss": 1 / e, "val_accuracy": 1 - 1 / (e + 1)} for e in (1, 2, 3)],
    "supernet": {"accuracy": 0.931, "spikes": 14000.0, "energy_nj": 50.0},
    "layers": [
        {"name": "stem", "op": "conv3x3", "shape": [16, 16, 16], "neurons": 4096, "spikes": 3000.0, "rate": 0.183}
        | {"sops": 0.0, "macs": 36864.0, "energy_nj": 20.0},
        {"name": "vote", "op": "mean", "shape": [10], "neurons": 0, "spikes": None, "rate": None}
        | {"sops": None, "macs": None, "energy_nj": None},
    ],
    "energy": {
        "model": "horowitz2014",
        "node_nm": 45,
        "precision": "fp32",
        "pj_mac": 4.6,
        "pj_ac": 0.9,
        "policy": {"memory": "not included"},
        "headline_nj": 41.08,
        "lines": {"bias additions": 0.2},
    },
}
ARCHITECTURE = {
    "nodes": [
        {"id": "stem", "label": "stem", "detail": "conv", "role": "conv", "shape": [16, 16, 16]},
        {"id": "slot1", "label": "SRB_k5", "detail": "slot 1", "role": "block", "shape": [16, 16, 16]},
        {"id": "head", "label": "linear", "detail": "", "role": "head", "shape": [100]},
    ],
    "edges": [["stem", "slot1"], ["slot1", "head"], ["stem", "head"]],
}


class Page(HTMLParser):
    """What a browser would make of the page: elements, text outside scripts, and the scripts' content."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.scripts, self._inside = [], [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.text = " ".join(" ".join(self.texts).replace("\u202f", " ").split())
        self.records = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.texts.append(data)

    def having(self, attribute):
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def outcome(number, accuracy=None, spikes=None, *, slot="SRB_k5", **score):
    score = {"state": "ok", "fidelity": "supernet", "seconds": 1.5} | score
    energy = None if spikes is None else spikes / 250
    return Outcome(
        number,
        0,
        Candidate({"slot1": slot, "slot2": number % 7}),
        Score(accuracy=accuracy, spikes=spikes, energy_nj=energy, **score),
    )


def failed(number, error, **score):
    return outcome(number, state="failed", error=error, traceback=f"Traceback\n{error}" * 200, **score)


@pytest.fixture
def make(tmp_path):
    def build(outcomes, finalists=()):
        folder = create_or_open(tmp_path / "run", config=CONFIG)
        with Ledger.open(folder.ledger) as ledger:
            for one in outcomes:
                ledger.append(one)
        for number, metrics in dict(finalists).items():
            place = folder.finalist(number)
            place.mkdir(parents=True)
            if metrics is not None:
                (place / "metrics.json").write_text(json.dumps(metrics))
                (place / "architecture.json").write_text(json.dumps(ARCHITECTURE))
        return folder

    return build


def finished():
    searched = [outcome(n, 0.9 - 0.01 * n, 14000.0 - 900 * n) for n in range(6)]
    lost = [failed(6, "loss is nan at step 31"), failed(7, "loss is nan at step 2")]
    silent = outcome(8, None, 0.0, state="infeasible", error="no spike at the readout")
    trained = Outcome(
        9,
        -1,
        searched[0].candidate,
        Score(state="ok", fidelity="trained", accuracy=0.985, spikes=12840.4, energy_nj=41.08),
    )
    return [*searched, *lost, silent, trained]


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ({"floor": 0.5}, True),
        ({"floor": 0.5, "constraints": ["accuracy>=0.6"]}, False),
        ({"floor": 0.5, "constraints": ["accuracy<=0.6"]}, True),
        ({"floor": 0.5, "objectives": ["spikes:min", "energy_nj:min"]}, False),
        ({"floor": 0.5, "objectives": ["separability:max", "spikes:min"]}, True),
        ({"floor": 0.5, "objectives": ["separability:max"], "constraints": ["separability>=0.6"]}, False),
        ({"floor": 0.0}, False),
        ({}, False),
    ],
)
def test_a_floor_is_explained_where_there_was_one(tmp_path, match, said):
    folder = create_or_open(tmp_path / "run", config=CONFIG | {"match": CONFIG["match"] | match})
    with Ledger.open(folder.ledger) as ledger:
        ledger.append(outcome(0, 0.9, 1000.0))
    text = Page(write_report(folder)).text
    assert ("Networks under 50.0 % of the way from chance" in text) == said


def test_a_finished_run_is_told_in_full(make):
    folder = make(finished(), {0: METRICS | {"number": 0}})
    assert write_report(folder) == folder.report
    page = Page(folder.report)
    for words_ in [
        "autosnn on digits",
        "best accuracy, fewest spikes and lowest energy, within energy_nj <= 500",
        "6 candidates scored in 14 s from supernet weights. 2 failed and 1 was infeasible.",
        "1 finalist trained alone in 21 s.",
        "Best finalist (0): 98.3 % test accuracy at 12 840 spikes and 41.1 nJ a sample.",
        "+5.4 points",
        "15 001 spikes",
        "the test split was read once a finalist",
        "Pooling emits no spikes of its own",
        "loss is nan at step 31",
    ]:
        assert words_ in page.text
    assert "can be trusted" not in page.text  # one finalist has no ranking
    for key, value in {
        "match.options.neuron": "plif",
        "versions.torch": "9.8.7",
        "created": "2026-11-22T01:02:03",
    }.items():
        assert f"{key} {value}" in page.text
    for key, value in {
        "model": "horowitz2014",
        "pj_mac": "4.6",
        "policy.memory": "not included",
        "headline_nj": "41.1",
        "bias additions": "0.2",
    }.items():
        assert f"{key} {value}" in page.text


def test_two_finalists_say_how_far_the_ranking_can_be_trusted(make):
    swapped = METRICS | {"val_accuracy": 0.97, "spikes": 9000.0, "supernet": {"accuracy": 0.94, "spikes": 1.0}}
    page = Page(write_report(make(finished(), {0: METRICS, 1: swapped})))
    assert "Ranked by validation accuracy, 0 of 1 pair stands in the same order." in page.text
    assert "Ranked by spikes, 1 of 1 pair" in page.text
    assert "So few say little" in page.text
    assert "Ranked by energy" not in page.text


def test_the_page_loads_nothing(make):
    folder = make(finished(), {0: METRICS})
    page = Page(write_report(folder))
    for attribute in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
        for value in page.having(attribute):
            assert value == "data:," or value.startswith("#")
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "embed", "base")]
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and "content" in a and "default-src" in a["content"]
    )
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert len(page.scripts) == 3
    style = folder.report.read_text().split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


def test_the_data_is_the_ledger_and_the_front_is_a_table_with_buttons(make):
    outcomes = finished()
    page = Page(write_report(make(outcomes, {0: METRICS})))
    fields = [*page.records["fields"], *page.records["blanks"]]
    rows = [dict(zip(fields, row, strict=True)) for row in page.records["rows"]]
    assert [row["number"] for row in rows] == list(range(10))
    assert [row["accuracy"] for row in rows] == [one.score.accuracy for one in outcomes]
    assert [row["slot2"] for row in rows] == [one.candidate["slot2"] for one in outcomes]
    front = front_numbers(outcomes, ["accuracy", "spikes", "energy_nj"], [1, -1, -1])
    assert {row["number"] for row in rows if row["front"]} == front == {0, 1, 2, 3, 4, 5, 9}
    buttons = [int(a["data-candidate"]) for t, a in page.tags if t == "button" and "aria-label" in a]
    assert buttons == [9, 0, 1, 2, 3, 4, 5]
    assert page.records["finalists"] == [{"number": 0, "trained": 9}]
    assert page.records["start"] == 0


def test_the_architecture_and_layers_are_drawn(make):
    page = Page(write_report(make(finished(), {0: METRICS})))
    assert page.having("data-node") == ["stem", "slot1", "head"]
    assert page.having("data-edge") == ["stem → slot1", "slot1 → head", "stem → head"]
    assert sum(tag == "polyline" for tag, _ in page.tags) == 2
    assert "stem conv3x3 16 × 16 × 16 4 096 18.3 %" in page.text.replace("\u200a", " ")
    bars = [a["style"] for t, a in page.tags if t == "i"]
    assert bars == ["--share:1.0", "--share:1.0"]


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ([], "Nothing has been scored yet: the ledger is empty."),
        ([failed(0, "boom")], "No candidate could be scored, so there is no front"),
        ([outcome(0, 0.9, 100.0)], "No finalist has been trained yet"),
        ([outcome(0, None, 100.0, fidelity="proxy")], "No finalist has been trained yet"),
    ],
)
def test_an_unfinished_run_says_what_is_missing(make, outcomes, sentence):
    page = Page(write_report(make(outcomes)))
    assert sentence in page.text
    assert "No finalist has been trained yet. When the run goes on" in page.text
    assert len(page.records["rows"]) == len(outcomes)


def test_without_finalists_the_cards_are_of_the_supernet_front(make):
    page = Page(write_report(make(finished()[:-1])))
    assert "Best accuracy (0): 90.0 % validation accuracy, supernet at 14 000 spikes and 56 nJ" in page.text
    assert "Fewest spikes" in page.text


def test_a_finalist_in_training_is_named(make):
    page = Page(write_report(make(finished()[:-1], {0: None})))
    assert "Not finished: 1 finalist (0) in training." in page.text


def test_a_torn_ledger_is_reported_as_far_as_it_is_intact(make):
    folder = make(finished())
    folder.ledger.write_bytes(folder.ledger.read_bytes()[:-5])
    assert len(Page(write_report(folder)).records["rows"]) == 9


def test_hostile_texts_stay_texts(make):
    hostile = [outcome(0, 0.9, 100.0, slot=HOSTILE), failed(1, HOSTILE * 40, slot=HOSTILE)]
    nasty = METRICS | {
        "picked_as": HOSTILE,
        "candidate": {HOSTILE: HOSTILE},
        "layers": [{"name": HOSTILE, "op": HOSTILE}],
    }
    folder = make(hostile, {0: nasty})
    drawing = json.loads(json.dumps(ARCHITECTURE).replace('"slot1"', json.dumps(HOSTILE)))
    (folder.finalist(0) / "architecture.json").write_text(json.dumps(drawing))
    page = Page(write_report(folder))
    assert len(page.scripts) == 3
    assert not [attrs for _, attrs in page.tags if "onerror" in attrs]
    assert "img" not in {tag for tag, _ in page.tags}
    assert "{{ 7*7 }}" in page.text
    assert page.records["rows"][0][-2] == HOSTILE
    assert folder.report.stat().st_size < 6_000_000


def test_embedded_json_has_no_way_out_of_its_script():
    value = {"</script>": ["<!--", "\ud800", "\u2028", 0.1 + 0.2, None]}
    text = embed(value)
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == value


def test_a_nan_in_the_metrics_is_a_dash(make):
    bad = METRICS | {"energy_nj": float("nan"), "curve": [{"epoch": e, "loss": float("nan")} for e in range(3)]}
    page = Page(write_report(make(finished(), {0: bad})))
    assert "12 840 spikes and – nJ a sample" in page.text
    assert "polyline" not in {tag for tag, _ in page.tags}


def test_a_sparse_finalist_is_shown_as_far_as_it_goes(make):
    folder = make(finished(), {0: {"test_accuracy": 0.5}})
    (folder.finalist(0) / "architecture.json").unlink()
    page = Page(write_report(folder))
    assert "No architecture.json stands in this finalist’s folder." in page.text
    assert "The model is stated with each finalist’s measurement; there is none yet." in page.text


def test_the_same_run_gives_the_same_page(make):
    folder = make(finished(), {0: METRICS})
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


@pytest.mark.parametrize("bad", ["{", "[]", "", "[" * 100_000])
def test_a_damaged_finalist_file_is_an_error_in_one_line(make, bad):
    folder = make(finished(), {0: METRICS})
    (folder.finalist(0) / "metrics.json").write_text(bad)
    with pytest.raises(RunError, match=r"metrics.json.*resume") as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)


def test_a_corrupt_ledger_is_an_error(make):
    folder = make(finished())
    folder.ledger.write_text("{}\n")
    with pytest.raises(LedgerError, match="line 1"):
        write_report(folder)


def test_failures_are_grouped_by_reason_whatever_the_numbers_in_it():
    groups = reasons.failures(finished())
    assert [(group["state"], group["count"], group["number"]) for group in groups] == [
        ("failed", 2, 6),
        ("infeasible", 1, 8),
    ]
    assert len(groups[0]["traceback"]) == 4000


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(words).failed == doctest.testmod(formats).failed == 0
    assert doctest.testmod(formats).attempted >= 5


CLICKS = """<script>setTimeout(() => {
  const shown = () => document.getElementById("panel").dataset.shown;
  const seen = [shown()];
  document.querySelector('#front-table [data-candidate="3"]').click();
  seen.push(shown());
  const figure = document.getElementById("figure");
  const trace = figure.data.find((one) => one.customdata && one.customdata.includes(5));
  figure.emit("plotly_click", { points: [{ customdata: trace.customdata[trace.customdata.indexOf(5)] }] });
  seen.push(shown());
  const filter = document.getElementById("filter");
  filter.value = "nan";
  filter.dispatchEvent(new Event("input"));
  seen.push(document.getElementById("position").textContent);
  document.body.dataset.seen = seen.join(" | ");
}, 500)</script></body>"""


def browsed(path, script, tmp_path):
    """The page as a browser holds it after a script at its end has run."""
    path.write_text(path.read_text().replace("</body>", script))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_clicks_show_the_candidate(make, tmp_path):
    page = browsed(write_report(make(finished(), {0: METRICS})), CLICKS, tmp_path)
    assert 'data-seen="0 | 3 | 5 | 1–2 of 2"' in page


def looked_up(*points, names=("val", "cost")):
    """Outcomes of a search in a table: further columns, and nothing else."""
    scores = [Score(state="ok", fidelity="trained", columns=dict(zip(names, point, strict=True))) for point in points]
    return [Outcome(n, 0, Candidate({"op": n}), score) for n, score in enumerate(scores)]


TABLE = {
    "match": {"space": "table", "table_blanks": ["op"], "objectives": ["val:max", "cost:min"], "finalists": 4},
    "config": {"table": "some/where/bench.csv.gz"},
    "task": {"name": "bench"},
}


def tabular(tmp_path, outcomes, **match):
    folder = create_or_open(tmp_path / "run", config=TABLE | {"match": TABLE["match"] | match})
    with Ledger.open(folder.ledger) as ledger:
        for one in outcomes:
            ledger.append(one)
    return write_report(folder)


def test_a_search_in_a_table_is_told_in_the_tables_own_words(tmp_path):
    points = [(85.0442, 100.0), (80.0, 1200.0), (70.5, 20.25)]
    page = Page(tabular(tmp_path, looked_up(*points), reference=["cost=1000", "val=60"]))
    for sentence in [
        "table bench",
        "Searched for highest val and lowest cost. 3 candidates looked up in the table bench.csv.gz. None failed.",
        "hypervolume is 23377, from the reference point val 60, cost 1 000.",  # 900 * 25.0442 + 79.75 * 10.5
        "Highest val (0): 85.044 val at 100 cost; lowest cost (2): 70.5 val at 20.25 cost.",
        "0 trained 85.044 100 0 2 trained 70.5 20.25 2",
        "The columns of the table bench.csv.gz, as they stand there.",
    ]:
        assert sentence in page.text
    for word in ("accuracy", "Spikes", "spikes", "upernet weights", "Finalist", "nJ", "nergy"):
        assert word not in page.text.split("Configuration and provenance")[0].replace("Supernet: with weights", "")
    assert page.records["quality"] == "val"
    assert page.records["fields"] == ["number", "state", "fidelity", "val", "cost", "seconds", "error", "front"]


def test_a_column_of_a_table_may_have_any_name(tmp_path):
    """Its name is text to the page, whatever it holds, and stands beside the columns of the page's own."""
    names = (HOSTILE, "__proto__")
    outcomes = looked_up((1.0, 2.0), (2.0, 3.0), names=names)
    page = Page(tabular(tmp_path, outcomes, objectives=[f"{HOSTILE}:max", "__proto__:min"]))
    assert len(page.scripts) == 3
    assert "img" not in {tag for tag, _ in page.tags}
    assert page.records["fields"][3:5] == list(names)


LOOKS = """<script>setTimeout(() => {
  const figure = document.getElementById("figure");
  const line = figure.data.find((one) => one.mode === "lines");
  const seen = [figure.layout.xaxis.title.text, figure.layout.yaxis.title.text, figure.layout.yaxis.tickformat];
  seen.push(line.x.join(","), line.y.join(","), document.getElementById("better").textContent);
  seen.push(document.getElementById("panel").textContent, document.querySelectorAll("#candidate-table th").length);
  document.body.dataset.seen = seen.join(" | ");
}, 500)</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize(
    ("objectives", "seen"),
    [
        (["val:max", "cost:min"], "cost | val |  | 20.25,100,1200 | 70.5,85.0442,85.0442 | Up and to the left"),
        (["val:max", "cost:max"], "cost | val |  | 1200,100,20.25 | 80,85.0442,85.0442 | Up and to the right"),
        (["cost:min", "val:min"], "val | cost |  | 70.5,85.0442 | 20.25,20.25 | Down and to the left"),
        (["val:min"], "cost | val |  | 20.25,1200 | 70.5,70.5 | Down and to the left"),
    ],
)
def test_the_figure_follows_the_objectives(tmp_path, objectives, seen):
    path = tabular(tmp_path, looked_up((85.0442, 100.0), (80.0, 1200.0), (70.5, 20.25)), objectives=objectives)
    page = browsed(path, LOOKS, tmp_path)
    assert f'data-seen="{seen} | Candidate ' in page
    assert page.split('data-seen="')[1].split('"')[0].endswith(" | 7")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_single_figure_is_drawn_over_the_candidates(tmp_path):
    path = tabular(tmp_path, looked_up((3.0,), (2.0,), (5.0,), names=("val",)), objectives=["val:max"])
    assert 'data-seen="candidate | val |  | 0,2,2 | 3,5,5 | Up and to the left' in browsed(path, LOOKS, tmp_path)
