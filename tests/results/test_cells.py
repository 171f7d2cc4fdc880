"""Cells that a spreadsheet would compute: guarded when written, the same text when read."""

import io

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from results.cells import STARTS, csv_text, guarded, plain

PANDAS = r"^'(?=[=+@\t\r\n＝＋－＠'-])"  # as results/cells.py tells it
TEXTS = st.lists(st.text(st.sampled_from("=+-@\t\r\n'＝＠ a1,\""), max_size=5), min_size=1, max_size=20)


@given(TEXTS)
@example([f"{start}1+1" for start in STARTS])
@example(["'", "''", "'=", "''=", "=", "'a", "'1", "-1", "- 1"])
def test_texts_come_back_and_none_begins_a_formula(texts):
    cells = [guarded(text) for text in texts]
    assert not any(cell.startswith(STARTS) for cell in cells)
    assert [plain(cell) for cell in cells] == texts
    assert [cell for text, cell in zip(texts, cells, strict=True) if text.isalnum()] == [
        t for t in texts if t.isalnum()
    ]
    file = io.StringIO(csv_text([["cell"], *([text] for text in texts)]), newline="")
    read = pd.read_csv(file, dtype=str, keep_default_na=False, skip_blank_lines=False)
    assert read["cell"].str.replace(PANDAS, "", regex=True).tolist() == texts


@pytest.mark.parametrize("value", [-1.5, -1, 0, True, None, float("-inf")])
def test_what_is_no_text_is_never_touched(value):
    assert guarded(value) is value
