"""Samplers made quick: what their conformance suites ask holds however far a model is fitted and a pool laid out."""

from functools import partial

import pytest

from search.samplers import bayes


@pytest.fixture
def quick_samplers(monkeypatch):
    """Bayesian samplers fit in 10 iterations instead of 60, and choose from some 200 fillings instead of 3,000."""
    monkeypatch.setattr(bayes, "fit", partial(bayes.fit, iterations=10))
    for name, small in (("UNIFORM", 100), ("AROUND", 8), ("SHORTLIST", 60)):
        monkeypatch.setattr(bayes, name, small)
