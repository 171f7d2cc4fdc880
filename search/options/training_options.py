"""Options of the command line on training: the supernet's, most of which its finalists and a sweep share."""

import argparse
from collections.abc import Callable


def add_training_options(supernet: argparse._ArgumentGroup, add: Callable[..., None]) -> None:
    """Adds them to a group by ``add(group, name, about, kind, metavar)``, which knows their defaults."""
    add(supernet, "supernet_epochs", "passes over the training split", int)
    add(
        supernet,
        "few_shot",
        "a choice of the space: a supernet of its own for each kind of operation there, trained on from that for all",
        metavar="BLANK",
    )
    add(supernet, "few_shot_epochs", "passes that each of these is trained on for", int)
    add(
        supernet,
        "supernets",
        "train so many, each from other weights, on the CPU as many at once as --threads; a candidate's score is the "
        "mean over them, its separability and alignment those of all their rates side by side, and none is raced",
        int,
    )
    add(
        supernet,
        "path_rule",
        "paths a step trains: balanced (kinds of operation alike), uniform, dense (without the least of three options "
        "or more, seldom an identity), fair (every option once a round), sandwich (smallest, largest, random)",
    )
    add(supernet, "paths", "paths a step, their gradients averaged", int)
    add(
        supernet,
        "time_schedule",
        "full, or T:SHARE,...: train shares of the steps at smaller T, the rest at --timesteps, e.g. 1:0.5,2:0.25",
        metavar="T:SHARE",
    )
    add(
        supernet,
        "precision",
        "of training and scoring: fp32, or bf16 (membranes stay float32), for machines that compute in it",
    )
    add(supernet, "supernet_weights", "entangled (options of a slot share kernels) or separate")
    add(supernet, "batch_size", "samples a training step", int)
    add(supernet, "learning_rate", "peak of the one-cycle schedule of Adam", float)
    add(
        supernet,
        "loss",
        "ce (cross-entropy on the mean readout), tet (on the readout of every step) or mse (AutoSNN's)",
    )
    add(
        supernet,
        "class_weights",
        "none, or balanced: every training, also of finalists and tickets, weighs a sample in the loss by the inverse "
        "of its class's size",
    )
    add(supernet, "logit_scale", "factor on the readout, 0..1, in the cross-entropy; 1 switches it off", float)
    add(supernet, "kernel_init", "identity (options pass spikes on at the start, so paths agree) or uniform")
    add(supernet, "norm_scale", "initial scale of normalisation; 1 switches it off", float)
    add(supernet, "head_gain", "initial gain of the readout's weights", float)
    add(
        supernet,
        "recalibration_samples",
        "training samples that what is judged gets its BN statistics from, trained or not; 0 keeps those it has",
        int,
    )
    supernet.add_argument(
        "--threshold-balancing",
        action="store_true",
        help="scale a candidate's thresholds meanwhile until its layers fire as often as in the supernet on average; "
        "spikes and energy then rank better where options differ in threshold",
    )
