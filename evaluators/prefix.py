"""Candidates that begin alike are alike there: what a common beginning gives is computed once and kept packed.

A network's link sees nothing but what comes out of the link before, so BN recalibration, spikes and counts of a
beginning are those of every candidate that has it. Scores are the same to the bit as without the cache.
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from evaluators.balance import balancing
from evaluators.counting import LayerCount, counting
from evaluators.evaluation import Answers, Evaluation, calibration_batches, evaluation_batch, renewing_statistics
from evaluators.packing import Packed, pack, unpack
from evaluators.precision import autocast
from evaluators.readings import reading
from evaluators.tasks.task import Split, Task, batches
from spaces.blanks import blanks_in
from spaces.candidate import Candidate, Value
from spaces.current import computed
from spaces.network import Network
from spaces.seeds import torch_generator

Key = tuple[Value, ...]  # the values of the blanks decided on so far


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a common beginning gives.

    Attributes:
        calibration, validation: its output for each batch.
        labels: of each batch of ``validation``.
        counted: counts of its layers after so many samples, at each pause and at the end.
    """

    calibration: Sequence[Packed]
    validation: Sequence[Packed]
    labels: Sequence[Tensor]
    counted: Mapping[int, tuple[LayerCount, ...]]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(packed.nbytes for packed in (*self.calibration, *self.validation))


class PrefixCache:
    """Beginnings of the candidates of one supernet and one setting; the least recently used go first.

    Args:
        megabytes: memory to hold; 0 keeps nothing.
    """

    def __init__(self, megabytes: float) -> None:
        self.budget = int(megabytes * 2**20)
        self.held = 0
        self._kept: OrderedDict[Key, Beginning] = OrderedDict()

    def longest(self, keys: Sequence[Key]) -> Key | None:
        """The longest of a candidate's beginnings that is kept; it and all shorter ones count as used now."""
        found = [key for key in sorted(keys, key=len, reverse=True) if key in self._kept]
        for key in found:
            self._kept.move_to_end(key)
        return found[0] if found else None

    def __getitem__(self, key: Key) -> Beginning:
        return self._kept[key]

    def clear(self) -> None:
        """Lets go of all that is kept."""
        self._kept.clear()
        self.held = 0

    def make_room(self, size: int) -> bool:
        """Whether ``size`` bytes fit at all; if so, drops what must go for them."""
        if size > self.budget:
            return False
        while self.held + size > self.budget:
            self.held -= self._kept.popitem(last=False)[1].nbytes
        return True

    def keep(self, key: Key, beginning: Beginning) -> None:
        """Keeps a beginning if the budget has room for it."""
        if self.make_room(beginning.nbytes):
            self._kept[key] = beginning
            self.held += beginning.nbytes


@dataclass(frozen=True, eq=False)
class Segment:
    """Links of a chain up to the next that a candidate decides on; ``key`` holds the values of all up to here."""

    key: Key
    links: Sequence[nn.Module]

    def __call__(self, x: Tensor) -> Tensor:
        """Runs the links."""
        for link in self.links:
            x = link(x)
        return x


def segments(network: Network, candidate: Candidate, root: Key = ()) -> list[Segment]:
    """A candidate's network as segments; ``root`` begins their keys."""
    found: list[Segment] = [Segment(root, [])]
    decided: set[str] = set()
    for link in network.links():
        if blanks := [blank for blank in blanks_in(link) if blank not in decided]:
            decided.update(blanks)
            found.append(Segment((*found[-1].key, *(candidate[blank] for blank in blanks)), []))
        found[-1].links.append(link)
    return [segment for segment in found if segment.links]


@torch.no_grad()
def evaluate_from(
    network: Network,
    candidate: Candidate,
    task: Task,
    split: Split,
    *,
    recalibration_samples: int,
    seed: int,
    cache: PrefixCache,
    root: Key = (),
    precision: str = "fp32",
    device: str = "cpu",
    stop: Callable[[Evaluation], bool] | None = None,
    with_readings: bool = False,
) -> Evaluation:
    """Recalibrates and evaluates a candidate's network, from the end of the longest beginning that is kept.

    The same as ``recalibrate`` and ``evaluate``; every new beginning is kept as the budget allows. Thresholds are
    balanced where the network knows its mean rates, see ``evaluators.balance``.

    Args:
        network: the candidate's, with its weights. Its BN statistics are renewed in what is run only.
        candidate: names the beginnings.
        task, split: calibrated on the task's training split, evaluated on ``split``.
        recalibration_samples, seed: see ``recalibrate``; 0 samples keep the statistics.
        cache: of this supernet and setting, and no other.
        root: what candidates must have in common before anything else, such as where their weights are from.
        precision, device: ``fp32``, or ``bf16``: autocast, see ``Plan``; and where to run.
        stop: shown what was found after an eighth, a quarter and half of the samples, which come in a seeded order;
            true ends the evaluation there, and keeps nothing.
        with_readings: whether the readings are wanted, which an evaluation that ends early does not have.
    """
    parts = segments(network, candidate, root)
    start = cache.longest([part.key for part in parts[:-1]])
    known = cache[start] if start is not None else Beginning((), (), (), {})
    left = [part for part in parts if start is None or len(part.key) > len(start)]
    made = {part.key: ([], []) for part in left[:-1] if cache.budget}

    def run(x: Tensor, what: int) -> Tensor:
        with autocast(precision, device):
            for part in left:
                x = part(x)
                if part.key in made:
                    made[part.key][what].append(pack(computed(x)))
        return x.float()

    if recalibration_samples:
        images = calibration_batches(task, samples=recalibration_samples, seed=seed, device=device)
        given = map(network.start, images) if start is None else map(unpack, known.calibration)
        with renewing_statistics(network), balancing(network):
            for x in given:
                run(x, 0)
    network.eval()
    answers = Answers(device, task.spec.classes)
    pauses = [len(split) / 8, len(split) / 4, len(split) / 2, len(split)]
    counted: dict[int, tuple[LayerCount, ...]] = {}  # samples seen -> counts of what is run here
    stream = _inputs(network, task, split, evaluation_batch(device, precision), seed=seed, device=device)
    if start is not None:
        stream = zip(map(unpack, known.validation), known.labels, strict=True)
    seen_labels: list[Tensor] = []
    with counting(network) as counter, reading(network, wanted=with_readings) as rates:
        for number, (x, labels) in enumerate(stream):
            answers.add(run(x, 1), labels)
            rates.close(labels)
            seen_labels.append(labels)
            if number == 0:
                _forget_what_is_too_large(made, cache, len(split) / len(labels))
            if answers.samples < pauses[0]:
                continue
            pauses = [pause for pause in pauses if pause > answers.samples]
            if not answers.finite:
                return answers.evaluation(())
            counted[answers.samples] = counter.counts().layers
            found = answers.evaluation(known.counted.get(answers.samples, ()) + counted[answers.samples])
            if pauses and stop is not None and stop(found):
                return found
    for part in (part for part in left[:-1] if part.key in made):
        both = _counts_up_to(_names_up_to(network, parts, part), known, counted)
        cache.keep(part.key, Beginning(*made[part.key], seen_labels, counted=both))
    return replace(found, readings=rates.readings())


def _counts_up_to(
    names: Container[str], known: Beginning, counted: Mapping[int, tuple[LayerCount, ...]]
) -> dict[int, tuple[LayerCount, ...]]:
    """Counts by samples seen: those of a known beginning, and of what was run after it the layers of these names."""
    return {
        seen: known.counted.get(seen, ()) + tuple(layer for layer in layers if layer.name in names)
        for seen, layers in counted.items()
    }


def _inputs(
    network: Network, task: Task, split: Split, size: int, *, seed: int, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """A split as the network's first segment takes it, in a seeded order, with labels."""
    order = torch_generator(seed, "evaluation")
    for images, labels in batches(task, split, batch_size=size, device=device, generator=order):
        yield network.start(images), labels


def _forget_what_is_too_large(made: dict[Key, tuple[list, list]], cache: PrefixCache, times: float) -> None:
    """After the first batch: stops putting away what will not fit; the shortest beginnings are shared most."""
    expected = 0.0
    for key in sorted(made, key=len):
        size = sum(packed.nbytes for packed in made[key][0]) + made[key][1][0].nbytes * times
        if expected + size > cache.budget:
            del made[key]
        else:
            expected += size
    cache.make_room(int(expected))


def _names_up_to(network: nn.Module, parts: Sequence[Segment], last: Segment) -> set[str]:
    """Names of the modules in the segments up to and with ``last``."""
    inside = {
        module for part in parts if len(part.key) <= len(last.key) for link in part.links for module in link.modules()
    }
    return {name for name, module in network.named_modules() if module in inside}
