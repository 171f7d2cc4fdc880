import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators.tasks.augment import PAD, augment_batch, draw
from evaluators.tasks.build import build_task, channel_statistics, fingerprint
from evaluators.tasks.readers.raw import RawData
from evaluators.tasks.task import Split, batch_count, batches


def make_task(count=50, size=(6, 5), channels=3, augment="crop-flip", dtype=np.uint8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count + 10, *size, channels)).astype(dtype)
    labels = np.arange(count + 10) % 5
    raw = RawData(x_train=images[:count], y_train=labels[:count], x_test=images[count:], y_test=labels[count:])
    return build_task(raw, name="made", augment=augment, val_samples=10)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_augment(image, down, right, flip):
    """One image [H, W, C] the way it is usually told: pad, crop, mirror."""
    height, width, _ = image.shape
    padded = np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0)))
    crop = padded[down : down + height, right : right + width]
    return crop[:, ::-1] if flip else crop


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 999))
def test_augmentation_equals_a_loop_over_images(height, width, channels, seed):
    images = torch.randint(256, (7, height, width, channels), dtype=torch.uint8, generator=generator(seed))
    offsets, flips = draw("crop-flip", 7, generator(seed))
    fast = augment_batch(images, offsets, flips).numpy()
    for image, out, (down, right), flip in zip(images.numpy(), fast, offsets.tolist(), flips.tolist(), strict=True):
        np.testing.assert_array_equal(out, slow_augment(image, down, right, flip))


def test_draws_cover_every_offset_and_flip_half():
    offsets, flips = draw("crop-flip", 20_000, generator())
    for axis in range(2):
        counts = torch.bincount(offsets[:, axis], minlength=2 * PAD + 1)
        assert len(counts) == 2 * PAD + 1
        assert (counts - 20_000 / (2 * PAD + 1)).abs().max() < 250  # 5.6 standard deviations
    assert abs(flips.float().mean() - 0.5) < 0.02
    assert not draw("crop", 1000, generator())[1].any()


def test_in_order_batches_are_the_normalised_split():
    task = make_task()
    images, labels = map(torch.cat, zip(*batches(task, task.test, batch_size=4), strict=True))
    stored = task.test.images.numpy() / 255.0
    expected = (stored - np.array(task.mean)[:, None, None]) / np.array(task.std)[:, None, None]
    np.testing.assert_allclose(images.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(labels, task.test.labels)


def test_training_images_come_out_with_mean_zero_and_deviation_one():
    for dtype in (np.uint8, np.float32):
        task = make_task(dtype=dtype)
        images = torch.cat([x for x, _ in batches(task, task.train, batch_size=16)]).double()
        assert images.mean((0, 2, 3)).abs().max() < 1e-5
        assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_type_and_memory_format(channels_last, channels):
    task = make_task(channels=channels)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for images, labels in batches(task, task.train, batch_size=16, generator=generator(), channels_last=channels_last):
        assert images.is_contiguous(memory_format=layout)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.shape[1:] == (channels, 6, 5)


def test_memory_formats_hold_the_same_numbers():
    task = make_task()
    for (one, _), (other, _) in zip(
        batches(task, task.train, batch_size=7, channels_last=True),
        batches(task, task.train, batch_size=7, channels_last=False),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_split_of_any_memory_format_gives_the_same_batches():
    task = make_task()
    plain = Split(task.train.images.contiguous(), task.train.labels)
    assert fingerprint(plain) == fingerprint(task.train)
    one = batches(task, plain, batch_size=7, generator=generator(), augment=True)
    other = batches(task, task.train, batch_size=7, generator=generator(), augment=True)
    for (x, y), (u, v) in zip(one, other, strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


def test_a_shuffled_pass_gives_every_image_once_with_its_label():
    images = torch.arange(23, dtype=torch.uint8).view(23, 1, 1, 1).expand(23, 1, 2, 2).contiguous()
    split = Split(images, torch.arange(23))
    task = make_task(channels=1)
    got = list(batches(task, split, batch_size=5, generator=generator(3)))
    labels = torch.cat([y for _, y in got])
    assert labels.sort().values.tolist() == list(range(23))
    assert labels.tolist() != list(range(23))
    shown = torch.cat([x for x, _ in got])[:, 0, 0, 0] * task.std[0] + task.mean[0]
    assert (shown * 255).round().long().tolist() == labels.tolist()


@given(st.integers(1, 60), st.booleans(), st.sampled_from(["none", "crop", "crop-flip"]))
def test_generator_state_and_images_do_not_depend_on_the_batch_size(batch_size, stop_early, kind):
    task = make_task(augment=kind)
    one, other = generator(5), generator(5)
    whole = next(batches(task, task.train, batch_size=len(task.train), generator=one, augment=True))
    parts = batches(task, task.train, batch_size=batch_size, generator=other, augment=True)
    if stop_early:
        next(parts)
    else:
        images, labels = map(torch.cat, zip(*parts, strict=True))
        assert torch.equal(images, whole[0])
        assert torch.equal(labels, whole[1])
    assert torch.equal(one.get_state(), other.get_state())


def test_the_global_generator_is_left_alone():
    task = make_task()
    before = torch.get_rng_state()
    list(batches(task, task.train, batch_size=8, generator=generator(), augment=True))
    assert torch.equal(before, torch.get_rng_state())


def test_augmented_batches_are_the_slow_loop_over_the_shuffled_split():
    task = make_task()
    got_images, got_labels = next(batches(task, task.train, batch_size=40, generator=generator(9), augment=True))
    source = generator(9)
    order = torch.randperm(40, generator=source)
    offsets, flips = draw("crop-flip", 40, source)
    stored = task.train.images.permute(0, 2, 3, 1).numpy()[order.numpy()]
    moved = zip(stored, offsets.tolist(), flips.tolist(), strict=True)
    expected = np.stack([slow_augment(image, *at, flip) for image, at, flip in moved])
    expected = (expected / 255.0 - task.mean) / task.std
    np.testing.assert_allclose(got_images.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(got_labels, task.train.labels[order])


def test_augment_none_changes_nothing():
    task = make_task(augment="none")
    plain = list(batches(task, task.train, batch_size=8, generator=generator()))
    augmented = list(batches(task, task.train, batch_size=8, generator=generator(), augment=True))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(plain, augmented, strict=True))


@given(st.integers(1, 60), st.booleans())
def test_batch_count_is_the_number_of_batches(batch_size, drop_last):
    task = make_task()
    sizes = [len(y) for _, y in batches(task, task.train, batch_size=batch_size, drop_last=drop_last)]
    assert len(sizes) == batch_count(task.train, batch_size, drop_last)
    assert len(sizes) >= 1
    if drop_last and batch_size <= len(task.train):
        assert set(sizes) == {batch_size}
    else:
        assert sum(sizes) == len(task.train)


def test_misuse():
    task = make_task()
    with pytest.raises(ValueError, match="batch_size 0"):
        batches(task, task.train, batch_size=0)
    with pytest.raises(ValueError, match="generator"):
        batches(task, task.train, batch_size=4, augment=True)
    with pytest.raises(ValueError, match="belong together"):
        Split(torch.zeros(3, 1, 2, 2), torch.zeros(4, dtype=torch.int64))


def test_statistics_are_numpys_and_a_flat_channel_has_deviation_one():
    rng = np.random.default_rng(0)
    for dtype, unit in ((np.uint8, 255.0), (np.float32, 1.0)):
        images = rng.integers(0, 256, (2100, 3, 4, 4)).astype(dtype)
        images[:, 1] = 7
        mean, std = channel_statistics(Split(torch.from_numpy(images), torch.zeros(2100, dtype=torch.int64)))
        np.testing.assert_allclose(mean, images.mean((0, 2, 3), dtype=np.float64) / unit, rtol=1e-12)
        expected = images.std((0, 2, 3), dtype=np.float64) / unit
        np.testing.assert_allclose([std[0], std[2]], expected[[0, 2]], rtol=1e-12)
        assert std[1] == 1.0


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, 123456.789, -1e29])
def test_a_constant_float_channel_normalises_to_zero(value):
    images = torch.full((40, 1, 3, 3), value)
    mean, std = channel_statistics(Split(images, torch.zeros(40, dtype=torch.int64)))
    assert std == (1.0,)
    assert torch.allclose(images.double(), torch.tensor(mean[0], dtype=torch.float64), rtol=1e-6, atol=0)


def test_statistics_of_floats_far_from_zero():
    """The naive mean of squares would lose all digits here."""
    noise = np.random.default_rng(0).normal(size=(200, 1, 8, 8))
    images = (1000 + noise).astype(np.float32)
    mean, std = channel_statistics(Split(torch.from_numpy(images), torch.zeros(200, dtype=torch.int64)))
    np.testing.assert_allclose(mean[0], images.mean(dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std[0], images.std(dtype=np.float64), rtol=1e-9)


def test_fingerprint_sees_every_change():
    split = make_task().train
    images, labels = split.images.clone(), split.labels.clone()
    images[3, 1, 2, 2] ^= 1
    labels[7] ^= 1
    swapped = torch.arange(len(split)).roll(1)
    prints = {
        fingerprint(split),
        fingerprint(Split(images, split.labels)),
        fingerprint(Split(split.images, labels)),
        fingerprint(Split(split.images[swapped], split.labels[swapped])),
        fingerprint(Split(split.images.float(), split.labels)),
        fingerprint(Split(split.images.transpose(2, 3), split.labels)),
    }
    assert len(prints) == 6
