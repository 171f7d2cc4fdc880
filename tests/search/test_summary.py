"""What the command line prints of a run, without the report's narrow spaces."""

from results.folder import RunFolder, create_or_open
from results.ledger import Ledger, Outcome
from search.summary import summary
from spaces.candidate import Candidate, Score


def run_of(path, **figures) -> RunFolder:
    """A folder of one scored candidate."""
    folder = create_or_open(path, config={"match": {"objectives": ["accuracy:max", "spikes:min"]}, "config": {}})
    with Ledger.open(folder.ledger) as ledger:
        ledger.append(Outcome(0, 0, Candidate({"op": "a"}), Score(state="ok", fidelity="supernet", **figures)))
    return folder


def test_figures_have_commas_between_thousands_and_a_space_before_their_unit(tmp_path):
    printed = summary(run_of(tmp_path, accuracy=0.2, spikes=1234567.0))
    assert "accuracy 20.0 %  spikes 1,234,567" in printed
    assert "\u202f" not in printed
