import io
import json
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.recfunctions import repack_fields

from evaluators.tasks.build import fingerprint
from evaluators.tasks.load import load_task
from evaluators.tasks.readers.columns import MAX_BYTES, Events, check_bytes
from evaluators.tasks.readers.events import parse, to_frames
from evaluators.tasks.readers.framing import Framing
from evaluators.tasks.task import batches
from spaces.errors import TaskError

DIGITS = tuple("0123456789")


def encode(events):
    """Five bytes an event (x, y, t, p): x, y, then a bit of polarity and 23 bits of time."""
    return b"".join(bytes((x, y)) + (p * 2**23 + t).to_bytes(3, "big") for x, y, t, p in events)


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def made(events):
    x, y, t, p = np.array(events, np.int64).reshape(-1, 4).T
    return Events(x=x, y=y, t=t, p=p)


def slow_frames(events, framing, height, width):
    """Frame by frame, event by event; counts as Python numbers."""
    counted = Counter()
    ordered = sorted(events, key=lambda event: (event[2], event[1], event[0], event[3]))
    first, last = ordered[0][2], ordered[-1][2]
    for number, (x, y, t, p) in enumerate(ordered):
        # frame f holds [f, f + 1) / T of the time, which is last - first + 1 long, or of the number of events
        done, whole = (t - first, last - first + 1) if framing.by == "time" else (number, len(ordered))
        frame = next(f for f in range(framing.frames) if done * framing.frames < (f + 1) * whole)
        counted[frame, y, x, p] += 1
    frames = np.zeros((framing.frames, height, width, 2), np.int64)
    for place, count in counted.items():
        frames[place] = count
    return frames


bytes_of = st.integers(0, 255)
plain = st.tuples(bytes_of, bytes_of.filter(lambda y: y != 240), st.integers(0, 2**23 - 1), st.integers(0, 1))
some_events = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 60), st.integers(0, 1)), min_size=1, max_size=60
)
framings = st.builds(Framing, frames=st.integers(1, 9), by=st.sampled_from(["time", "count"]))


@given(st.lists(plain, min_size=1, max_size=50))
def test_what_is_encoded_is_parsed(events):
    assert rows(parse("one.bin", encode(events))) == events


def test_a_clock_that_runs_over_goes_on():
    events = [(1, 2, 8191, 1), (0, 240, 0, 0), (1, 2, 3, 0), (0, 240, 0, 0), (3, 4, 5, 1)]
    assert rows(parse("one.bin", encode(events))) == [(1, 2, 8191, 1), (1, 2, 8192 + 3, 0), (3, 4, 2 * 8192 + 5, 1)]


@pytest.mark.parametrize("types", ["<u2 <u2 <u4 u1", "i4 i4 i8 ?", ">i2 u1 >u8 i1"])
@given(events=some_events)
def test_numpys_files_hold_the_same_events(types, events):
    kinds = types.split()
    expected = [(x, y, t, p) for x, y, t, p in events]
    signed = kinds[3] == "i1"
    stored = [(x, y, t, (1 if p else -1) if signed else p) for x, y, t, p in events]
    array = np.array(stored, list(zip("xytp", kinds, strict=True)))
    one, four = io.BytesIO(), io.BytesIO()
    np.save(one, repack_fields(array[["t", "x", "y", "p"]]))
    np.savez_compressed(four, **{field: array[field] for field in "xytp"}, more=np.zeros(3))
    assert rows(parse("one.NPY", one.getvalue())) == rows(parse("four.npz", four.getvalue())) == expected


@given(some_events, framings)
def test_frames_are_those_of_a_loop_over_events(events, framing):
    frames, lost = to_frames(made(events), framing, 4, 5)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, slow_frames(events, framing, 4, 5))
    assert lost == 0


@given(some_events, framings, st.randoms(use_true_random=False))
def test_every_event_is_in_one_frame_whatever_their_order(events, framing, random):
    frames, _ = to_frames(made(events), framing, 4, 5)
    assert frames.sum() == len(events)
    expected = Counter((y, x, p) for x, y, _, p in events)
    assert {place: int(n) for place, n in np.ndenumerate(frames.sum(0)) if n} == expected
    shuffled = random.sample(events, len(events))
    np.testing.assert_array_equal(frames, to_frames(made(shuffled), framing, 4, 5)[0])
    if framing.by == "count":
        sizes = frames.sum((1, 2, 3), dtype=int)
        assert sizes.max() - sizes.min() <= 1


@given(some_events, st.integers(1, 9), st.integers(-(10**6), 10**6))
def test_frames_by_time_do_not_depend_on_where_time_begins(events, frames, since):
    later = [(x, y, t + since, p) for x, y, t, p in events]
    framing = Framing(frames=frames)
    np.testing.assert_array_equal(to_frames(made(events), framing, 4, 5)[0], to_frames(made(later), framing, 4, 5)[0])


def test_more_events_than_a_byte_can_count_are_clipped_and_told(tmp_path, write_recordings):
    write_recordings(tmp_path)
    (tmp_path / "train" / "left" / "00001.bin").write_bytes(encode([(33, 33, 7, 1)] * 300))
    task = load_task(tmp_path, frames=2)
    assert task.provenance["events_beyond_255_a_pixel_and_frame"] == 45
    assert max(split.images.max() for split in (task.train, task.validation)) == 255
    assert task.provenance["events"] == 11 * 40 + 300


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory, write_recordings):
    """A folder with N-MNIST's structure, and its events."""
    home = tmp_path_factory.mktemp("nmnist")
    return home, write_recordings(home, classes=DIGITS, splits=("Train", "Test"), counts=(3, 1))


def zipped(home, out):
    out.mkdir()
    for split in ("Train", "Test"):
        with zipfile.ZipFile(out / f"{split.lower()}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/Train/0/._1.bin", b"x")
            for path in sorted((home / split).rglob("*.bin")):
                archive.write(path, path.relative_to(home).as_posix())
    return out


@pytest.mark.parametrize("by", ["time", "count"])
def test_nmnist_as_a_task(nmnist, by):
    home, written = nmnist
    task = load_task("nmnist", data_dir=home, frames=3, event_frames=by)
    spec = task.spec
    assert (spec.frames, spec.channels, spec.height, spec.width, spec.classes) == (3, 2, 34, 34, 10)
    assert task.class_names == DIGITS
    assert [len(split) for split in (task.train, task.validation, task.test)] == [20, 10, 10]
    assert (task.mean, task.std, task.augment) == ((0.0, 0.0), (1.0, 1.0), "none")
    assert task.train.images.dtype == torch.uint8
    assert task.test.images.shape == (10, 3, 2, 34, 34)
    framing = Framing(frames=3, by=by)
    for digit in DIGITS:  # the test split is in order, one a digit
        expected = slow_frames(written["Test", digit][0], framing, 34, 34)
        np.testing.assert_array_equal(task.test.images[int(digit)].permute(0, 2, 3, 1), expected)
        assert task.test.labels[int(digit)] == int(digit)
    told = json.loads(json.dumps(task.provenance))
    assert (told["frames"], told["frames_by"], told["events"]) == (3, by, 40 * 40)
    assert told["normalisation"] == "none: counts of events"


def test_nmnist_is_found_in_folders_and_zips_and_below(nmnist, tmp_path):
    home, _ = nmnist
    expected = load_task("nmnist", data_dir=home).provenance["sha256"]
    archives = zipped(home, tmp_path / "nmnist")
    for place in (archives, tmp_path):
        task = load_task("nmnist", data_dir=place)
        assert task.provenance["sha256"] == expected
        assert task.provenance["checksum"] == "of the zips' members"


def test_batches_are_the_counts(nmnist):
    task = load_task("nmnist", data_dir=nmnist[0])
    for channels_last in (True, False):
        images, labels = next(batches(task, task.train, batch_size=20, channels_last=channels_last))
        assert images.dtype == torch.float32
        assert torch.equal(images, task.train.images.float())
        assert torch.equal(labels, task.train.labels)
        assert images.is_contiguous() != channels_last
    order = torch.Generator().manual_seed(0)
    shuffled, labels = next(batches(task, task.train, batch_size=20, generator=order, augment=True))
    assert shuffled.sum() == task.train.images.sum()
    assert sorted(labels.tolist()) == sorted(task.train.labels.tolist())


def test_augmentation_moves_all_frames_alike(nmnist):
    from evaluators.tasks.augment import augment_batch, draw

    frames = load_task("nmnist", data_dir=nmnist[0], frames=3).train.images.movedim(-3, -1)
    drawn = draw("crop-flip", len(frames), torch.Generator().manual_seed(1))
    moved = augment_batch(frames, *drawn)
    for number in range(3):
        assert torch.equal(moved[:, number], augment_batch(frames[:, number].contiguous(), *drawn))


def test_the_fingerprint_sees_frames(nmnist):
    prints = set()
    for options in ({}, {"frames": 5}, {"event_frames": "count"}):
        prints.add(load_task("nmnist", data_dir=nmnist[0], **options).provenance["sha256"])
    task = load_task("nmnist", data_dir=nmnist[0])
    assert fingerprint(task.train, task.validation, task.test) in prints
    task.train.images[3, 1, 0, 4, 4] += 1
    assert fingerprint(task.train, task.validation, task.test) not in prints
    assert len(prints) == 3


def test_a_folder_of_recordings_of_any_format(tmp_path, write_recordings):
    written = write_recordings(tmp_path, side=20)
    plain = load_task(tmp_path, frames=3)
    assert plain.class_names == ("left", "right")
    assert plain.provenance["sensor"] == "20x20 (height x width), from the largest coordinates"
    for path in sorted(tmp_path.rglob("*.bin")):
        array = np.array(written[path.parts[-3], path.parts[-2]][int(path.stem)], "i4,i4,i8,i1")
        array.dtype.names = tuple("xytp")
        if int(path.stem) % 2:
            np.save(path.with_suffix(".npy"), array)
        else:
            np.savez(path.with_suffix(".npz"), **{field: array[field] for field in "xytp"})
        path.unlink()
    (tmp_path / "train").rename(tmp_path / "Train")
    other = load_task(tmp_path, frames=3)
    assert other.provenance["sha256"] == plain.provenance["sha256"]


def refused(rule, source, **options):
    with pytest.raises(TaskError, match=rule) as caught:
        load_task(source, **options)
    assert "\n" not in str(caught.value)


def npy(x=(1, 2), y=(1, 2), t=(0, 5), p=(0, 1)):
    out = io.BytesIO()
    np.savez(out, x=np.array(x), y=np.array(y), t=np.array(t), p=np.array(p))
    return out.getvalue()


def plain_npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("x.bin", b"", "x.bin' is empty: a recording needs at least one event; replace or remove it"),
        ("x.bin", bytes(7), "x.bin' has 7 bytes, not a multiple of the 5 .*cut off"),
        ("x.bin", encode([(0, 240, 0, 0)]), "x.bin' holds no events"),
        ("x.npz", npy([], [], [], []), "x.npz' holds no events"),
        ("x.npy", plain_npy(np.zeros(0, [(field, "i4") for field in "xytp"])), "x.npy' holds no events"),
        ("x.npy", plain_npy(np.zeros((5, 4), int)), "does not say which column is x, y, t and p: give --event-columns"),
        (
            "x.npy",
            plain_npy(np.zeros((5, 3), int)),
            r"x.npy' holds int64\[5, 3\], and lacks x, y, t, p: a recording is",
        ),
        ("x.npy", plain_npy(np.array([{}])), "cannot read .*x.npy' as a recording"),
        (
            "x.npy",
            plain_npy(np.full(3, 0.5, [(field, "f4") for field in "xytp"])),
            "x = 0.5, no whole number: give pixels",
        ),
        ("x.npz", b"PK hello", "cannot read .*x.npz' as a recording"),
        ("x.npz", npy()[:200], "cannot read .*x.npz' as a recording"),
        ("x.npz", npy(x=(1, 2, 3)), r"x.npz' holds x \[3\], y \[2\], t \[2\], p \[2\]: give one of each"),
        ("x.npz", npy(x=(1, -2)), "x.npz' holds an event at x = -2, and 1 of 482 events are below 0: count from 0 on"),
        ("x.npz", npy(p=(0, 2)), "x.npz' holds polarities 0, 2: give 0 and 1, -1 and 1, or 1 and 2 "),
        ("x.npz", npy(t=(0, 2**50)), "x.npz' holds times .*at most 12 days"),
        ("x.npz", npy(x=(1, 600)), "at most 512 a side"),
    ],
)
def test_damaged_recordings_are_named(tmp_path, write_recordings, name, data, rule):
    write_recordings(tmp_path)
    (tmp_path / "test" / "right" / name).write_bytes(data)
    refused(rule, tmp_path)


def test_recordings_that_are_too_large_are_not_read(tmp_path, write_recordings):
    write_recordings(tmp_path)
    with (tmp_path / "train" / "left" / "00001.bin").open("r+b") as file:
        file.truncate(MAX_BYTES + 5)  # sparse: takes no room
    refused("00001.bin' has 268435461 bytes, a recording may have 268435456: cut it", tmp_path)
    check_bytes("name", MAX_BYTES)


def test_structure(tmp_path, write_recordings, write_images):
    write_recordings(tmp_path / "empty")
    (tmp_path / "empty" / "train" / "middle").mkdir()
    (tmp_path / "empty" / "test" / "middle").mkdir()
    refused("train/middle' holds no images or recordings; put some there, as .*npy", tmp_path / "empty")
    write_recordings(tmp_path / "mixed")
    write_images(tmp_path / "mixed", classes=("left", "right"))
    refused("0.png' is an image and .*00000.bin' a recording of events; a folder must", tmp_path / "mixed")


@pytest.mark.parametrize("frames", [0, 513, 10**9])
def test_frames_that_make_no_sense(tmp_path, write_recordings, write_images, frames):
    write_recordings(tmp_path / "events")
    refused(f"cut into {frames} frames, one a time step: give 1 to 512", tmp_path / "events", frames=frames)
    refused("cut by 'size': give one of time, count", tmp_path / "events", event_frames="size")
    load_task(write_images(tmp_path / "images"), frames=frames)  # images have none


def test_more_frames_than_events_are_empty_frames(tmp_path, write_recordings):
    write_recordings(tmp_path, count=2)
    task = load_task(tmp_path, frames=7)
    assert torch.equal(task.train.images.sum((1, 2, 3, 4)), torch.full((len(task.train),), 2))


def test_more_than_the_memory(tmp_path, write_recordings, monkeypatch):
    from evaluators.tasks.readers import guard

    write_recordings(tmp_path)
    monkeypatch.setattr(guard, "available_memory", lambda: 100)
    refused("48 frames of 34x34x2: loading needs", tmp_path)


def test_nmnist_that_is_not_there_or_not_whole(nmnist, tmp_path):
    home, _ = nmnist
    (tmp_path / "none").mkdir()
    refused("N-MNIST is not in .*none'.*get Train.zip and Test.zip at https", "nmnist", data_dir=tmp_path / "none")
    refused("--download cannot fetch it", "nmnist", data_dir=tmp_path / "none", download=True)
    archives = zipped(home, tmp_path / "zips")
    (archives / "test.zip").rename(archives / "other.zip")
    refused("lacks Test/ or Test.zip", "nmnist", data_dir=archives)
    (archives / "test.zip").write_bytes((archives / "other.zip").read_bytes()[:3000])
    refused("cannot read .*test.zip' as a zip of N-MNIST", "nmnist", data_dir=archives)
    with zipfile.ZipFile(archives / "test.zip", "w") as archive:
        archive.writestr("Test/3/1.bin", encode([(34, 3, 0, 1)]))
    refused("test.zip' holds no recordings of class '0'", "nmnist", data_dir=archives)
    with zipfile.ZipFile(archives / "test.zip", "w") as archive:
        for digit in DIGITS:
            archive.writestr(f"Test/{digit}/1.bin", encode([(3, 3, 0, 1), (34, 3, 0, 1)]))
    refused(
        "event 1 of .*test.zip/Test/0/1.bin' at x = 34, y = 3 is outside the sensor of 34x34 pixels.*--sensor 34x34",
        "nmnist",
        data_dir=archives,
    )
    with zipfile.ZipFile(archives / "test.zip", "w") as archive:
        archive.writestr("Test/1.bin", b"")
    refused("Test/1.bin' is not in a folder named after its digit", "nmnist", data_dir=archives)
    good = bytearray((archives / "other.zip").read_bytes())
    with zipfile.ZipFile(archives / "other.zip") as archive:
        at = archive.getinfo("Test/0/00000.bin").header_offset
    good[at + 60] ^= 255
    (archives / "test.zip").write_bytes(good)
    refused("Test/0/00000.bin' as a recording", "nmnist", data_dir=archives)
