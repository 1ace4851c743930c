import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.combinations import FULL, MASKS, MODALITIES, combination_index, contained
from cmad.errors import UserError
from cmad.losses.cafd import feature_mse
from cmad.losses.task import task_loss
from cmad.methods.method import Method, Step
from cmad.methods.networks.cross_modal import CrossModalNetwork, attention_heads
from cmad.methods.self_distillation import mutual_distillation
from cmad.network.laid import lay
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.batches import collate
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
SYSTEMS = ["umdf", "umdf_full"]
OPTIONS = {"distillation": 1.0, "feature": 1.0, "temperature": 2.0, "ramp": 0}


def tensor(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(("temperature", "expected"), [(2.0, 0.21003815), (1.0, 0.16199665)])
def test_golden_distillation(temperature: float, expected: float) -> None:
    complete, masked = tensor([[2, 0, -1], [0, 1, 0]]), tensor([[1, 0, 0], [1, 1, 0]])
    found = mutual_distillation(TASKS[2], complete, masked, temperature).mean()
    assert float(found) == pytest.approx(expected, abs=1e-8)


def test_golden_feature_term() -> None:
    assert float(feature_mse(tensor([[1, 2], [0, 1]]), tensor([[1, 0], [1, 1]])).mean()) == 1.25


def slow_distillation(task: Task, complete: Tensor, masked: Tensor, temperature: float) -> list[float]:
    found = []
    for first, second in zip(complete.tolist(), masked.tolist(), strict=True):
        if task.kind == "regression":
            found.append((first[0] - second[0]) ** 2)
            continue
        for start in range(0, len(first), task.classes):
            p, q = (
                [math.exp(z[k] / temperature) for k in range(start, start + task.classes)]
                for z in (first, second)
            )
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            forth = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
            found.append(temperature**2 * (forth + back) / 2)
    return found


@given(st.sampled_from(TASKS), st.integers(1, 5), st.floats(0.5, 5), st.integers(0, 999))
def test_distillation_equals_loops_and_has_no_direction(
    task: Task, samples: int, temperature: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    complete, masked = (torch.from_numpy(rng.normal(size=(samples, task.outputs)) * 3) for _ in range(2))
    found = mutual_distillation(task, complete, masked, temperature)
    assert found.tolist() == pytest.approx(slow_distillation(task, complete, masked, temperature), abs=1e-9)
    assert torch.equal(found, mutual_distillation(task, masked, complete, temperature))


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_distillation_pulls_both_and_stays_finite_for_saturated_outputs(task: Task) -> None:
    complete = (torch.eye(task.outputs)[:1] * 200).requires_grad_()
    masked = (-torch.eye(task.outputs)[:1] * 200).requires_grad_()
    mutual_distillation(task, complete, masked, 1.0).sum().backward()  # type: ignore[no-untyped-call]
    for side in (complete, masked):
        assert side.grad is not None
        assert side.grad.isfinite().all()
        assert side.grad.abs().max() > 0


def world(task: Task) -> tuple[Store, Network]:
    rng = np.random.default_rng(3)
    splits = {name: make_split(random_lengths(24, rng), i, task) for i, name in enumerate(("train", "dev"))}
    return Store(task, WIDTHS, {"max_frames": LENGTHS}, splits), make_network(0, task, 0.15)


def method_of(
    system: str, store: Store, teacher: Network, combination: int | None = None, seed: int = 0, **changes: Any
) -> Method:
    options = OPTIONS | changes
    return create_method(system, store, SMALL, STUDENT, options, teacher, combination, seed, CPU)


def fit(system: str, store: Store, teacher: Network, combination: int | None, seed: int = 0) -> Fitted:
    cache = teacher_cache(teacher, store.splits["train"], store.task, 16, CPU)
    student = replace(STUDENT, dropout_off=False)
    method = method_of(system, store, teacher, combination, seed)
    return train_student(method, store, student, cache, combination, seed, "test", CPU)


def step_of(method: Method, split: Split, masks: NDArray[np.bool_]) -> Step:
    return Step(
        batch=collate(split, np.arange(len(split)), method.wanted(split.has, masks), CPU),
        masks=torch.from_numpy(masks),
        combinations=torch.from_numpy(combination_index(masks)),
        complete=torch.from_numpy(split.complete),
        teacher=None,
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_terms_are_the_definition_over_both_passes(system: str) -> None:
    store, teacher = world(TASKS[3])
    method = method_of(system, store, teacher, distillation=0.5, feature=3.0)
    assert method.trained is not None
    method.trained.eval()
    split = store.splits["train"]
    masks = draw_masks(split.has, np.random.default_rng(0))
    step = step_of(method, split, masks)
    terms = method.losses(step)
    # Each pass on a batch of its own that holds no more than the pass sees.
    complete, masked = (
        method.network.fuse(
            method.network.encode(collate(split, np.arange(24), seen, CPU)), torch.from_numpy(seen)
        )
        for seen in (split.has, masks)
    )
    expected = {
        "task": sum(
            task_loss(store.task, z.outputs, step.batch.labels).mean().item() for z in (complete, masked)
        ),
        "distillation": 0.5 * np.mean(slow_distillation(store.task, complete.outputs, masked.outputs, 2.0)),
        "feature": 3.0 * (complete.representation - masked.representation).square().mean().item(),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-3)
    assert expected["distillation"] > 0 < expected["feature"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_both_transfers_grow_from_zero_over_the_ramp(system: str) -> None:
    store, teacher = world(TASKS[3])
    method = method_of(system, store, teacher, ramp=4)
    assert method.trained is not None
    method.trained.eval()
    split = store.splits["train"]
    step = step_of(method, split, draw_masks(split.has, np.random.default_rng(0)))

    def at(epoch: int) -> dict[str, float]:
        method.begin_epoch(epoch)
        return {name: term.item() for name, term in method.losses(step).items()}

    whole = at(4)
    assert at(9) == whole
    for epoch in range(4):
        terms = at(epoch)
        assert terms["task"] == whole["task"]
        for name in ("distillation", "feature"):
            assert terms[name] == pytest.approx(epoch / 4 * whole[name], rel=1e-5)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_terms_vanish_where_all_is_seen_without_dropout(system: str, task: Task) -> None:
    store, teacher = world(task)
    method = method_of(system, store, teacher, FULL)
    assert method.trained is not None
    method.trained.eval()
    split = store.splits["train"]
    terms = method.losses(step_of(method, split, split.has))
    assert terms["distillation"].item() == terms["feature"].item() == 0
    method.trained.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert method.losses(step_of(method, split, split.has))["feature"].item() > 0


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_weight_learns_and_the_teacher_is_not_asked(system: str) -> None:
    store, teacher = world(TASKS[2])
    method = method_of(system, store, teacher)
    split = store.splits["train"]
    terms = method.losses(step_of(method, split, draw_masks(split.has, np.random.default_rng(0))))
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert method.trained is not None
    for name, weight in method.trained.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    assert all(weight.grad is None for weight in teacher.parameters())


@pytest.mark.parametrize("system", SYSTEMS)
def test_starts_like_every_student(system: str) -> None:
    store, teacher = world(TASKS[0])
    plain = create_method("dropout", store, SMALL, STUDENT, {}, teacher, None, 4, CPU).network.state_dict()
    state = method_of(system, store, teacher, seed=4).network.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in plain.items())


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("combination", [None, 1, FULL])
def test_trains_and_comes_back_from_its_weights(system: str, task: Task, combination: int | None) -> None:
    store, teacher = world(task)
    fitted = fit(system, store, teacher, combination)
    for row in fitted.log:
        parts = [row[f"loss_{name}"] for name in ("task", "distillation", "feature")]
        assert np.isfinite(row["loss"])
        assert row["loss"] == pytest.approx(sum(parts))
    again = method_of(system, store, teacher, combination, seed=5).network
    again.load_state_dict(fitted.state)
    seen = range(7) if combination is None else (combination,)
    found = predict_combinations(again, store.splits["dev"], 5, CPU, seen).outputs
    possible = contained(store.splits["dev"].has).T
    assert all(np.isfinite(found[j, possible[j]]).all() for j in seen)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("combination", [None, 0])
def test_same_seed_gives_the_same_bits_and_another_does_not(system: str, combination: int | None) -> None:
    store, teacher = world(TASKS[0])
    first, second, other = (fit(system, store, teacher, combination, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first.state[k], second.state[k]) for k in first.state)
    assert first.log == second.log != other.log


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.0), ("distillation", -1.0), ("feature", "1"), ("ramp", -1)]
)
def test_options_out_of_range_are_refused(name: str, value: Any) -> None:
    store, teacher = world(TASKS[0])
    with pytest.raises(UserError, match=f"{name} = .*: must be a (finite|whole) number"):
        method_of("umdf", store, teacher, **{name: value})


@pytest.mark.parametrize(("width", "heads"), [(16, 8), (30, 5), (96, 8), (12, 4), (20, 5), (40, 8)])
def test_heads_are_the_most_that_divide_the_width(width: int, heads: int) -> None:
    assert attention_heads(width) == heads


def test_a_width_that_no_number_of_heads_divides_is_refused() -> None:
    with pytest.raises(UserError, match=r"^network\.width = 6: umdf_full needs a multiple of 8, 5 or 4$"):
        CrossModalNetwork(make_network(width=6), LENGTHS)


def cross_modal(network: Network) -> CrossModalNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        full = CrossModalNetwork(network, LENGTHS)
        with torch.no_grad():
            for weight in [*full.interactions.parameters(), *full.filters.parameters()]:
                weight.copy_(torch.randn(weight.shape) * 0.3)
    return full.double().eval()


def run(network: Any, split: Split, masks: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Tensor:
    batch = collate(split, np.arange(len(split)), wanted, CPU)
    streams = {m: replace(stream, frames=stream.frames.double()) for m, stream in batch.streams.items()}
    batch = replace(batch, streams=streams)
    found = network.fuse(network.encode(batch), torch.from_numpy(masks))
    return torch.cat([found.representation, found.outputs], dim=1)


@pytest.mark.parametrize("attend_padding", [False, True])
def test_with_closed_gates_the_modules_are_not_there(attend_padding: bool) -> None:
    plain = make_network(attend_padding=attend_padding).double()
    full = cross_modal(plain)
    split = make_split(random_lengths(9, np.random.default_rng(0)))
    masks = draw_masks(split.has, np.random.default_rng(1))
    expected = run(plain, split, masks, split.has)
    assert not torch.allclose(run(full, split, masks, split.has), expected)
    with torch.no_grad():
        for gates in full.filters.values():
            gate = cast(nn.Linear, gates.gate)
            gate.weight.zero_()
            gate.bias.fill_(-1e4)
    torch.testing.assert_close(run(full, split, masks, split.has), expected, rtol=0, atol=1e-12)


def attend(attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor) -> Tensor:
    """Multi-head attention, one query and one head at a time."""
    assert attention.in_proj_weight is not None
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
    size = attention.head_dim
    rows = []
    for query in queries:
        heads = []
        for h in range(attention.num_heads):
            part = slice(h * size, (h + 1) * size)
            q = (w_q @ query + b_q)[part]
            scores = torch.stack([q @ (w_k @ key + b_k)[part] for key in keys]) / math.sqrt(size)
            values = torch.stack([(w_v @ key + b_v)[part] for key in keys])
            heads.append(scores.softmax(0) @ values)
        rows.append(attention.out_proj(torch.cat(heads)))
    return torch.stack(rows)


def alone(network: CrossModalNetwork, split: Split, row: int, mask: NDArray[np.bool_], pad: bool) -> Tensor:
    """One sample without any padding or mask, from the definition."""
    seen = []
    for m, modality in enumerate(MODALITIES):
        start, length = split.starts[modality][row], split.lengths[modality][row] * mask[m]
        frames = torch.from_numpy(split.features[modality][start : start + length]).double()
        short = LONGEST - length if pad else int(length == 0)
        frames = torch.cat([frames, torch.zeros(short, WIDTHS[modality], dtype=torch.float64)])
        seen.append(network.convolutions[modality](frames.T[None])[0].T)
    tokens = []
    for m, modality in enumerate(MODALITIES):
        own, others = seen[m], [seen[n] for n in range(3) if n != m]
        mcim, dfim = cast(Any, network.interactions[modality]), cast(Any, network.filters[modality])
        z = own + attend(mcim.coarse, own, torch.cat(others))
        z = z + attend(mcim.fine[0], own, others[0]) + attend(mcim.fine[1], own, others[1])
        z = mcim.norm(z)
        z = z + mcim.feed[2](mcim.feed[0](z).clamp_min(0))
        enhanced = z + attend(dfim.attention, z, z)
        gate = 1 / (1 + torch.exp(-dfim.gate(torch.cat([enhanced, own], dim=1))))
        tokens.append(network.perceivers[modality](lay((gate * enhanced + (1 - gate) * own)[None]), None))
    representation = network.fusion(torch.stack(tokens, dim=1))
    return torch.cat([representation, network.classifier(representation)], dim=1)[0]


@pytest.mark.parametrize("attend_padding", [False, True])
@settings(max_examples=6)
@given(lengths=ragged_lengths(4), seed=st.integers(0, 99))
def test_the_modules_equal_loops_over_each_sample_alone(
    lengths: NDArray[np.int64], seed: int, attend_padding: bool
) -> None:
    network = cross_modal(make_network(seed, attend_padding=attend_padding).double())
    split = make_split(lengths, seed)
    masks = draw_masks(split.has, np.random.default_rng(seed))
    with torch.no_grad():
        for wanted in (masks, split.has):
            found = run(network, split, masks, wanted)
            for row in range(len(split)):
                expected = alone(network, split, row, masks[row], attend_padding)
                torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-9)


def test_masked_modalities_are_not_looked_at() -> None:
    network = cross_modal(make_network().double())
    split = make_split(np.full((7, 3), 4))
    other = make_split(np.full((7, 3), 4), seed=1)
    # The streams that each sample does not see are another's.
    for m, modality in enumerate(MODALITIES):
        for row in np.flatnonzero(MASKS[:, m]):
            chosen = slice(split.starts[modality][row], split.starts[modality][row] + 4)
            from_other = slice(other.starts[modality][row], other.starts[modality][row] + 4)
            other.features[modality][from_other] = split.features[modality][chosen]
    found = run(network, split, MASKS, split.has)
    torch.testing.assert_close(found, run(network, other, MASKS, other.has), rtol=0, atol=1e-12)
