"""Options of the command line on data: where they lie, how they are read, how many samples."""

import argparse
from collections.abc import Callable


def add_data_options(data: argparse._ArgumentGroup, add: Callable[..., None]) -> None:
    """Adds them to a group; ``add(group, field, about, kind, metavar)`` adds a field of Config with its default."""
    add(
        data,
        "data",
        "digits, mnist, fashion-mnist, cifar10, cifar100, svhn, nmnist (an event camera's), or the path of an .npz or "
        "of a folder of images or recordings; images are turned as their EXIF data say and drawn on white",
    )
    add(data, "data_dir", "where data sets lie, or are downloaded to", metavar="DIR")
    data.add_argument("--download", action="store_true", help="download the data set if it is not there")
    data.add_argument("--no-verify", dest="verify", action="store_false", help="do not check checksums of the files")
    add(data, "train_samples", "train on a stratified subset of this many samples", int)
    add(data, "val_samples", "validate on this many samples, held out of the training split", int)
    add(
        data,
        "test_share",
        "of a folder without test/: draw this share of each class to test on, the same samples for every --seed; there "
        "may be no train/ either, but the class folders themselves",
        float,
    )
    add(
        data,
        "image_size",
        "of a folder of images: bring them to N by N pixels, or to HxW; without it all must have one size",
        metavar="N",
    )
    add(
        data,
        "image_fit",
        "with --image-size: crop (resize the shorter side, cut out the middle), pad (resize the longer side, fill up "
        "with white) or stretch",
    )
    add(
        data,
        "event_frames",
        "recordings of events: cut into a frame a time step by time (equal slices) or count (equal numbers of events)",
    )
    add(
        data,
        "event_scale",
        "recordings of events: sum up N by N pixels in one; frames have at most 512 pixels a side",
        int,
    )
    add(
        data,
        "sensor",
        "recordings of events: the camera's HEIGHTxWIDTH in pixels; events outside are left out, and their number told",
        metavar="HxW",
    )
    add(
        data,
        "event_columns",
        "recordings that are arrays [N, 4] without names: the order of their columns, such as xytp",
        metavar="xytp",
    )
