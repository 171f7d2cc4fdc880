import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.ledger import Ledger, Outcome, read, record
from spaces.candidate import METRICS, Candidate, Score, is_taken
from spaces.checksums import CHECKSUM, with_checksum
from spaces.errors import LedgerError

ROOT = Path(__file__).parents[2]


def outcome(number, **score):
    score = {"state": "ok", "fidelity": "supernet", "accuracy": 0.1 + 0.2, "spikes": 12840.0, "seconds": 0.25} | score
    return Outcome(
        number, number // 4, Candidate({"slot1": "SCB_k3", "decay": 1 / 3, "T": 4, "bias": True}), Score(**score)
    )


def written(path, count=6):
    with Ledger.open(path) as ledger:
        for number in range(count):
            ledger.append(outcome(number, accuracy=number / 7))
        return list(ledger.outcomes)


finite = st.floats(min_value=0, max_value=1e12, allow_nan=False)
scores = st.builds(
    Score,
    state=st.sampled_from(["ok", "failed", "infeasible", "pruned"]),
    fidelity=st.sampled_from(["proxy", "supernet", "adapted", "trained"]),
    accuracy=st.none() | st.floats(0, 1),
    spikes=st.none() | finite,
    energy_nj=st.none() | finite,
    sops=st.none() | finite,
    macs=st.none() | finite,
    parameters=st.none() | st.integers(0, 10**12),
    timesteps=st.none() | st.integers(1, 64),
    columns=st.dictionaries(
        st.text().filter(lambda name: not is_taken(name)), st.floats(allow_nan=False, allow_infinity=False), max_size=3
    ),
    seconds=finite,
    error=st.text(),
    traceback=st.text(),
)
values = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
candidates = st.dictionaries(st.text(), values, max_size=5).map(Candidate)


@given(st.lists(st.tuples(st.integers(-1, 99), candidates, scores), max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_is_appended_is_read_back_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("exact") / "ledger.jsonl"
    wanted = [Outcome(number, *row) for number, row in enumerate(rows)]
    with Ledger.open(path) as ledger:
        for one in wanted:
            ledger.append(one)
    outcomes, length = read(path)
    assert outcomes == wanted
    assert [list(one.candidate) for one in outcomes] == [list(one.candidate) for one in wanted]
    assert length == path.stat().st_size


def test_a_line_is_flat_and_readable(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path) as ledger:
        ledger.append(outcome(0))
        ledger.append(outcome(1, state="failed", error="boom", traceback="Traceback\n  boom"))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert list(first) == ["number", "batch", "state", "fidelity", *METRICS, "seconds", "error", "param", "crc32"]
    assert first["param"] == {"slot1": "SCB_k3", "decay": 1 / 3, "T": 4, "bias": True}
    assert second["traceback"] == "Traceback\n  boom"
    assert with_checksum(record(outcome(0))) == first


def test_further_columns_stand_in_a_line_only_where_there_are_any(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path) as ledger:
        ledger.append(outcome(0))
        ledger.append(outcome(1, columns={"synops_M": 812.5}))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert "columns" not in first
    assert second["columns"] == {"synops_M": 812.5}
    for bad in ('{"x": null}', '{"x": true}', "[]", '{"accuracy": 1.0}'):
        path.write_text(json.dumps(first | {"columns": json.loads(bad)}) + "\n")
        with pytest.raises(LedgerError, match="column"):
            read(path)


def test_a_missing_file_is_an_empty_ledger_and_reading_makes_nothing(tmp_path):
    assert read(tmp_path / "ledger.jsonl") == ([], 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_torn_tail_is_ignored_by_read_and_kept_beside_by_open(tmp_path, cut):
    path = tmp_path / "ledger.jsonl"
    whole = written(path)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    outcomes, length = read(path)
    assert outcomes == whole[:-1]
    assert path.read_bytes() == data[:-cut]
    with Ledger.open(path) as ledger:
        assert ledger.outcomes == whole[:-1]
        ledger.append(whole[-1])
    assert path.read_bytes() == data
    assert (tmp_path / "ledger.torn").read_bytes() == data[length:-cut] + b"\n"


def replaced(old, new):
    return lambda line: line.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda line: b"{", "not JSON"),
        (lambda line: b"", "not JSON"),
        (lambda line: b"[1]", "not a JSON object"),
        (lambda line: b"[" * 100_000, "nested too deeply"),
        (lambda line: b"\xff" + line, "can't decode byte 0xff"),
        (replaced(b'"state":"ok",', b""), "field 'state' is missing"),
        (replaced(b'"state":"ok"', b'"state":"fine"'), "must be one of ok, failed"),
        (replaced(b'"state":"ok"', b'"state":["ok"]'), "must be one of ok, failed"),
        (replaced(b'"fidelity":"supernet"', b'"fidelity":"x"'), "must be one of proxy"),
        (replaced(b'"batch":0', b'"batch":-2'), "field 'batch' is -2"),
        (replaced(b'"batch":0', b'"batch":true'), "field 'batch' is true"),
        (replaced(b'"spikes":12840.0', b'"spikes":NaN'), "NaN is not a finite number"),
        (replaced(b'"spikes":12840.0', b'"spikes":-1'), "field 'spikes' is -1"),
        (replaced(b'"spikes":12840.0', b'"spikes":1e999'), "field 'spikes' is Infinity"),
        (replaced(b'"spikes":12840.0', b'"spikes":' + b"9" * 5000), "limit"),
        (replaced(b'"accuracy":0.', b'"accuracy":7.'), "from 0 to 1"),
        (replaced(b'"accuracy":0.', b'"accuracy":"0.'), "not JSON"),
        (replaced(b'"parameters":null', b'"parameters":1.5'), "whole number"),
        (replaced(b'"seconds":0.25', b'"seconds":null'), "field 'seconds' is null"),
        (replaced(b'"error":""', b'"error":null'), "must be a text"),
        (replaced(b'"error":""', b'"extra":1,"error":""'), "unknown field 'extra'"),
        (replaced(b'"error":""', b'"error":"","error":""'), "a field stands twice"),
        (replaced(b'"T":4', b'"T":null'), "field 'param'"),
        (replaced(b'"number":2', b'"number":3'), "must be 2: a line is missing, doubled or moved"),
    ],
)
def test_a_corrupt_line_is_named_with_the_way_out(tmp_path, damage, words):
    path = tmp_path / "it's a run" / "ledger.jsonl"
    path.parent.mkdir()
    whole = written(path)
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage(lines[2])
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(LedgerError) as caught:
        read(path)
    message = str(caught.value)
    assert words in message
    assert "line 3" in message
    assert "\n" not in message
    assert len(message) < 2000
    assert path.read_bytes() == before
    with pytest.raises(LedgerError):
        Ledger.open(path)
    assert path.read_bytes() == before
    subprocess.run(["sh", "-c", message.split("`")[1]], check=True)
    assert read(path)[0] == whole[:2]
    assert (path.parent / "ledger.bad").read_bytes() == before


def test_a_bad_last_line_with_a_newline_is_corrupt_not_torn(tmp_path):
    path = tmp_path / "ledger.jsonl"
    written(path, 2)
    path.write_bytes(path.read_bytes()[:-20] + b"\n")
    with pytest.raises(LedgerError, match="line 2: not JSON"):
        read(path)


def test_a_line_of_an_older_version_has_no_checksum_and_may_stand_beside_those_that_have(tmp_path):
    path = tmp_path / "ledger.jsonl"
    old = [json.dumps(record(outcome(n)), separators=(",", ":")) + "\n" for n in range(2)]
    path.write_text("".join(old))
    with Ledger.open(path) as ledger:
        ledger.append(outcome(2))
    assert read(path)[0] == [outcome(n) for n in range(3)]
    assert [CHECKSUM in json.loads(line) for line in path.read_text().splitlines()] == [False, False, True]


def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    """Every bit of a line, its end included; and what is left before it is whole."""
    path = tmp_path / "ledger.jsonl"
    whole = written(path, 2)
    data, noticed = path.read_bytes(), 0
    start = data.index(b"\n") + 1
    for place in range(start, len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with suppress(LedgerError):
                assert read(path)[0] == whole
                continue
            noticed += 1
    assert noticed > 7.5 * (len(data) - start)


def valid_bytes():
    lines = [
        json.dumps(record(outcome(n, error="ß" if n == 3 else "", accuracy=n / 9)), ensure_ascii=False)
        for n in range(8)
    ]
    return "".join(line + "\n" for line in lines).encode()


VALID = valid_bytes()


@st.composite
def damaged(draw):
    data = bytearray(VALID)
    kind = draw(st.sampled_from(["cut", "flip", "swap", "double", "drop", "token", "insert", "noise"]))
    lines = VALID.splitlines(keepends=True)
    one, other = draw(st.integers(0, 7)), draw(st.integers(0, 7))
    if kind == "cut":
        return VALID[: draw(st.integers(0, len(VALID)))]
    if kind == "flip":
        for _ in range(draw(st.integers(1, 3))):
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        return bytes(data)
    if kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    elif kind == "drop":
        del lines[one]
    elif kind == "token":
        old = draw(st.sampled_from([b"0.25", b'"ok"', b"null", b'"supernet"', b"12840.0", b'""', b"true", b'{"slot1"']))
        new = draw(
            st.sampled_from(
                [b"NaN", b"-Infinity", b"null", b"[]", b"{}", b"-1", b"1e400", b'"x"', b"true", b"0x1", b""]
            )
        )
        lines[one] = lines[one].replace(old, new, 1)
    elif kind == "insert":
        place = draw(st.integers(0, len(data)))
        data[place:place] = draw(st.binary(max_size=20))
        return bytes(data)
    else:
        return draw(st.binary(max_size=300))
    return b"".join(lines)


@given(damaged())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_bytes_give_an_error_or_a_consistent_prefix(tmp_path, data):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(data)
    try:
        outcomes, length = read(path)
    except LedgerError:
        assert path.read_bytes() == data
        return
    assert length == data.rfind(b"\n") + 1
    assert len(outcomes) == data.count(b"\n")
    assert [one.number for one in outcomes] == list(range(len(outcomes)))
    for one, line in zip(outcomes, data.splitlines(), strict=False):
        assert record(one) == json.loads(line)


@pytest.mark.parametrize("length", range(0, len(VALID), 37))
def test_a_ledger_cut_at_any_byte_keeps_every_whole_line(tmp_path, length):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(VALID[:length])
    outcomes, intact = read(path)
    assert len(outcomes) == VALID[:length].count(b"\n")
    assert intact <= length


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (outcome(0, accuracy=float("nan")), "JSON compliant"),
        (outcome(0, spikes=float("inf")), "JSON compliant"),
        (outcome(0, spikes=np.float32(3)), "not JSON serializable"),
        (outcome(0, accuracy=1.5), "from 0 to 1"),
        (outcome(1), "must be 0"),
    ],
)
def test_an_outcome_that_cannot_be_kept_is_refused_and_nothing_is_written(tmp_path, bad, words):
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path) as ledger:
        with pytest.raises(LedgerError, match=words):
            ledger.append(bad)
        assert path.read_bytes() == b""
        ledger.append(outcome(0, spikes=np.float64(2.5)))
    assert type(read(path)[0][0].score.spikes) is float


def test_a_ledger_that_is_no_regular_file_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="not a regular file"):
        read(Path(os.devnull))
    with pytest.raises(LedgerError, match="not a regular file"):
        Ledger.open(tmp_path)


def test_a_link_to_nothing_is_no_empty_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.symlink_to(tmp_path / "gone.jsonl")
    for attempt in (read, Ledger.open):
        with pytest.raises(LedgerError, match="link to what is not there"):
            attempt(path)
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    with pytest.raises(LedgerError, match="symbolic links"):
        read(loop)
    assert not (tmp_path / "gone.jsonl").exists()
    whole = written(tmp_path / "gone.jsonl")
    assert read(path)[0] == whole  # a link to a ledger is one


def test_a_ledger_in_a_folder_that_is_gone_names_path_and_way_out(tmp_path):
    with pytest.raises(LedgerError, match=r"No such file.*launch.py resume"):
        Ledger.open(tmp_path / "gone" / "ledger.jsonl")


APPENDING = """
import sys
sys.path.insert(0, sys.argv[1])
from results.ledger import Ledger, Outcome
from spaces.candidate import Candidate, Score
with Ledger.open(sys.argv[2]) as ledger:
    while True:
        number = len(ledger.outcomes)
        score = Score(state="failed", fidelity="supernet", error="x" * (number % 5000))
        ledger.append(Outcome(number, 0, Candidate({"slot": number}), score))
        print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for round_ in range(3):
        process = subprocess.Popen([sys.executable, "-c", APPENDING, str(ROOT), str(path)], stdout=subprocess.PIPE)
        with process:
            for _ in range(40 + round_):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        outcomes, _ = read(path)
        acknowledged = int(rest[-1]) if rest else 39 + round_
        assert len(outcomes) > acknowledged
        assert [one.candidate["slot"] for one in outcomes] == list(range(len(outcomes)))


def test_a_full_disk_is_told_and_leaves_whole_lines_only(tmp_path):
    path = tmp_path / "ledger.jsonl"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n{APPENDING}"
    done = subprocess.run([sys.executable, "-c", limited, str(ROOT), str(path)], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("spaces.errors.LedgerError: ledger ")
    assert str(path) in last
    assert "File too large" in last
    assert "launch.py resume" in last
    outcomes, length = read(path)
    assert length == path.stat().st_size
    assert len(outcomes) == len(done.stdout.split())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_after_a_full_disk_the_same_ledger_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "ledger.jsonl"
    real = os.write

    def nearly_full(descriptor, data):
        if len(data) < 60:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:-50])

    with Ledger.open(path) as ledger:
        ledger.append(outcome(0))
        monkeypatch.setattr(os, "write", nearly_full)
        with pytest.raises(LedgerError, match="No space left on device"):
            ledger.append(outcome(1))
        monkeypatch.undo()
        ledger.append(outcome(1))
    assert read(path)[0] == [outcome(0), outcome(1)]


def test_nothing_follows_a_line_that_could_not_be_cut(tmp_path, monkeypatch):
    path = tmp_path / "ledger.jsonl"
    real = os.write

    def refuse(*_):
        raise OSError(5, "Input/output error")

    with Ledger.open(path) as ledger:
        ledger.append(outcome(0))
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:9]) if len(data) > 200 else refuse())
        monkeypatch.setattr(os, "ftruncate", refuse)
        with pytest.raises(LedgerError, match="Input/output error"):
            ledger.append(outcome(1, error="e" * 90))
        monkeypatch.undo()
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.append(outcome(1))
    assert read(path)[0] == [outcome(0)]
