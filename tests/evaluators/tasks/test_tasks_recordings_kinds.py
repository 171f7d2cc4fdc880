"""Kinds of recordings that people keep as .npy and .npz: each is read as NumPy reads it, or refused in one line.

``python -m tests.evaluators.tasks.test_tasks_recordings_kinds`` prints the table of docs/arrays.md.
"""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluators.tasks.load import load_task
from evaluators.tasks.readers.columns import Events
from evaluators.tasks.readers.survey import RARE, sensor_of, survey
from spaces.errors import OptionError, TaskError

DOCS = Path(__file__).parents[3] / "docs" / "arrays.md"
EXAMPLES = settings(max_examples=int(os.environ.get("EXAMPLES", "40")), deadline=None)
HEIGHT, WIDTH, FRAMES = 20, 30, 4
TITLED = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")]  # aedat's and faery's: name on, title p
FILES = [(split, name, n) for split, count in (("train", 3), ("test", 1)) for name in ("a", "b") for n in range(count)]


def made(number, count=40):
    """Columns of a recording that reaches the sensor's last pixel and has both polarities."""
    rng = np.random.default_rng(number)
    x, y = rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count)
    x[0], y[0] = WIDTH - 1, HEIGHT - 1
    return {"x": x, "y": y, "t": np.sort(rng.integers(0, 10**6, count)), "p": np.arange(count) % 2}


def npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return ".npy", out.getvalue()


def npz(*unnamed, **columns):
    out = io.BytesIO()
    np.savez(out, *unnamed, **columns)
    return ".npz", out.getvalue()


def fields(columns, dtype="i4,i4,i8,i1", names="x,y,t,p", order="xytp"):
    """A structured array of columns in an order, under names."""
    array = np.zeros(len(columns["t"]), dtype)
    if names:
        array.dtype.names = tuple(names.split(","))
    for key, field in zip(array.dtype.names, order, strict=True):
        array[key] = columns[field]
    return array


def put(c, **changes):
    """Columns of which some are changed: a function of the column, or what stands in its place."""
    return c | {field: change(c[field]) if callable(change) else change for field, change in changes.items()}


def stray(c, x=40_000, y=3):
    return put(
        c,
        x=lambda a: np.append(a, x),
        y=lambda a: np.append(a, y),
        t=lambda a: np.append(a, 10**6),
        p=lambda a: np.append(a, 1),
    )


def bits(c):
    """N-MNIST's five bytes an event."""
    high = c["p"] << 7 | c["t"] >> 16
    return ".bin", np.stack([c["x"], c["y"], high, c["t"] >> 8 & 255, c["t"] & 255], 1).astype("u1").tobytes()


def damaged(c):
    """An .npz with a bit of x flipped."""
    data = bytearray(npz(**c)[1])
    data[300] ^= 1
    return ".npz", bytes(data)


def order_of(columns, order, dtype=float):
    return np.stack([columns[field] for field in order], 1).astype(dtype)


READ = {  # kind: how the columns of every recording are stored, and options
    "N-MNIST's .bin": (bits, {}),
    "fields x, y, t, p": (lambda c: npy(fields(c)), {}),
    "fields t, x, y, p": (lambda c: npy(fields(c, "i8,i2,i2,i1", "t,x,y,p", "txyp")), {}),
    "aedat's and faery's: name on, title p": (lambda c: npy(fields(c, TITLED, None, "txyp")), {}),
    "event_stream's: name p, title on": (lambda c: npy(fields(c, [*TITLED[:3], (("on", "p"), "?")], None, "txyp")), {}),
    "dv-processing's: timestamp, x, y, polarity": (
        lambda c: npy(fields(c, "<i8,<i2,<i2,i1", "timestamp,x,y,polarity", "txyp")),
        {},
    ),
    "evlib's: polarity -1 and 1": (
        lambda c: npy(fields(put(c, p=lambda p: 2 * p - 1), "i2,i2,i8,i1", "x,y,timestamp,polarity")),
        {},
    ),
    ".dat readers': ts, x, y, p": (lambda c: npy(fields(c, "<u4,<u2,<u2,u1", "ts,x,y,p", "txyp")), {}),
    "names in capitals": (lambda c: npy(fields(c, names="X,Y,T,P")), {}),
    "big-endian fields": (lambda c: npy(fields(c, ">u2,>u2,>u8,>i2")), {}),
    "fields of whole floats": (lambda c: npy(fields(c, "f4,f4,f8,f4")), {}),
    "fields of float16 but time": (lambda c: npy(fields(c, "f2,f2,f8,f2")), {}),
    "fields [N, 1]": (lambda c: npy(fields(c)[:, None]), {}),
    "four arrays": (lambda c: npz(**c), {}),
    "four arrays xs, ys, ts, ps": (lambda c: npz(**{f"{field}s": values for field, values in c.items()}), {}),
    "four arrays [N, 1]": (lambda c: npz(**{field: values[:, None] for field, values in c.items()}), {}),
    "four arrays [1, N] of whole floats": (
        lambda c: npz(**{field: values[None].astype(float) for field, values in c.items()}),
        {},
    ),
    "four arrays, polarity boolean": (lambda c: npz(**put(c, p=lambda p: p > 0)), {}),
    "four arrays, polarity 1 and 2": (lambda c: npz(**put(c, p=lambda p: p + 1)), {}),
    "four arrays, polarity whole floats -1 and 1": (lambda c: npz(**put(c, p=lambda p: 2.0 * p - 1)), {}),
    "more arrays than four": (lambda c: npz(**c, label=np.array(3)), {}),
    "one array with fields in an .npz": (lambda c: npz(events=fields(c)), {}),
    "an array [N, 4] x, y, t, p": (lambda c: npy(order_of(c, "xytp")), {"event_columns": "xytp"}),
    "an array [N, 4] x, y, p, t of float64": (lambda c: npy(order_of(c, "xypt")), {"event_columns": "xypt"}),
    "an array [N, 4] t, x, y, p in Fortran order": (
        lambda c: npy(np.asfortranarray(order_of(c, "txyp", "i8"))),
        {"event_columns": "txyp"},
    ),
    "an array [N, 4] in an .npz": (lambda c: npz(order_of(c, "txyp")), {"event_columns": "txyp"}),
    "times that are not sorted": (lambda c: npz(**{field: values[::-1] for field, values in c.items()}), {}),
    "negative times": (lambda c: npz(**put(c, t=lambda t: t - 10**6)), {}),
    "times of a Unix clock": (lambda c: npz(**put(c, t=lambda t: (t + 1_700_000_000_000_000).astype("u8"))), {}),
    "strays, the sensor told": (lambda c: npy(fields(stray(c))), {"sensor": f"{HEIGHT}x{WIDTH}"}),
    "strays below 0, the sensor told": (lambda c: npy(fields(stray(c, -1, -1))), {"sensor": f"{HEIGHT}x{WIDTH}"}),
}


def write(folder, store, count=40, only=None):
    """A folder of recordings, of which all, or ``only`` the last, are stored in another way than .bin."""
    for number, (split, name, n) in enumerate(FILES):
        here = folder / split / name
        here.mkdir(parents=True, exist_ok=True)
        columns = made(number, count)
        suffix, data = store(columns) if only is None or number == len(FILES) - 1 else bits(columns)
        (here / f"{n}{suffix}").write_bytes(data)
    return folder


def independent(c, height=HEIGHT, width=WIDTH, frames=FRAMES):
    """Frames [T, H, W, 2] of columns by a histogram of NumPy's: edges of whole numbers where time is cut."""
    t = c["t"] - c["t"].min()
    edges = [-(-number * (int(t.max()) + 1) // frames) for number in range(frames + 1)]
    sides = [np.arange(side + 1) for side in (height, width, 2)]
    return np.histogramdd(np.stack([t, c["y"], c["x"], c["p"]], 1), [edges, *sides])[0]


def shown(task):
    """Frames [T, H, W, 2] of the test split, in order."""
    return task.test.images.movedim(-3, -1).numpy()


@pytest.mark.parametrize("kind", READ)
def test_read_as_numpy_reads_it(tmp_path, kind):
    store, options = READ[kind]
    task = load_task(write(tmp_path, store), frames=FRAMES, **options)
    spec = task.spec
    assert (spec.frames, spec.height, spec.width, spec.channels) == (FRAMES, HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(shown(task), [independent(made(number)) for number in (6, 7)])
    plain = load_task(write(tmp_path / "plain", bits), frames=FRAMES)
    assert task.provenance["sha256"] == plain.provenance["sha256"]  # training and validation splits, too


REFUSED = {  # kind: how one recording among others is stored, the rule it breaks, and options
    "empty file": (lambda c: (".npy", b""), "is empty: a recording needs"),
    "no events": (lambda c: npy(fields(c)[:0]), "holds no events"),
    "no fields": (lambda c: npy(c["x"]), r"holds int64\[40\], and lacks x, y, t, p"),
    "an array [N, 4] whose order is not told": (lambda c: npy(order_of(c, "xytp")), "give --event-columns"),
    "an array [N, 5]": (lambda c: npy(order_of(c, "xytpp")), r"holds float64\[40, 5\], and lacks"),
    "an array [4, N]": (lambda c: npy(order_of(c, "xytp").T), r"holds float64\[4, 40\], and lacks"),
    "other names": (
        lambda c: npy(fields(c, names="x,y,t,sign")),
        "lacks p: .* it holds 'x', 'y', 't', 'sign'; p may be called p, ps, on, pol, polarity, polarities",
    ),
    "three arrays": (lambda c: npz(x=c["x"], y=c["y"], t=c["t"]), "lacks p: "),
    "two columns of time": (lambda c: npz(**c, timestamp=c["t"]), "'t' and 'timestamp', each of which may be t"),
    "a column that is called x and y": (
        lambda c: npy(fields(c, [(("y", "x"), "i4"), ("t", "i8"), ("p", "i1"), ("z", "i1")], None, "xtpp")),
        "a column that is called like two of",
    ),
    "times in seconds": (lambda c: npz(**put(c, t=lambda t: t / 1e6)), r"holds t = 0.\d+, no .*such as numpy.round"),
    "times that are NaN": (
        lambda c: npz(**put(c, t=lambda t: np.where(t > 9e5, np.nan, t))),
        "holds t = nan, no whole",
    ),
    "times as float16, which ends at 65 504": (
        lambda c: npz(**put(c, t=lambda t: np.where(t > 9e5, np.inf, t % 999).astype("f2"))),
        "holds t = inf, no whole",
    ),
    "times over more than 12 days": (lambda c: npz(**put(c, t=lambda t: t * 2**21)), "holds times .*at most 12 days"),
    "times beyond 62 bits": (lambda c: npz(**put(c, t=lambda t: t.astype("u8") + np.uint64(2**63))), "holds t = 92233"),
    "dates": (lambda c: npz(**put(c, t=lambda t: t.astype("M8[us]"))), r"holds t datetime64\[us\]\[40\]: give"),
    "places between pixels": (lambda c: npz(**put(c, x=lambda x: x + 0.5)), r"holds x = \d+.5, no whole number"),
    "complex places": (lambda c: npz(**put(c, y=lambda y: y * 1j)), r"holds y complex128\[40\]: give"),
    "places as texts": (lambda c: npz(**put(c, x=lambda x: x.astype("U2"))), r"holds x <U2\[40\]: give"),
    "negative places": (lambda c: npz(**put(c, x=lambda x: x - 5)), "an event at x = -5, and .* are below 0"),
    "0 and 2 as polarity": (lambda c: npz(**put(c, p=lambda p: 2 * p)), "holds polarities 0, 2: give"),
    "-1, 0 and 1 as polarity": (
        lambda c: npz(**put(c, p=lambda p: np.arange(40) % 3 - 1)),
        "polarities -1, 0, 1: give",
    ),
    "0 and 255 as polarity": (lambda c: npz(**put(c, p=lambda p: (-p).astype("u1"))), "polarities 0, 255: give"),
    "grey levels as polarity": (lambda c: npz(**put(c, p=np.arange(40))), "holds polarities 0, 1, 2, 3: give"),
    "columns of several lengths": (
        lambda c: npz(**put(c, x=lambda x: x[1:])),
        r"x \[39\], y \[40\], .*give one of each",
    ),
    "columns that are numbers": (lambda c: npz(x=1, y=2, t=3, p=1), r"holds x int64\[\]: give"),
    "columns [N, 2]": (lambda c: npz(**{k: np.stack([v, v], 1) for k, v in c.items()}), r"x int64\[40, 2\]: give"),
    "pickled objects": (lambda c: npy(np.array([c], object)), "cannot read .*Object arrays cannot be loaded"),
    "a pickled column": (lambda c: npz(**put(c, x=lambda x: x.astype(object))), "cannot read .*Object arrays cannot"),
    "cut off": (lambda c: (".npy", npy(fields(c))[1][:-7]), "cannot read .*as a recording"),
    "a damaged zip": (damaged, "cannot read .*Bad CRC-32"),
    "no array": (lambda c: (".npy", b"x y t p\n"), "is no file that numpy.save or numpy.savez wrote"),
    "larger than 512 pixels a side": (
        lambda c: npz(**put(c, x=lambda x: x * 44)),
        r"20x1277 pixels; at most 512 a side .a file with the largest is .*b/0.npz.*: give --event-scale 3",
    ),
}


def refused(rule, folder, **options):
    with pytest.raises((TaskError, OptionError), match=rule) as caught:
        load_task(folder, frames=FRAMES, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(tmp_path, kind):
    store, rule = REFUSED[kind]
    refused(rule, write(tmp_path, store, only=True))


def becomes(folder, **options):
    try:
        task = load_task(folder, frames=FRAMES, **options)
    except TaskError as error:
        return f"error: {error}"
    told = [remark for remark in task.provenance.get("remarks", ()) if "are taken to be of a sensor" not in remark]
    return "read" + (f"; told: {'; '.join(told)}" if told else "")


def table():
    """Kinds of recordings and what becomes of them, as Markdown."""
    rows = ["| kind of recording | what happens |", "| --- | --- |"]
    for kind, (store, more) in (READ | REFUSED).items():
        options = more if kind in READ else {}
        with tempfile.TemporaryDirectory() as home:
            folder = write(Path(home), store, only=True if kind in REFUSED else None)
            files = sorted(map(str, folder.rglob("*.*")), key=len, reverse=True)
            said = becomes(folder, **options)
        for file in (*files, str(folder)):
            said = said.replace(repr(file), "FILE" if file != str(folder) else "FOLDER")
        if "cannot read" in said:
            said = said.split("): ")[0] + ") ..."  # what NumPy says depends on its version
        spelled = "".join(f" (`--{name.replace('_', '-')} {value}`)" for name, value in options.items())
        rows.append(f"| {kind}{spelled} | {said.replace('|', '/')} |")
    return "\n".join(rows)


def test_the_documentation_holds_the_table():
    assert table() in DOCS.read_text()


def test_polarity_is_coded_alike_in_all_recordings(tmp_path):
    """A recording of 1 alone is darker where others hold 2, and brighter elsewhere; what contradicts is named."""

    def alone(c):  # the test split's are all of one polarity
        return npz(**(put(c, p=lambda p: p * 0 + 1) if len(c["t"]) == 41 else put(c, p=lambda p: p + 1)))

    for number, (split, name, n) in enumerate(FILES):
        (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / split / name / f"{n}.npz").write_bytes(alone(made(number, 41 if split == "test" else 40))[1])
    task = load_task(tmp_path, frames=FRAMES)
    np.testing.assert_array_equal(shown(task), [independent(put(made(n, 41), p=lambda p: p * 0)) for n in (6, 7)])
    assert task.provenance["polarities"] == [1, 2]
    assert "polarities are 1 and 2, which are taken as darker and brighter" in task.provenance["remarks"]
    other = tmp_path / "train" / "a" / "0.npz"
    other.write_bytes(npz(**made(0))[1])
    refused("polarity 2 and .*a/0.npz' polarity 0: code them alike", tmp_path)
    other.write_bytes(npz(**put(made(0), p=lambda p: p > 0))[1])  # booleans go with any
    load_task(tmp_path, frames=FRAMES)


@pytest.mark.parametrize("scale", [2, 7, 30])
def test_pixels_are_summed_up(tmp_path, scale):
    task = load_task(write(tmp_path, bits), frames=FRAMES, event_scale=scale)
    sides = -(-HEIGHT // scale), -(-WIDTH // scale)
    expected = [independent(put(made(n), x=lambda x: x // scale, y=lambda y: y // scale), *sides) for n in (6, 7)]
    np.testing.assert_array_equal(shown(task), expected)
    assert (task.provenance["event_scale"], task.provenance["events"]) == (scale, 40 * len(FILES))


def test_a_large_sensor_is_read_at_a_scale(tmp_path):
    def large(c):
        return npy(fields(put(c, x=lambda x: x * 44, y=lambda y: y * 37)))

    write(tmp_path, large)
    refused("704x1277 pixels; at most 512 a side .*: give --event-scale 3", tmp_path)
    refused("720x1280 pixels; at most 512 a side: give --event-scale 3", tmp_path, sensor="720x1280")
    refused("720x1280 pixels and --event-scale 2; .*: give --event-scale 3", tmp_path, sensor="720x1280", event_scale=2)
    task = load_task(tmp_path, frames=FRAMES, sensor="720x1280", event_scale=3)
    assert (task.spec.height, task.spec.width) == (240, 427)
    assert "remarks" not in task.provenance
    expected = independent(put(made(6), x=lambda x: x * 44 // 3, y=lambda y: y * 37 // 3), 240, 427)
    np.testing.assert_array_equal(shown(task)[0], expected)


def test_clear_outliers_are_left_out_and_told(tmp_path):
    plain = load_task(write(tmp_path / "plain", bits, count=400), frames=FRAMES)
    write(tmp_path / "stray", lambda c: npy(fields(c)), count=400)
    (tmp_path / "stray" / "train" / "b" / "1.npy").write_bytes(npy(fields(stray(made(4, 400))))[1])
    (tmp_path / "stray" / "test" / "b" / "0.npy").write_bytes(npy(fields(stray(made(7, 400), -1, -1)))[1])
    task = load_task(tmp_path / "stray", frames=FRAMES)
    assert task.provenance["sha256"] == plain.provenance["sha256"]
    sensor, strays = task.provenance["remarks"]
    assert (
        "a sensor of 20x30 pixels (height x width), from the largest coordinates but for clear outliers; --sensor"
        in sensor
    )
    assert strays.startswith("2 of 3,202 events are outside the sensor and left out, such as event 400 of ")
    assert strays.endswith("b/1.npy' at x = 40000, y = 3")
    assert task.provenance["events_outside_the_sensor"] == 2


def test_a_sensor_that_is_not_the_cameras_is_refused(tmp_path):
    write(tmp_path, bits)
    refused(
        r"\d+ of 320 events are outside the sensor of 30x20 pixels, such as event .*HEIGHTxWIDTH",
        tmp_path,
        sensor="30x20",
    )
    write(tmp_path / "far", lambda c: npz(**put(c, x=lambda x: x + 99)), only=True)
    refused("b/0.npz' has no event within the sensor of 20x30", tmp_path / "far", sensor="20x30")


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"sensor": "346"}, "--sensor '346': write the camera's HEIGHTxWIDTH in pixels"),
        ({"sensor": "0x9"}, "--sensor '0x9': write"),
        ({"sensor": "99999x9"}, "each 1 to 65536, e.g. 260x346"),
        ({"event_columns": "xyt"}, "--event-columns 'xyt': write x, y, t and p in the order of the columns"),
        ({"event_columns": "xxtp"}, "--event-columns 'xxtp': write"),
        ({"event_columns": "xytp"}, "holds no arrays .N, 4. without names, --event-columns is of these: drop it"),
        ({"event_scale": 0}, "--event-scale 0 is out of range: give 1 to 4096"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, rule):
    refused(rule, write(tmp_path, bits), **options)


def test_options_of_recordings_are_not_for_images(tmp_path, write_images, own_arrays):
    np.savez(tmp_path / "a.npz", **own_arrays())
    refused(
        "a.npz' holds no recordings of events, --event-scale is of these: drop it", tmp_path / "a.npz", event_scale=2
    )
    refused("holds no recordings of events, --sensor is of these", write_images(tmp_path), sensor="9x9")


def test_nmnist_takes_a_sensor_and_a_scale(tmp_path, write_recordings):
    write_recordings(tmp_path, classes=tuple("0123456789"), splits=("Train", "Test"), counts=(2, 1))
    whole = load_task("nmnist", data_dir=tmp_path)
    half = load_task("nmnist", data_dir=tmp_path, event_scale=2, sensor="34x34")
    assert (half.spec.height, half.spec.width) == (17, 17)
    assert half.test.images.sum() == whole.test.images.sum()


def test_more_columns_are_told(tmp_path):
    task = load_task(write(tmp_path, lambda c: npz(**c, label=np.array(3)), only=True), frames=FRAMES)
    assert task.provenance["remarks"][-1].startswith("recordings with more columns than x, y, t and p: 1, such as ")
    assert task.provenance["remarks"][-1].endswith("b/0.npz'; passed over there: 'label'")


def places(rows, columns):
    """Events at rows and columns, one by one."""
    x, y = np.array(columns, np.int64), np.array(rows, np.int64)
    return Events(x=x, y=y, t=np.zeros_like(x), p=np.zeros_like(x))


@EXAMPLES
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(-3, 2**40), st.integers(-3, 2**40)), max_size=2),
)
def test_the_sensor_holds_all_events_but_few_beyond_a_gap(body, few):
    events = places(*zip(*body * 100, *few, strict=True)) if few else places(*zip(*body * 100, strict=True))
    total = len(events.t)
    below = max(int((events.y < 0).sum()), int((events.x < 0).sum()))
    if below > RARE * total:
        with pytest.raises(TaskError, match="are below 0"):
            sensor_of(survey([("a", events)]))
        return
    for side, at in zip(sensor_of(survey([("a", events)])), (events.y, events.x), strict=True):
        beyond = at[at >= side]
        assert side - 1 in at
        assert len(beyond) <= RARE * total
        assert not len(beyond) or beyond.min() - (side - 1) > 16


SPOILT = {  # what no reading of one recording is right for
    "a fraction": lambda c: npz(**put(c, x=lambda x: x + 0.5)),
    "no number": lambda c: npz(**put(c, t=lambda t: t * np.nan)),
    "below 0": lambda c: npz(**put(c, y=lambda y: y - 9)),
    "three polarities": lambda c: npz(**put(c, p=lambda p: np.arange(len(p)) % 3 - 1)),
    "polarity 2 and 0": lambda c: npz(**put(c, p=lambda p: p * 2)),
    "a missing column": lambda c: npz(x=c["x"], y=c["y"], p=c["p"]),
    "two columns of a kind": lambda c: npz(**c, on=c["p"]),
    "texts": lambda c: npz(**put(c, t=lambda t: t.astype("U"))),
    "objects": lambda c: npy(c["x"].astype(object)),
    "one event less in a column": lambda c: npz(**put(c, p=lambda p: p[1:])),
    "nothing": lambda c: npy(fields(c)[:0]),
    "a pixel far away": lambda c: npz(**put(c, x=lambda x: x + 600)),
}
numbers = st.sampled_from(["|u1", "<u2", ">i2", "<i4", "<f2", "<f4", ">f8", "<u8"])


@EXAMPLES
@given(st.data())
def test_any_recordings_are_read_as_numpy_reads_them_or_refused(tmp_path_factory, data):
    """Events in any spelling, order, type and shape; the independent reader is np.load and a histogram."""
    folder = tmp_path_factory.getbasetemp() / "law"
    coding = data.draw(st.sampled_from([(0, 1), (-1, 1), (1, 2), (False, True)]))
    names = [
        data.draw(st.sampled_from(words)) for words in (("x", "XS"), ("y", "ys"), ("t", "timestamps"), ("p", "on"))
    ]
    kinds = [data.draw(numbers) for _ in "xy"] + [data.draw(st.sampled_from(["<i8", "<u4", ">f8"])), None]
    kinds[3] = "?" if coding[1] is True else data.draw(st.sampled_from(["i1", "<i8", "<f4"]))
    how = data.draw(st.sampled_from(["fields", "arrays", "columns", "plain"]))
    frames = data.draw(st.integers(1, 6))
    expected = []
    for split, name, n in FILES:
        count = data.draw(st.integers(2, 30)) if split == "test" else 5
        c = {
            k: data.draw(arrays("i8", count, elements=st.integers(0, top)))
            for k, top in (("x", 11), ("y", 8), ("t", 99))
        }
        c |= {"p": np.arange(count) % 2}
        c["x"][0], c["y"][0] = 11, 8
        stored = put(c, p=np.array(coding)[c["p"]])
        array = np.zeros(count, [*zip(names, kinds, strict=True)])
        for key, field in zip(names, "xytp", strict=True):
            array[key] = stored[field]
        suffix, raw = {
            "fields": lambda array=array: npy(array),
            "arrays": lambda array=array: npz(**{key: array[key] for key in names}),
            "columns": lambda array=array: npz(**{key: array[key][:, None] for key in names}),
            "plain": lambda stored=stored: npy(order_of(stored, "pxty")),
        }[how]()
        here = folder / split / name
        here.mkdir(parents=True, exist_ok=True)
        for old in here.glob(f"{n}.*"):
            old.unlink()
        (here / f"{n}{suffix}").write_bytes(raw)
        if split == "test":
            expected.append(independent(c, 9, 12, frames))
    options = {"event_columns": "pxty"} if how == "plain" else {}
    spoilt = data.draw(st.none() | st.sampled_from(sorted(SPOILT)))
    if spoilt:
        for old in here.glob("0.*"):
            old.unlink()
        suffix, raw = SPOILT[spoilt](made(0))
        (here / f"0{suffix}").write_bytes(raw)
        refused("law", folder, **options)
        return
    task = load_task(folder, frames=frames, **options)
    np.testing.assert_array_equal(shown(task), expected)


if __name__ == "__main__":
    print(table())
