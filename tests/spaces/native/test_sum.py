"""Sums of events over samples are exact, position by position, on any number of threads."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from spaces.native.sum import sum_rows


@given(
    st.tuples(st.integers(1, 200), st.integers(1, 40), st.integers(1, 14), st.integers(1, 14)),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.integers(1, 3),
)
def test_equals_whole_numbers_summed_up(shape, dtype, threads):
    whole = torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(0))
    torch.set_num_threads(threads)
    try:
        found = sum_rows(whole.to(dtype).contiguous(memory_format=torch.channels_last))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found, whole.sum(0).float())
