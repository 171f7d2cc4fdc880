"""What each piece of the supernet recipe gives: candidates' accuracy with it and without it, at equal training.

    python tests/benchmarks/supernet.py --data digits --seeds 0 1 --candidates 12 --json supernet.json

For every variant and seed a supernet is trained and the same random candidates are scored out of it. Prints a table.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from evaluators.inherited import score_from_supernet
from evaluators.supernet import train_supernet
from search.options.config import Config, change, configure
from search.setting import config_space, load_config_task, make_setting
from spaces.seeds import numpy_generator

VARIANTS = {
    "default": {},
    "--kernel-init uniform": {"kernel_init": "uniform"},
    "--norm-scale 1": {"norm_scale": 1.0},
    "--logit-scale 1": {"logit_scale": 1.0},
    "--loss mse": {"loss": "mse"},
    "--supernet-weights separate": {"supernet_weights": "separate"},
    "--recalibration-samples 0": {"recalibration_samples": 0},
}


def measure(config: Config, candidates: int) -> dict[str, object]:
    """Accuracies of random candidates out of one supernet, and the seconds that training and a score took."""
    space, config = config_space(config)
    task = load_config_task(config, space)
    setting = make_setting(config, space, task)
    start = time.perf_counter()
    supernet, curve = train_supernet(setting)
    trained = time.perf_counter() - start
    rng = numpy_generator(0, "benchmark candidates")
    scores = [score_from_supernet(setting, supernet, space.sample(rng)) for _ in range(candidates)]
    return {
        "accuracy": [score.accuracy or 0.0 for score in scores],
        "spikes": [score.spikes or 0.0 for score in scores],
        "loss": curve[-1].loss,
        "train_seconds": trained,
        "score_seconds": (time.perf_counter() - start - trained) / candidates,
    }


def main() -> None:
    """Runs all variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--epochs", type=int, default=Config().supernet.epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = configure(
        data=options.data,
        data_dir=options.data_dir,
        train_samples=options.train_samples,
        supernet_epochs=options.epochs,
        device="cpu",
    )
    results: dict[str, list[dict[str, object]]] = {}
    print(f"{'variant':<30}{'accuracy min':>14}{'median':>9}{'max':>9}{'train s':>10}{'score s':>10}")
    for name, changes in VARIANTS.items():
        results[name] = [measure(change(base, seed=s, **changes), options.candidates) for s in options.seeds]
        accuracy = np.concatenate([result["accuracy"] for result in results[name]])
        train, score = (
            np.mean([result[key] for result in results[name]]) for key in ("train_seconds", "score_seconds")
        )
        low, middle, high = accuracy.min(), np.median(accuracy), accuracy.max()
        print(f"{name:<30}{low:>14.3f}{middle:>9.3f}{high:>9.3f}{train:>10.1f}{score:>10.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
