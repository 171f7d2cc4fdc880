"""The notebook of the front door: its cells are executed in their order, in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "front_door.ipynb"
DRIVER = """
import json, sys

cells = json.load(open(sys.argv[1]))["cells"]
names = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
found = {
    "front": len(names["front"]),
    "lines": len(names["figure"].data),
    "spikes": [int(sum(names["spikes"])) / len(names["x"]), names["counted"].spikes],
    "right": [float((names["readout"].argmax(1) == names["labels"]).double().mean()), names["counted"].accuracy],
    "test": names["best"].metrics["test_accuracy"],
    "seeds": len(names["trained"].finalists),
    "told": len(names["study"].candidates),
    "study": names["study"].front[["weights", "spread"]].to_numpy().tolist(),
    "all": names["study"].candidates[["weights", "spread"]].to_numpy().tolist(),
}
json.dump(found, open(sys.argv[2], "w"))
"""


def test_the_notebook_runs_and_says_the_truth(tmp_path):
    command = [sys.executable, "-W", "error", "-c", DRIVER, NOTEBOOK, tmp_path / "found.json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # of two processes with two threads each, both are slow
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "the front door prints nothing"
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["front"] >= 2
    assert found["lines"] == 2
    assert found["spikes"][0] == found["spikes"][1] > 0  # counted by hand
    assert found["right"][0] == found["right"][1]
    assert found["test"] > 0.8
    assert found["seeds"] == 2
    assert found["told"] == 24
    beaten = [
        row
        for row in found["study"]
        for other in found["all"]
        if other != row and other[0] <= row[0] and other[1] >= row[1]
    ]
    assert not beaten


def test_the_notebook_holds_no_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    assert all(
        not cell["outputs"] and cell["execution_count"] is None
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    )
