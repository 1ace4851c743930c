import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import dense
from benchmarks.epochs import with_project_dropout
from cmad.combinations import MASKS, MODALITIES, SAMPLERS, combination_index, draw_combinations
from cmad.config.schema import PerModality
from cmad.losses.mar import Banks, mar_weights, mean_difficulty
from cmad.methods.cmad import Cmad
from cmad.methods.method import Step
from cmad.network.convolution import convolve
from cmad.network.fusion import Fusion
from cmad.network.laid import Laid
from cmad.network.network import Network, Output
from cmad.network.perceiver import Perceiver
from cmad.network.predictions import predict_combinations
from cmad.store.batches import Batch, Stream, collate
from cmad.store.store import Split
from cmad.task import Task
from cmad.training.teacher_cache import teacher_cache
from tests.generators.splits import (
    CPU,
    LENGTHS,
    SMALL,
    STUDENT,
    WIDTHS,
    draw_masks,
    kernels,
    make_network,
    make_split,
    ragged_lengths,
    random_lengths,
)

SIZES = [kernels(3, 1, 1), kernels(3, 3, 3), kernels(1, 5, 1)]
TASKS = [
    Task("regression"),
    Task("classes", ("negative", "neutral", "positive")),
    Task("binary", ("neutral", "happy", "sad", "angry")),
]


def gathered(split: Split, masks: NDArray[np.bool_], dtype: torch.dtype) -> Batch:
    batch = collate(split, np.arange(len(split)), masks, CPU)
    streams = {m: replace(stream, frames=stream.frames.to(dtype)) for m, stream in batch.streams.items()}
    return replace(batch, streams=streams)


def padded(split: Split, dtype: torch.dtype) -> dense.Padded:
    whole = dense.pad(split, LENGTHS)
    return replace(whole, frames={m: frames.to(dtype) for m, frames in whole.frames.items()})


def fast(network: Network, split: Split, masks: NDArray[np.bool_]) -> Output:
    batch = gathered(split, masks, network.classifier.weight.dtype)
    return network.fuse(network.encode(batch), torch.from_numpy(masks))


def plain(network: Network, split: Split, masks: NDArray[np.bool_], attend_padding: bool = False) -> Output:
    batch = padded(split, network.classifier.weight.dtype)
    return dense.forward(network, batch, torch.from_numpy(masks), attend_padding)


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def assert_near(got: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    """Near by the size of the largest value, or absolutely where that is below 1."""
    assert got.shape == wanted.shape, what
    difference = (got - wanted).abs().max().item() if got.numel() else 0.0
    assert difference <= tolerance * max(1.0, wanted.abs().max().item()), f"{what}: {difference}"


def assert_equals_plain(
    network: Network, split: Split, masks: NDArray[np.bool_], attend_padding: bool
) -> None:
    tolerance = 1e-9 if network.classifier.weight.dtype == torch.float64 else 1e-5
    ours, theirs = fast(network, split, masks), plain(network, split, masks, attend_padding)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pull = [torch.randn_like(ours.representation), torch.randn_like(ours.outputs)]
    both = []
    for output in (ours, theirs):
        loss = (output.representation * pull[0]).sum() + (output.outputs * pull[1]).sum()
        both.append(gradients(network, loss))
    assert_near(ours.representation, theirs.representation, tolerance, "E")
    assert_near(ours.outputs, theirs.outputs, tolerance, "z")
    for name, gradient in both[0].items():
        assert_near(gradient, both[1][name], tolerance, name)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("attend_padding", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@settings(max_examples=15)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_outputs_and_gradients_equal_the_dense_computation(
    lengths: NDArray[np.int64], seed: int, sizes: PerModality, attend_padding: bool, dtype: torch.dtype
) -> None:
    spread = 0.15 if dtype == torch.float32 else 0.3
    network = make_network(seed, spread=spread, kernels=sizes, attend_padding=attend_padding).to(dtype)
    split = make_split(lengths, seed)
    masks = draw_masks(split.has, np.random.default_rng(seed))
    assert_equals_plain(network, split, masks, attend_padding)


@pytest.mark.parametrize("attend_padding", [False, True])
@pytest.mark.parametrize(
    "lengths",
    [
        [[3, 0, 2], [1, 0, 4]],  # nobody has audio
        [[4, 0, 0], [6, 0, 0]],  # language alone
        [[0, 0, 1]],  # one sample of one frame
        [[1, 1, 1], [1, 1, 1], [1, 0, 1]],  # T = 1
        [[6, 6, 6], [6, 6, 6]],  # nothing padded
    ],
    ids=str,
)
def test_edge_cases_equal_the_dense_computation(lengths: list[list[int]], attend_padding: bool) -> None:
    network = make_network(attend_padding=attend_padding).double()
    split = make_split(np.array(lengths))
    assert_equals_plain(network, split, split.has, attend_padding)


def test_the_switch_of_padding_matters() -> None:
    split = make_split(np.array([[2, 3, 1], [6, 5, 6]]))
    masked, attended = make_network(), make_network(attend_padding=True)
    difference = fast(masked, split, split.has).outputs - fast(attended, split, split.has).outputs
    assert difference.abs().min() > 1e-4


def test_train_mode_equals_the_dense_computation_under_the_same_dropout() -> None:
    network = make_network().train()
    split = make_split(random_lengths(9, np.random.default_rng(0)))
    outputs = []
    shared = with_project_dropout(copy.deepcopy(network))
    for run, own in ((fast, network), (plain, shared)):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            outputs.append(run(own, split, split.has).outputs)
    assert_near(outputs[0], outputs[1], 1e-5, "z")
    assert (outputs[0] - fast(network.eval(), split, split.has).outputs).abs().max() > 1e-3


def hand_written_fusion(fusion: Fusion, tokens: Tensor, heads: int) -> Tensor:
    """Spec section 1 in plain words: a sequence of three, post-norm, ReLU, no final norm."""
    x = tokens
    for layer in fusion.transformer.layers:
        own = layer.self_attn
        q, k, v = (x @ own.in_proj_weight.T + own.in_proj_bias).chunk(3, dim=-1)
        mixed = torch.empty_like(x)
        width = x.shape[-1] // heads
        for b in range(len(x)):
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                weights = torch.softmax(q[b, :, part] @ k[b, :, part].T / width**0.5, dim=-1)
                mixed[b, :, part] = weights @ v[b, :, part]
        x = layer.norm1(x + own.out_proj(mixed))
        x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
    return fusion.linear(torch.cat([x[:, 0], x[:, 1], x[:, 2]], dim=1)).relu()


def test_fusion_is_a_post_norm_transformer_over_the_three_tokens() -> None:
    network = make_network().double()
    tokens = torch.randn(4, 3, SMALL.width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_near(network.fusion(tokens), hand_written_fusion(network.fusion, tokens, SMALL.heads), 1e-12, "E")


def cmad_step(split: Split, masks: NDArray[np.bool_], teacher: Network, task: Task) -> Step:
    complete = torch.from_numpy(split.complete)
    return Step(
        batch=collate(split, np.arange(len(split)), masks, CPU),
        masks=torch.from_numpy(masks),
        combinations=torch.from_numpy(combination_index(masks)),
        complete=complete,
        teacher=teacher_cache(teacher, split, task, 4, CPU).at(complete.nonzero()[:, 0]),
    )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
@pytest.mark.parametrize("attend_padding", [False, True])
def test_training_steps_equal_the_dense_ones_before_and_after_warm_up(
    task: Task, attend_padding: bool
) -> None:
    """The cached teacher, CAFD, MAR with its banks, the auxiliary loss: terms and gradients."""
    rng = np.random.default_rng(1)
    student = make_network(1, task, 0.15, attend_padding=attend_padding)
    teacher = make_network(2, task, 0.15, attend_padding=attend_padding)
    method = Cmad(student, STUDENT, task, SAMPLERS["authors"])
    pair = dense.Pair(student, teacher, STUDENT, task, attend_padding)
    banks, psi = Banks.empty(), torch.ones(len(MASKS))
    optimiser = torch.optim.SGD(student.parameters(), lr=1e-3)
    for epoch in range(2):
        split = make_split(random_lengths(12, rng), epoch, task)
        masks = MASKS[draw_combinations(split.has, SAMPLERS["authors"], rng)]
        method.begin_epoch(epoch)
        ours = method.losses(cmad_step(split, masks, teacher, task))
        theirs, banks = dense.losses(
            pair,
            dense.pad(split, LENGTHS),
            torch.from_numpy(masks),
            torch.from_numpy(combination_index(masks)),
            psi,
            banks,
        )
        assert ours.keys() == theirs.keys()
        for name, term in ours.items():
            assert_near(term, theirs[name], 1e-5, name)
        gradient = gradients(student, torch.stack(list(ours.values())).sum())
        for name, wanted in gradients(student, torch.stack(list(theirs.values())).sum()).items():
            assert_near(gradient[name], wanted, 1e-5, name)
        for name, weight in student.named_parameters():
            weight.grad = gradient[name]
        optimiser.step()
        psi = mar_weights(
            mean_difficulty(banks.relative, banks.counts), banks.counts, STUDENT.rho, 0.0
        ).float()
        assert psi.max() == pytest.approx(STUDENT.rho)


def counted_rows(network: Network, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Rows that each use of a Conv1d or a Perceiver of this network is given, from now on."""
    rows: dict[str, list[int]] = {}
    for m in MODALITIES:
        convolutions: list[int] = []
        perceivers: list[int] = []
        rows |= {f"convolutions.{m}": convolutions, f"perceivers.{m}": perceivers}

        def count(_: nn.Module, given: tuple[Laid, Tensor | None], own: list[int] = perceivers) -> None:
            own.append(len(given[0].places))

        network.perceivers[m].register_forward_pre_hook(count)

    def counting(convolution: nn.Conv1d, frames: Tensor, valid: Tensor) -> Laid:
        for m in MODALITIES:
            if convolution is network.convolutions[m]:
                rows[f"convolutions.{m}"].append(len(frames))
        return convolve(convolution, frames, valid)

    monkeypatch.setattr("cmad.network.network.convolve", counting)
    return rows


def test_each_encoder_runs_once_in_an_evaluation_of_all_seven_combinations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network()
    split = make_split(random_lengths(10, np.random.default_rng(2)))
    rows = counted_rows(network, monkeypatch)
    predict_combinations(network, split, 4, CPU)
    for m, modality in enumerate(MODALITIES):
        present = [int(split.has[start : start + 4, m].sum()) for start in (0, 4, 8)]
        assert rows[f"convolutions.{modality}"] == present
        assert rows[f"perceivers.{modality}"] == [count + 1 for count in present]  # and the absent token


def test_a_training_step_encodes_only_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("regression")
    network, teacher = make_network(1), make_network(2)
    split = make_split(random_lengths(10, np.random.default_rng(3)))
    masks = draw_masks(split.has, np.random.default_rng(3))
    step = cmad_step(split, masks, teacher, task)
    ours, theirs = counted_rows(network, monkeypatch), counted_rows(teacher, monkeypatch)
    Cmad(network, STUDENT, task, SAMPLERS["authors"]).losses(step)
    for m, modality in enumerate(MODALITIES):
        assert ours[f"perceivers.{modality}"] == [int(masks[:, m].sum()) + 1]
        assert theirs[f"perceivers.{modality}"] == []


@pytest.mark.parametrize("attend_padding", [False, True])
def test_absent_token_is_the_same_in_any_batch(attend_padding: bool) -> None:
    network = make_network(attend_padding=attend_padding).double()
    tokens = []
    for lengths in ([[3, 0, 2], [1, 0, 4]], [[6, 6, 1], [2, 1, 1], [0, 5, 0]]):
        split = make_split(np.array(lengths), seed=len(lengths))
        tokens.append(
            [table[-1] for table in network.encode(gathered(split, split.has, torch.float64)).tokens]
        )
    for first, second in zip(*tokens, strict=True):
        assert_near(first, second, 1e-12, "absent token")
    assert (tokens[0][0] - tokens[0][1]).abs().max() > 1e-3  # one token per modality


def test_a_masked_modality_does_not_matter() -> None:
    network = make_network().double()
    split = make_split(np.array([[3, 2, 5], [1, 4, 2]]))
    language = np.array([[True, False, False]] * 2)
    encoded = network.encode(gathered(split, split.has, torch.float64))
    ours = network.fuse(encoded, torch.from_numpy(language))
    assert_near(ours.outputs, fast(network, split, language).outputs, 1e-12, "z")


def test_padding_frames_do_not_matter() -> None:
    network = make_network(kernels=kernels(3, 3, 3)).double()
    split = make_split(np.array([[3, 2, 4], [1, 4, 2]]))
    batch = gathered(split, split.has, torch.float64)
    longer = {
        m: Stream(s.rows, F.pad(s.frames, (0, 0, 0, 3)), F.pad(s.valid, (0, 3)))
        for m, s in batch.streams.items()
    }
    for short, long in zip(
        network.encode(batch).tokens, network.encode(replace(batch, streams=longer)).tokens, strict=True
    ):
        assert_near(short, long, 1e-12, "tokens")


@settings(max_examples=25)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_a_sample_does_not_depend_on_its_batch(lengths: NDArray[np.int64], seed: int) -> None:
    network = make_network(seed).double()
    split = make_split(lengths, seed)
    together = fast(network, split, split.has)
    for row in range(len(split)):
        mask = split.has[[row]]
        batch = collate(split, np.array([row]), mask, CPU)
        streams = {m: replace(s, frames=s.frames.double()) for m, s in batch.streams.items()}
        alone = network.fuse(network.encode(replace(batch, streams=streams)), torch.from_numpy(mask))
        assert_near(alone.representation[0], together.representation[row], 1e-9, f"E of {row}")


@settings(max_examples=25)
@given(lengths=ragged_lengths(), seed=st.integers(0, 99))
def test_the_representation_is_never_negative(lengths: NDArray[np.int64], seed: int) -> None:
    split = make_split(lengths, seed)
    assert fast(make_network(seed), split, split.has).representation.min() >= 0


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("width", "depth", "heads", "expected"),
    [(96, 5, 16, 2_104_032), (64, 3, 16, 694_336), (64, 6, 16, 1_388_224), (30, 4, 5, 114_210)],
)
def test_perceivers_have_the_parameters_of_the_spec(
    width: int, depth: int, heads: int, expected: int
) -> None:
    with torch.device("meta"):
        assert count(Perceiver(width, depth, 5, heads, heads)) == expected


TRUNKS: dict[str, tuple[dict[str, Any], tuple[int, int, int], int]] = {
    "mosei": ({"width": 96, "depth": 5, "heads": 16}, (768, 74, 35), 1),
    "iemocap": ({"width": 30, "depth": 4, "heads": 5}, (300, 74, 35), 8),
    "mustard": ({"width": 64, "depth": 3, "heads": 16}, (768, 60, 36), 2),
    "ur_funny": ({"width": 64, "depth": 6, "heads": 16}, (768, 60, 36), 2),
    "cherma": ({"width": 1024, "depth": 4, "heads": 16}, (1024, 1024, 2048), 7),
}


@pytest.mark.parametrize(
    ("name", "sizes", "millions", "digits"),
    [
        ("mosei", (3, 1, 1), 7.44, 2),
        ("iemocap", (3, 3, 3), 0.64, 2),
        ("iemocap", (3, 1, 1), 0.63, 2),
        ("mustard", (3, 3, 3), 2.82, 2),
        ("mustard", (3, 1, 1), 2.81, 2),
        ("ur_funny", (3, 3, 3), 4.91, 2),
        ("ur_funny", (3, 1, 1), 4.89, 2),
        ("cherma", (3, 3, 3), 360, 0),
        ("cherma", (3, 1, 1), 354, 0),
    ],
)
def test_trunks_have_the_parameters_of_the_spec(
    name: str, sizes: tuple[int, int, int], millions: float, digits: int
) -> None:
    trunk, widths, outputs = TRUNKS[name]
    params = replace(
        SMALL,
        **trunk,
        head_width=trunk["heads"],
        latents=5,
        kernels=kernels(*sizes),
        fusion_feedforward=2048,
    )
    with torch.device("meta"):  # without the memory for CHERMA's 360 million
        network = Network(params, dict(zip(MODALITIES, widths, strict=True)), LENGTHS, outputs)
    assert round(count(network) / 1e6, digits) == millions


def of_kind(network: Network, kind: type[nn.Module]) -> Mapping[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, kind)}


def test_initialisation_is_that_of_the_authors() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        params = replace(SMALL, width=64, heads=16, head_width=16, latents=64, fusion_feedforward=256)
        network = Network(params, {"language": 128, "audio": 100, "vision": 80}, LENGTHS, 4)
    linears = of_kind(network, nn.Linear)
    assert any("out_proj" in name for name in linears)
    for name, linear in linears.items():
        assert isinstance(linear, nn.Linear)
        tolerance = 5 * 0.02 / (2 * linear.weight.numel()) ** 0.5
        assert linear.weight.std().item() == pytest.approx(0.02, abs=tolerance), name
        assert linear.weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / linear.weight.numel() ** 0.5), (
            name
        )
        assert linear.bias is None or not linear.bias.any(), name
    for name, norm in of_kind(network, nn.LayerNorm).items():
        assert isinstance(norm, nn.LayerNorm)
        assert (norm.weight == 1).all(), name
        assert not norm.bias.any(), name
        assert norm.eps == 1e-5, name
    for name, convolution in of_kind(network, nn.Conv1d).items():
        assert isinstance(convolution, nn.Conv1d)
        edge = (convolution.in_channels * convolution.kernel_size[0]) ** -0.5  # PyTorch's default
        assert convolution.bias is None
        assert edge * 0.98 < convolution.weight.abs().max().item() <= edge, name
        assert convolution.weight.std().item() == pytest.approx(edge / 3**0.5, rel=0.05), name
    for layer in network.fusion.transformer.layers:
        edge = (6 / (64 + 3 * 64)) ** 0.5  # Xavier's, of the stacked projection
        assert edge * 0.98 < layer.self_attn.in_proj_weight.abs().max().item() <= edge
        assert not layer.self_attn.in_proj_bias.any()
    for perceiver in of_kind(network, Perceiver).values():
        assert isinstance(perceiver, Perceiver)
        assert perceiver.latents.shape == (64, 64)
        assert perceiver.latents.std().item() == pytest.approx(1, abs=0.06)
        assert perceiver.latents.mean().item() == pytest.approx(0, abs=0.08)


def test_weights_of_different_layers_and_modalities_are_not_tied() -> None:
    network = make_network()
    places = [weight.data_ptr() for weight in network.parameters()]
    assert len(set(places)) == len(places)
    assert {m: c.in_channels for m, c in network.convolutions.items()} == WIDTHS
