from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import dense
from cmad.combinations import COMBINATIONS, FULL, MASKS, MODALITIES, contained
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations, predict_dropped
from cmad.store.batches import Batch, collate, frame_numbers
from cmad.store.store import Split
from cmad.task import Task
from tests.generators.splits import CPU, LENGTHS, make_network, make_split, ragged_lengths, random_lengths

TASK = Task("classes", ("negative", "neutral", "positive"))


def some_split(samples: int = 9, seed: int = 0) -> Split:
    return make_split(random_lengths(samples, np.random.default_rng(seed)), seed, TASK)


def numbers(split: Split, seed: int) -> dict[str, NDArray[np.float64]]:
    return {m: frame_numbers(split, m, seed) for m in MODALITIES}


@settings(max_examples=20)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_predictions_are_those_of_each_sample_alone(lengths: NDArray[np.int64], seed: int) -> None:
    network, split = make_network(seed, TASK, 0.15), make_split(lengths, seed, TASK)
    found = predict_combinations(network, split, 4, CPU)
    padded = dense.pad(split, LENGTHS)
    for row in range(len(split)):
        for j, mask in enumerate(MASKS):
            if (mask & ~split.has[row]).any():
                continue
            with torch.no_grad():
                alone = dense.forward(network, padded.at(np.array([row])), torch.from_numpy(mask)[None])
            np.testing.assert_allclose(found.outputs[j, row], alone.outputs[0], rtol=0, atol=1e-5)
            np.testing.assert_allclose(
                found.representation[j, row], alone.representation[0], rtol=0, atol=1e-5
            )


def test_seven_dense_passes_agree() -> None:
    network, split = make_network(1, TASK, 0.15), some_split()
    found = predict_combinations(network, split, 4, CPU).outputs
    passes = dense.evaluate(network, dense.pad(split, LENGTHS), 5).numpy()
    possible = contained(split.has).T
    np.testing.assert_allclose(found[possible], passes[possible], rtol=0, atol=1e-5)


@given(lengths=ragged_lengths())
def test_nan_exactly_where_a_sample_lacks_the_combination(lengths: NDArray[np.int64]) -> None:
    split = make_split(lengths, task=TASK)
    found = predict_combinations(make_network(0, TASK), split, 3, CPU)
    for values, width in ((found.outputs, 3), (found.representation, 8)):
        assert values.shape == (len(COMBINATIONS), len(split), width)
        assert values.dtype == np.float32
        for j, mask in enumerate(MASKS):
            for row in range(len(split)):
                lacks = bool((mask & (lengths[row] == 0)).any())
                assert np.isnan(values[j, row]).all() == lacks
                assert np.isnan(values[j, row]).any() == lacks


@pytest.mark.parametrize("batch", [1, 2, 4, 100])
def test_batch_size_changes_nothing(batch: int) -> None:
    network, split = make_network(2, TASK, 0.15), some_split(11, 3)
    whole = predict_combinations(network, split, 11, CPU)
    cut = predict_combinations(network, split, batch, CPU)
    np.testing.assert_allclose(cut.outputs, whole.outputs, rtol=0, atol=1e-6)
    np.testing.assert_allclose(cut.representation, whole.representation, rtol=0, atol=1e-6)
    dropped = [predict_dropped(network, split, 0.5, numbers(split, 0), size, CPU) for size in (11, batch)]
    np.testing.assert_allclose(dropped[1], dropped[0], rtol=0, atol=1e-6)


def test_nothing_dropped_is_what_each_sample_natively_has() -> None:
    network, split = make_network(2, TASK), some_split()
    found = predict_combinations(network, split, 4, CPU).outputs
    whole = predict_dropped(network, split, 0.0, numbers(split, 0), 4, CPU)
    complete = split.complete
    np.testing.assert_allclose(whole[complete], found[FULL, complete], rtol=0, atol=1e-5)
    language_audio = (split.has == MASKS[COMBINATIONS.index("LA")]).all(1)
    assert language_audio.any()
    np.testing.assert_allclose(
        whole[language_audio], found[COMBINATIONS.index("LA"), language_audio], rtol=0, atol=1e-5
    )


def test_everything_dropped_is_the_three_absent_tokens() -> None:
    network, split = make_network(3, TASK), some_split()
    with torch.no_grad():
        nothing = torch.zeros(1, 3, dtype=torch.bool)
        absent = dense.forward(network, dense.pad(split, LENGTHS).at(np.array([0])), nothing).outputs
    dropped = predict_dropped(network, split, 1.0, numbers(split, 0), 4, CPU)
    np.testing.assert_allclose(dropped, np.repeat(absent.numpy(), len(split), 0), rtol=0, atol=1e-5)


def test_the_drop_seed_matters_and_is_all_that_does() -> None:
    network, split = make_network(3, TASK), some_split()
    first, again, other = (
        predict_dropped(network, split, 0.5, numbers(split, seed), 4, CPU) for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert np.abs(first - other).max() > 1e-3


def test_dropped_frames_are_nested_over_the_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    split = some_split(40)
    kept: list[Mapping[str, NDArray[np.bool_]]] = []

    def spy(*args: Any) -> Batch:
        kept.append(args[-1])
        return collate(*args)

    monkeypatch.setattr("cmad.network.predictions.collate", spy)
    network = make_network(3, TASK)
    for ratio in (0.0, 0.1, 0.3, 0.7, 0.9, 1.0):
        predict_dropped(network, split, ratio, numbers(split, 0), 40, CPU)
    for m in MODALITIES:
        shares = [float(held[m].mean()) for held in kept]
        assert shares == sorted(shares, reverse=True)
        assert [shares[0], shares[-1]] == [1, 0]
        assert len(set(shares)) == 6
        for less, more in pairwise(kept):
            assert not (more[m] & ~less[m]).any()  # what was dropped stays dropped


Run = Callable[[Network, Split], Any]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "run",
    [
        lambda network, split: predict_combinations(network, split, 4, CPU).outputs,
        lambda network, split: predict_dropped(network, split, 0.5, numbers(split, 0), 4, CPU),
    ],
    ids=["combinations", "dropped"],
)
def test_dropout_is_off_and_the_mode_is_restored(run: Run, training: bool) -> None:
    network, split = make_network(3, TASK), some_split()
    expected = run(network, split)
    network.train(training)
    found = run(network, split)
    assert network.training == training
    assert all(module.training == training for module in network.modules())
    np.testing.assert_array_equal(found, expected)
    assert all(weight.grad is None for weight in network.parameters())
