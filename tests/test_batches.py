from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import dense
from cmad.combinations import MODALITIES
from cmad.store.batches import collate, frame_numbers
from cmad.store.store import Split
from tests.generators.splits import (
    CPU,
    LENGTHS,
    draw_masks,
    kernels,
    make_network,
    make_split,
    ragged_lengths,
    random_lengths,
)


def own_frames(split: Split, modality: str, row: int) -> NDArray[np.floating]:
    start = split.starts[modality][row]
    return split.features[modality][start : start + split.lengths[modality][row]]


def random_kept(split: Split, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    return {m: rng.random(int(split.lengths[m].sum())) < 0.6 for m in MODALITIES}


@given(lengths=ragged_lengths(), seed=st.integers(0, 99), data=st.data())
def test_a_batch_holds_exactly_the_wanted_streams(
    lengths: NDArray[np.int64], seed: int, data: st.DataObject
) -> None:
    split = make_split(lengths, seed)
    rows = np.array(
        data.draw(st.lists(st.integers(0, len(split) - 1), min_size=1, max_size=8)), dtype=np.int64
    )
    wanted = draw_masks(split.has[rows], np.random.default_rng(seed))
    batch = collate(split, rows, wanted, CPU)
    assert batch.size == len(rows)
    assert batch.labels.tolist() == split.labels[rows].tolist()
    for m, modality in enumerate(MODALITIES):
        stream = batch.streams[modality]
        assert stream.rows.tolist() == np.flatnonzero(wanted[:, m]).tolist()
        assert stream.frames.dtype == torch.float32
        assert stream.frames.shape[:2] == stream.valid.shape
        held = split.lengths[modality][rows[wanted[:, m]]]
        assert stream.valid.shape[1] == held.max(initial=1)
        for place, frames, valid in zip(stream.rows.tolist(), stream.frames, stream.valid, strict=True):
            own = own_frames(split, modality, rows[place])
            assert valid.tolist() == [t < len(own) for t in range(len(valid))]
            assert (frames[: len(own)].numpy() == own).all()
            assert not frames[len(own) :].any()


@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_dropped_frames_are_zero_and_not_attended_to(lengths: NDArray[np.int64], seed: int) -> None:
    rng = np.random.default_rng(seed)
    split = make_split(lengths, seed)
    kept = random_kept(split, rng)
    rows = rng.permutation(len(split))
    batch = collate(split, rows, split.has[rows], CPU, kept)
    for modality in MODALITIES:
        stream = batch.streams[modality]
        ends = np.cumsum(split.lengths[modality])
        seen = {}
        for place, row in enumerate(rows):
            own = kept[modality][ends[row] - split.lengths[modality][row] : ends[row]]
            if own.any():  # a stream without frames is absent
                seen[place] = (own, own_frames(split, modality, row) * own[:, None])
        assert stream.rows.tolist() == list(seen)
        for place, frames, valid in zip(stream.rows.tolist(), stream.frames, stream.valid, strict=True):
            own, expected = seen[place]
            assert valid[: len(own)].tolist() == own.tolist()
            assert not valid[len(own) :].any()
            assert (frames[: len(own)].numpy() == expected).all()
            assert not frames[len(own) :].any()


def test_half_precision_features_become_single() -> None:
    split = make_split(np.array([[2, 1, 3]]))
    half = replace(split, features={m: values.astype(np.float16) for m, values in split.features.items()})
    batch = collate(half, np.array([0]), half.has, CPU)
    for modality in MODALITIES:
        assert batch.streams[modality].frames.dtype == torch.float32
        assert (batch.streams[modality].frames[0].numpy() == own_frames(half, modality, 0)).all()


def test_nobody_has_a_modality() -> None:
    split = make_split(np.array([[2, 0, 1], [3, 0, 0]]))
    stream = collate(split, np.arange(2), split.has, CPU).streams["audio"]
    assert stream.rows.shape == (0,)
    assert stream.frames.shape == (0, 1, split.features["audio"].shape[1])
    assert stream.valid.shape == (0, 1)


def with_dropped_frames_zeroed(split: Split, kept: dict[str, NDArray[np.bool_]]) -> Split:
    features = {m: values.copy() for m, values in split.features.items()}
    for m in MODALITIES:
        ends = np.cumsum(split.lengths[m])
        for row, (start, length) in enumerate(zip(split.starts[m], split.lengths[m], strict=True)):
            features[m][start : start + length] *= kept[m][ends[row] - length : ends[row], None]
    return replace(split, features=features)


@pytest.mark.parametrize("attend_padding", [False, True])
@settings(max_examples=25)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_kernels_see_zeros_where_frames_are_dropped(
    lengths: NDArray[np.int64], seed: int, attend_padding: bool
) -> None:
    """Dropped before the Conv1d: neighbours under a kernel of 3 lose them too (D17)."""
    split = make_split(lengths, seed)
    kept = random_kept(split, np.random.default_rng(seed))
    network = make_network(seed, kernels=kernels(3, 3, 3), attend_padding=attend_padding).double()
    batch = collate(split, np.arange(len(split)), split.has, CPU, kept)
    streams = {m: replace(stream, frames=stream.frames.double()) for m, stream in batch.streams.items()}
    everything = torch.ones(len(split), 3, dtype=torch.bool)
    ours = network.fuse(network.encode(replace(batch, streams=streams)), everything)

    padded = dense.pad(with_dropped_frames_zeroed(split, kept), LENGTHS)
    valid = {m: torch.zeros_like(padded.valid[m]) for m in MODALITIES}
    for m in MODALITIES:
        valid[m][padded.valid[m]] = torch.from_numpy(kept[m])
    frames = {m: values.double() for m, values in padded.frames.items()}
    theirs = dense.forward(network, replace(padded, frames=frames, valid=valid), everything, attend_padding)
    torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=0, atol=1e-9)


def test_frame_numbers_depend_on_id_modality_and_seed_alone() -> None:
    lengths = np.array([[3, 2, 4], [5, 0, 1], [2, 6, 3]])
    split = make_split(lengths)
    shuffled = make_split(lengths[[2, 0]], seed=1)
    shuffled = replace(shuffled, ids=[split.ids[2], split.ids[0]])
    for m, modality in enumerate(MODALITIES):
        parts = np.split(frame_numbers(split, modality, 7), np.cumsum(lengths[:, m])[:-1])
        assert [len(part) for part in parts] == lengths[:, m].tolist()
        again = frame_numbers(shuffled, modality, 7)
        assert again.tolist() == np.concatenate([parts[2], parts[0]]).tolist()
        other = np.split(frame_numbers(split, modality, 8), np.cumsum(lengths[:, m])[:-1])
        assert not set(np.concatenate(other)) & set(np.concatenate(parts))
    numbers = np.concatenate([frame_numbers(split, modality, 7) for modality in MODALITIES])
    assert len(set(numbers)) == len(numbers)  # of other samples and other modalities too
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_a_longer_stream_keeps_the_numbers_of_its_first_frames() -> None:
    short, long = make_split(np.array([[2, 1, 1]])), make_split(np.array([[6, 1, 1]]))
    assert frame_numbers(short, "language", 0).tolist() == frame_numbers(long, "language", 0)[:2].tolist()


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_right_in_expectation_for_short_streams(length: int, ratio: float) -> None:
    samples = 2000
    split = make_split(np.full((samples, 3), length))
    for modality in MODALITIES:
        dropped = (frame_numbers(split, modality, 0) < ratio).reshape(samples, length)
        assert dropped.mean() == pytest.approx(ratio, abs=4 * (ratio * (1 - ratio) / dropped.size) ** 0.5)
        whole = ratio**length  # frames are dropped independently
        assert dropped.all(1).mean() == pytest.approx(whole, abs=4 * (whole * (1 - whole) / samples) ** 0.5)


def test_at_ratio_one_every_stream_is_absent() -> None:
    split = make_split(random_lengths(5, np.random.default_rng(0)))
    kept = {m: frame_numbers(split, m, 0) >= 1.0 for m in MODALITIES}
    batch = collate(split, np.arange(5), split.has, CPU, kept)
    assert all(len(stream.rows) == 0 for stream in batch.streams.values())
