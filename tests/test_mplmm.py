from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS, FULL, MASKS, MODALITIES, combination_index, contained
from cmad.errors import UserError
from cmad.methods.method import Method
from cmad.methods.mplmm import PromptedNetwork
from cmad.methods.networks.prompts import type_prompt
from cmad.network.laid import lay
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.batches import Batch, collate
from cmad.store.store import Split, Store
from cmad.students.student import create_method, train_student
from cmad.task import Task
from cmad.training.fit import Fitted
from cmad.training.teacher_cache import teacher_cache
from tests.generators.splits import (
    CPU,
    LENGTHS,
    LONGEST,
    SMALL,
    STUDENT,
    WIDTHS,
    draw_masks,
    make_network,
    make_split,
    ragged_lengths,
    random_lengths,
)

TASKS = [
    Task("regression"),
    Task("classes", ("false", "true")),
    Task("classes", ("negative", "neutral", "positive")),
    Task("binary", ("neutral", "happy", "sad", "angry")),
]
SCOPES = [None, *range(7)]
FROZEN = ("perceivers", "fusion")


def prompted(
    teacher: Network, combination: int | None = None, length: int = 2, spread: float = 0.3
) -> PromptedNetwork:
    """Prompts of a size that is seen in the outputs."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = PromptedNetwork(teacher, WIDTHS, LENGTHS, combination, length)
        with torch.no_grad():
            for weight in network.prompts.parameters():
                weight.copy_(torch.randn(weight.shape) * spread)
    return network


def batch_of(split: Split, wanted: NDArray[np.bool_]) -> Batch:
    batch = collate(split, np.arange(len(split)), wanted, CPU)
    streams = {m: replace(stream, frames=stream.frames.double()) for m, stream in batch.streams.items()}
    return replace(batch, streams=streams)


def outputs(network: Any, split: Split, masks: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Tensor:
    """From the network as it is used: representation and outputs side by side."""
    found = network.fuse(network.encode(batch_of(split, wanted)), torch.from_numpy(masks))
    return torch.cat([found.representation, found.outputs], dim=1)


def alone(
    network: PromptedNetwork, split: Split, row: int, mask: NDArray[np.bool_], j: int, pad: bool
) -> Tensor:
    """One sample, frame by frame, from the definition; ``j`` is what it is prompted for, -1 for nothing."""
    prompts, width = network.prompts, network.classifier.in_features
    frames: list[Tensor] = []
    for modality in MODALITIES:
        start, length = split.starts[modality][row], split.lengths[modality][row]
        frames.append(torch.from_numpy(split.features[modality][start : start + length]).double())
    tokens = []
    for m, modality in enumerate(MODALITIES):
        convolution = cast(nn.Conv1d, network.convolutions[modality])
        context = torch.zeros(LONGEST if pad else 1, width, dtype=torch.float64)
        lost = j < 0
        if j >= 0 and MASKS[j, m]:
            lost = not mask[m]
            if not lost:
                signal = prompts.signals[f"{modality}_present"].T
                given = frames[m]
                if pad:
                    given = F.pad(given, (0, 0, 0, LONGEST - len(given)))
                context = convolution(given.T[None])[0].T + signal[: len(given)]
        elif j >= 0:
            columns = [prompts.generative[modality].T]
            for a, source in enumerate(MODALITIES):
                if MASKS[j, a]:
                    mapped = torch.zeros(LONGEST, width, dtype=torch.float64)
                    cross = cast(nn.Conv1d, prompts.cross[f"{source}_to_{modality}"])
                    assert cross.bias is not None
                    for t in range(len(frames[a]) if mask[a] else 0):
                        mapped[t] = F.gelu(cross.weight[:, :, 0] @ frames[a][t] + cross.bias)
                    columns.append(mapped)
            temporal = cast(nn.Conv1d, prompts.temporal[f"{COMBINATIONS[j]}_to_{modality}"])
            assert temporal.bias is not None
            generated = F.gelu(temporal.weight[:, :, 0] @ torch.cat(columns) + temporal.bias[:, None])
            context = generated + prompts.signals[f"{modality}_missing"].T
        if not lost:
            mixed = torch.zeros(width, width, dtype=torch.float64)
            for n, name in enumerate(MODALITIES):
                state = "present" if MASKS[j, n] else "missing"
                mixed = mixed + prompts.signals[f"{name}_{state}"] @ prompts.maps[name]
            context = torch.cat([context, prompts.types[modality] @ mixed])
        tokens.append(network.perceivers[modality](lay(context[None]), None))
    representation = network.fusion(torch.stack(tokens, dim=1))
    return torch.cat([representation, network.classifier(representation)], dim=1)[0]


def test_golden_type_prompt() -> None:
    prompt = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    ones = torch.ones(2, 3, dtype=torch.float64)
    signals = [torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.float64), ones, 0 * ones]
    maps = [torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.float64), 0.5 * ones.T, ones.T]
    expected = torch.tensor([[3.5, 2.5], [3.0, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(type_prompt(prompt, signals, maps), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("combination", [None, FULL])
@pytest.mark.parametrize("attend_padding", [False, True])
def test_complete_input_without_signals_and_types_is_the_teacher(
    combination: int | None, attend_padding: bool
) -> None:
    teacher = make_network(attend_padding=attend_padding).double()
    network = prompted(teacher, combination, length=0)
    with torch.no_grad():
        for signal in network.prompts.signals.values():
            signal.zero_()
    split = make_split(random_lengths(9, np.random.default_rng(0), missing=0.0))
    full = np.ones((9, 3), dtype=bool)
    expected = outputs(teacher, split, full, full)
    torch.testing.assert_close(outputs(network, split, full, full), expected, rtol=0, atol=1e-12)
    # Each of the two makes a difference: it is not their absence that the test would miss.
    with_types = prompted(teacher, combination, length=2)
    assert not torch.allclose(outputs(with_types, split, full, full), expected)


@pytest.mark.parametrize("attend_padding", [False, True])
@settings(max_examples=15)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_a_batch_is_its_samples_alone(lengths: NDArray[np.int64], seed: int, attend_padding: bool) -> None:
    network = prompted(make_network(seed, attend_padding=attend_padding).double())
    split = make_split(lengths, seed)
    masks = draw_masks(split.has, np.random.default_rng(seed))
    # As in training, where the batch holds what is seen, and as in evaluation, where it holds all.
    for wanted in (masks, split.has):
        found = outputs(network, split, masks, wanted)
        for row, j in enumerate(combination_index(masks)):
            expected = alone(network, split, row, masks[row], int(j), attend_padding)
            torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("attend_padding", [False, True])
@pytest.mark.parametrize("combination", range(7))
def test_one_combinations_model_looks_at_no_other_modality(combination: int, attend_padding: bool) -> None:
    network = prompted(make_network(attend_padding=attend_padding).double(), combination)
    split = make_split(random_lengths(8, np.random.default_rng(combination), missing=0.5))
    found = outputs(network, split, np.ones((8, 3), dtype=bool), split.has)
    for row in range(8):
        mask = split.has[row] & MASKS[combination]
        j = combination if mask.any() else -1
        expected = alone(network, split, row, mask, j, attend_padding)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("combination", [None, 0, FULL])
@pytest.mark.parametrize("attend_padding", [False, True])
def test_a_sample_of_which_nothing_is_left_is_the_teachers_absent_one(
    combination: int | None, attend_padding: bool
) -> None:
    teacher = make_network(attend_padding=attend_padding).double()
    split = make_split(np.full((2, 3), 4))
    none, full = np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)
    found = outputs(prompted(teacher, combination), split, full, none)
    torch.testing.assert_close(found, outputs(teacher, split, none, full), rtol=0, atol=1e-12)


def world(task: Task) -> tuple[Store, Network]:
    rng = np.random.default_rng(3)
    splits = {name: make_split(random_lengths(24, rng), i, task) for i, name in enumerate(("train", "dev"))}
    return Store(task, WIDTHS, {"max_frames": LENGTHS}, splits), make_network(0, task, 0.15)


def method_of(
    store: Store, teacher: Network, combination: int | None = None, seed: int = 0, length: Any = 2
) -> Method:
    options = {"prompt_length": length}
    return create_method("mplmm", store, SMALL, STUDENT, options, teacher, combination, seed, CPU)


def fit(store: Store, teacher: Network, combination: int | None, seed: int = 0) -> Fitted:
    cache = teacher_cache(teacher, store.splits["train"], store.task, 16, CPU)
    student = replace(STUDENT, dropout_off=False, select="average")
    method = method_of(store, teacher, combination, seed)
    return train_student(method, store, student, cache, combination, seed, "test", CPU)


@pytest.mark.parametrize("combination", SCOPES)
def test_gradients_reach_every_prompt_and_nothing_frozen(combination: int | None) -> None:
    store, teacher = world(TASKS[2])
    # The initial weights as they are: at zero the type prompts would never train.
    network = cast(PromptedNetwork, method_of(store, teacher, combination).network)
    split = make_split(np.full((14, 3), 4), 0, TASKS[2])
    masks = MASKS[np.arange(14) % 7 if combination is None else np.full(14, combination)]
    output = network.fuse(network.encode(collate(split, np.arange(14), masks, CPU)), torch.from_numpy(masks))
    output.outputs.square().sum().backward()  # type: ignore[no-untyped-call]
    trained = masks.any(0)
    unused = {f"convolutions.{m}.weight" for m, seen in zip(MODALITIES, trained, strict=True) if not seen}
    for name, weight in network.named_parameters():
        if name.startswith(FROZEN):
            assert weight.grad is None, name
        elif name not in unused:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.abs().max() > 0, name


def test_frozen_parts_stay_in_eval_mode() -> None:
    network = prompted(make_network())
    network.train()
    modes = {name.split(".")[0]: module.training for name, module in network.named_modules() if name}
    assert modes == dict.fromkeys(("convolutions", "classifier", "prompts"), True) | dict.fromkeys(
        FROZEN, False
    )


@pytest.mark.parametrize("combination", SCOPES)
def test_a_model_holds_only_what_its_combination_needs(combination: int | None) -> None:
    network = prompted(make_network(), combination)
    prompts = network.prompts
    if combination is None:
        assert (len(prompts.cross), len(prompts.temporal), len(prompts.signals)) == (6, 9, 6)
        return
    present = int(MASKS[combination].sum())
    missing = 3 - present
    sizes = (len(prompts.generative), len(prompts.temporal), len(prompts.cross), len(prompts.signals))
    assert sizes == (missing, missing, missing * present, 3)
    width, length = 8, 2
    convolutions = [*prompts.cross.parameters(), *prompts.temporal.parameters()]
    count = sum(w.numel() for w in prompts.parameters()) - sum(w.numel() for w in convolutions)
    limit = 3 * width * length + 6 * width * LONGEST + 3 * length * width + 3 * LONGEST * width
    assert count <= limit


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("combination", [None, 1, 5, FULL])
def test_training_moves_the_prompts_and_leaves_the_teacher(task: Task, combination: int | None) -> None:
    store, teacher = world(task)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    start = method_of(store, teacher, combination).network.state_dict()
    fitted = fit(store, teacher, combination)
    assert np.isfinite([row["loss"] for row in fitted.log]).all()
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    for name, weight in fitted.state.items():
        if name.startswith(FROZEN):
            assert torch.equal(weight, before[name]), name
        elif name.startswith("prompts"):
            assert not torch.equal(weight, start[name]), name
    # A checkpoint is the weights alone: another network with them says the same.
    again = method_of(store, teacher, combination, seed=5).network
    again.load_state_dict(fitted.state)
    seen = range(7) if combination is None else (combination,)
    found = predict_combinations(again, store.splits["dev"], 5, CPU, seen).outputs
    possible = contained(store.splits["dev"].has).T
    assert all(np.isfinite(found[j, possible[j]]).all() for j in seen)


@pytest.mark.parametrize("combination", [None, 0])
def test_same_seed_gives_the_same_bits_and_another_does_not(combination: int | None) -> None:
    store, teacher = world(TASKS[0])
    first, second, other = (fit(store, teacher, combination, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first.state[k], second.state[k]) for k in first.state)
    assert first.log == second.log != other.log


def test_prompts_longer_than_a_stream_are_refused() -> None:
    store, teacher = world(TASKS[0])
    store = replace(store, manifest={"max_frames": {**LENGTHS, "audio": 4}})
    with pytest.raises(UserError) as caught:
        method_of(store, teacher, length=5)
    assert str(caught.value) == (
        "data/presets/<data set>.yaml: systems.mplmm.prompt_length = 5: must be at most "
        "preprocess.max_frames.audio = 4"
    )


@pytest.mark.parametrize("length", [0, 1.5, None])
def test_options_out_of_range_are_refused(length: Any) -> None:
    store, teacher = world(TASKS[0])
    with pytest.raises(UserError, match=r"prompt_length = .*: must be a whole number at least 1"):
        method_of(store, teacher, length=length)
