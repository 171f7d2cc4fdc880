"""What the benchmarks' command lines share: their own options, then ``--`` and those of ``launch.py search``."""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from search.options.commands import parse_search
from search.options.config import Config, change


def parse(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Config]:
    """A benchmark's options and its configuration; on the CPU and with one thread where nothing else is asked for."""
    own, rest = split_at_dashes()
    options = parser.parse_args(own)
    config = parse_search(rest)
    torch.set_num_threads(config.machine.threads or 1)
    return options, change(config, device="cpu" if config.machine.device == "auto" else config.machine.device)


def split_at_dashes() -> tuple[list[str], list[str]]:
    """What the command line says before and after ``--``."""
    own = sys.argv[1:]
    return (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
