"""Flipped bits: what becomes of a run in whose files chance changes one bit, anywhere in a file that is read again.

    python tests/benchmarks/flips.py --flips 1000

One run is made, small, with a warm start, rungs, finalists and tickets, and copied as it is when it is finished and at
moments on the way. Each flip is of one bit, in a copy, of which `report` and then `resume` are asked for. Either one
line refuses the file by name, or it is made anew with a note, or nothing changes: what the run ends with is what it
ends with unharmed, but for seconds. Where the ledger is refused, the command that the line gives is run, and resume
asked for again. Exits with 1 where a changed bit changed a result, or a command ended otherwise.
"""

import argparse
import csv
import io
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import launch
from evaluators import training
from results.ledger import Ledger
from search.work import finalists, tickets
from spaces.checksums import CHECKSUM

SMALL = "--width 3 --timesteps 2 --no-compile --supernet-epochs 2 --batch-size 16 --candidates 12 --batch 6 --threads 1"
SMALL += " --recalibration-samples 32 --sampler evolution --head-gain 4"
MORE = "--finalist-pool 3 --finalists 1 --finalist-epochs 3 --prune gmp --sparsity 0.5"
READ = ("*.json", "*.jsonl", "*.safetensors")  # again, by whatever comes later
NOT_READ = ("lock.json",)
SECONDS = ("seconds", "find_seconds", "train_seconds")


def make_data(path: Path) -> None:
    """Two classes of 8x8 images."""
    rng, labels = np.random.default_rng(0), np.arange(160) % 2
    images = rng.integers(0, 80, (160, 8, 8)).astype(np.uint8)
    images[labels == 0, :, :4] += 120
    images[labels == 1, :, 4:] += 120
    np.savez(path, x_train=images[:128], y_train=labels[:128], x_test=images[128:], y_test=labels[128:])


def make_runs(home: Path) -> dict[str, Path]:
    """A finished run, and copies of it at moments on the way, by name."""
    make_data(home / "data.npz")
    data = ["--data", str(home / "data.npz"), *SMALL.split()]
    made([*data, "--finalists", "0", "--seed", "1", "--out", str(home / "earlier")])
    out, found = home / "run", {}

    def at(module: object, name: str, moment: str, when: int = 1) -> AbstractContextManager:
        real, calls = getattr(module, name), [0]

        def patched(*args: object, **options: object) -> object:
            result = real(*args, **options) if moment in ("supernet", "search") else None
            calls[0] += 1
            if calls[0] == when and moment not in found:
                found[moment] = home / moment
                shutil.copytree(out, found[moment], ignore=shutil.ignore_patterns(".lock", *NOT_READ))
            return result if moment in ("supernet", "search") else real(*args, **options)

        return patch.object(module, name, patched)

    on_the_way = at(training, "write_checkpoint", "supernet"), at(Ledger, "append", "search", 9)
    later = at(finalists, "record", "finalists"), at(tickets, "_store", "tickets")
    with on_the_way[0], on_the_way[1], later[0], later[1]:
        made([*data, *MORE.split(), "--warm-start", str(home / "earlier"), "--out", str(out)])
    return {"finished": out, **found}


def made(args: list[str]) -> None:
    """Searches; raises where that does not end well."""
    status, said = run(["search", *args])
    if status:
        raise RuntimeError(said)


def run(args: list[str]) -> tuple[int, str]:
    """The exit status of a command, and what it said of errors, each note and error in a line."""
    err = io.StringIO()
    with warnings.catch_warnings(), redirect_stderr(err), redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            status = launch.main(args)
        except BaseException:
            return 1, traceback.format_exc()
    return status, err.getvalue()


def plain(value: object) -> object:
    """JSON data without seconds and checksums."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if name not in (*SECONDS, CHECKSUM)}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def digest(run: Path, names: tuple[str, ...] = ("*.csv", "*.json", "*.safetensors")) -> dict[str, object]:
    """What a run ends with, but for seconds."""
    found: dict[str, object] = {}
    for path in sorted(path for name in names for path in run.rglob(name)):
        name = str(path.relative_to(run))
        if path.name in (*NOT_READ, "config.json") or name.startswith("checkpoints"):
            continue
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [plain(row) for row in csv.DictReader(file)]
        else:
            found[name] = plain(json.loads(path.read_bytes())) if path.suffix == ".json" else path.read_bytes()
    return found


def ends(source: Path, home: Path, finished: Path) -> tuple[dict[str, object], dict[str, object]]:
    """The tables of a copy of a run as it is, and what it ends with; raises unless that is what the whole run has."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(source, home)
    run(["report", str(home)])
    tables = digest(home, ("*.csv",))
    status, said = run(["resume", str(home)])
    if status or digest(home) != digest(finished):
        raise RuntimeError(f"{source.name} does not end as it should: {said}")
    return tables, digest(home)


def flipped(source: Path, home: Path, rng: random.Random, tables: dict, whole: dict) -> tuple[str, str, str]:
    """One flip in a copy: the kind of file, what became of it, and what was said."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(source, home)
    files = sorted(path for name in READ for path in home.rglob(name) if path.name not in NOT_READ)
    path = rng.choice([path for path in files if path.stat().st_size])
    data, place, bit = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size), rng.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    kind = re.sub(r"\d+(-[0-9a-f]{12})?", "N", str(path.relative_to(home)))
    status, said = run(["report", str(home)])
    wrong = digest(home, ("*.csv",)) != tables if status == 0 else status != 2 or said.count("\n") != 1
    if wrong:
        return kind, "UNNOTICED", f"report: {said} (byte {place}, bit {bit})"
    status, said = run(["resume", str(home)])
    errors = [line for line in said.splitlines() if not line.startswith("note: ")]
    named = path.name in said
    if status == 2 and len(errors) == 1 and named:
        if path.name != "ledger.jsonl":
            return kind, "refused", said
        subprocess.run(["sh", "-c", re.search("keep them with `(.*)`, then", said)[1]], check=True)
        status, said = run(["resume", str(home)])
        if status == 0 and digest(home) == whole:
            return kind, "refused, mended as it says", said
    elif status == 0 and digest(home) == whole:
        return kind, "made anew" if named and "anew" in said else "changes nothing", said
    return kind, "UNNOTICED", f"{said} (byte {place}, bit {bit})"


def main() -> int:
    """Flips bits, and prints what became of them, by kind of file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    pages = patch("plotly.offline.get_plotlyjs", str)  # megabytes that every page holds
    with pages, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        runs = make_runs(home)
        unharmed = cache(lambda name: ends(runs[name], home / "unharmed", runs["finished"]))
        found: Counter[tuple[str, str, str]] = Counter()
        for draw in range(options.flips):
            rng = random.Random(f"{options.seed} {draw}")
            name = rng.choice(sorted(runs))
            kind, became, said = flipped(runs[name], home / "flipped", rng, *unharmed(name))
            found[name, kind, became] += 1
            if became == "UNNOTICED":
                print(f"{name} {kind}: {said}", flush=True)
    columns = ("refused", "refused, mended as it says", "made anew", "changes nothing", "UNNOTICED")
    print(f"| run | file | {' | '.join(columns)} |\n|---|---|{'---:|' * len(columns)}")
    for name, kind in sorted({(name, kind) for name, kind, _ in found}):
        print(f"| {name} | {kind} | {' | '.join(str(found[name, kind, column] or '') for column in columns)} |")
    total = Counter(became for (_, _, became), number in found.items() for _ in range(number))
    print(f"| all | {options.flips} flips | {' | '.join(str(total[column]) for column in columns)} |")
    return int(total["UNNOTICED"] > 0)


if __name__ == "__main__" and main():
    sys.exit(1)
