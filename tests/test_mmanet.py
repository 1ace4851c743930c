import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmad.combinations import COMBINATIONS, FULL, MASKS, SAMPLERS
from cmad.errors import UserError
from cmad.losses.mar import PAIRS
from cmad.losses.task import task_loss
from cmad.methods.method import Context
from cmad.methods.mmanet import (
    Head,
    Mmanet,
    create,
    divergence,
    gram_rows,
    histograms,
    margin_aware_distillation,
    margin_weights,
    weak_loss,
    weakest,
)
from cmad.network.predictions import predict_combinations
from cmad.task import Task
from tests.generators.splits import (
    CPU,
    LENGTHS,
    STUDENT,
    WIDTHS,
    make_network,
    make_split,
    random_lengths,
)
from tests.generators.steps import make_step
from tests.test_training import World, same, without

REGRESSION = Task("regression")
TWO = Task("classes", ("no", "yes"))
THREE = Task("classes", ("negative", "neutral", "positive"))
BINARY = Task("binary", ("happy", "sad", "angry"))
TASKS = [REGRESSION, TWO, THREE, BINARY]

OPTIONS: Mapping[str, Any] = {"mad": 30.0, "mar": 0.5, "begin": 5}
LA, LV, AV = PAIRS


def rows(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# The numbers of the spec.


STUDENT_Z, TEACHER_Z = rows([1, 0], [1, 1]), rows([1, 0], [0, 1])


@pytest.mark.parametrize(("task", "outputs"), [(TWO, rows([0, 0], [2, 0])), (REGRESSION, rows([0], [2]))])
def test_margin_aware_distillation_of_the_spec(task: Task, outputs: Tensor) -> None:
    weights = margin_weights(task, outputs)
    assert weights.tolist() == pytest.approx([0.65485083, 0.34514917], abs=1e-8)
    loss = margin_aware_distillation(STUDENT_Z, TEACHER_Z, weights)
    assert loss.item() == pytest.approx(0.45647947, abs=1e-8)
    # What the released classification code returns: the same squares, weighed by columns.
    squares = (gram_rows(STUDENT_Z) - gram_rows(TEACHER_Z)).square()
    assert (weights * squares).sum().item() == pytest.approx(0.36356897, abs=1e-8)


def test_divergence_of_the_spec() -> None:
    weak, full = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    assert divergence(weak, full) == pytest.approx(0.36806421, abs=1e-8)
    released = divergence(*(np.exp(h) / np.exp(h).sum() for h in (weak, full)))
    assert released == pytest.approx(0.0740261, abs=1e-7)


def test_weak_loss_of_the_spec() -> None:
    drawn = torch.tensor([COMBINATIONS.index(c) for c in ("LA", "L", "LA", "V")])
    losses = rows(0.1, 0.2, 0.3, 0.4)
    only = torch.arange(7) == LA
    assert weak_loss(losses, drawn, only).item() == pytest.approx(0.1)
    # What the released code makes of it: [B, 1, 1, 1] times [B], over B.
    released = ((drawn == LA)[:, None, None, None] * losses).sum() / 4
    assert released.item() == pytest.approx(0.5)


# Against a second implementation, in loops over plain numbers.


def slow_entropy(task: Task, outputs: list[float]) -> float:
    if task.kind == "regression":
        outputs = [*outputs, 0.0]
    size = 2 if task.kind == "regression" else task.classes
    total = 0.0
    for start in range(0, len(outputs), size):
        powers = [math.exp(z) for z in outputs[start : start + size]]
        total -= sum(p / sum(powers) * math.log(p / sum(powers)) for p in powers)
    return total


def slow_gram(z: list[list[float]]) -> list[list[float]]:
    gram = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in z] for x in z]
    lengths = [math.sqrt(sum(g * g for g in row)) for row in gram]
    return [[g / n if n > 0 else 0.0 for g in row] for row, n in zip(gram, lengths, strict=True)]


@settings(max_examples=40)
@given(st.sampled_from(TASKS), st.integers(1, 5), st.integers(0, 999))
def test_margin_aware_distillation_in_loops(task: Task, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(count, task.outputs, generator=generator, dtype=torch.float64)
    student, teacher = torch.randn(2, count, 3, generator=generator, dtype=torch.float64).relu()
    entropies = [slow_entropy(task, row) for row in outputs.tolist()]
    s, t = slow_gram(student.tolist()), slow_gram(teacher.tolist())
    expected = sum(
        entropies[i] / sum(entropies) * sum((s[i][j] - t[i][j]) ** 2 for j in range(count))
        for i in range(count)
    )
    found = margin_aware_distillation(student, teacher, margin_weights(task, outputs))
    assert found.item() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40)
@given(st.sampled_from(TASKS), st.integers(1, 6), st.integers(0, 999))
def test_histograms_and_divergence_in_loops(task: Task, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, count, task.outputs)).astype(np.float32)
    size = 2 if task.kind == "regression" else task.classes
    expected = 0.0
    for label in range(task.records):
        shares = []
        for outputs in (first, second):
            counts = [0] * size
            for row in outputs:
                of_label = (
                    [0.0, *row] if task.kind == "regression" else row[label * size : (label + 1) * size]
                )
                counts[max(range(size), key=of_label.__getitem__)] += 1
            floored = [max(n / count, 1e-6) for n in counts]
            shares.append([share / sum(floored) for share in floored])
        expected += sum(p * math.log(p / q) for p, q in zip(*shares, strict=True))
    found = [histograms(task, outputs) for outputs in (first, second)]
    assert found[0].shape == (task.records, size)
    assert divergence(*found) == pytest.approx(expected, abs=1e-12)
    assert divergence(found[0], found[0]) == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 9)), min_size=1), st.sets(st.integers(0, 6)))
def test_weak_loss_in_loops_and_its_gradient(samples: list[tuple[int, float]], omega: set[int]) -> None:
    losses = rows(*(loss for _, loss in samples)).requires_grad_()
    drawn = torch.tensor([j for j, _ in samples])
    weak = torch.tensor([j in omega for j in range(7)])
    found = weak_loss(losses, drawn, weak)
    assert found.item() == pytest.approx(sum(x for j, x in samples if j in omega) / len(samples))
    (gradient,) = torch.autograd.grad(found, losses)
    assert gradient.tolist() == pytest.approx([(j in omega) / len(samples) for j, _ in samples])


def test_weakest_is_a_pair_with_its_singles() -> None:
    def names(*distances: float) -> set[str]:
        return {c for c, w in zip(COMBINATIONS, weakest(np.array(distances)), strict=True) if w}

    assert names(3, 1, 2) == {"LA", "L", "A"}
    assert names(1, 3, 2) == {"LV", "L", "V"}
    assert names(1, 2, 3) == {"AV", "A", "V"}
    assert names(0, 0, 0) == {"LA", "L", "A"}


@pytest.mark.parametrize("task", TASKS)
def test_a_teacher_without_doubt_and_empty_representations_are_finite(task: Task) -> None:
    outputs = torch.full((3, task.outputs), 200.0)
    outputs[:, ::2] = -200.0
    weights = margin_weights(task, outputs if task.kind != "regression" else -outputs)
    assert weights.tolist() == pytest.approx([1 / 3] * 3)
    student = torch.tensor([[0.0, 0.0], [1e-30, 0.0], [1.0, 2.0]]).requires_grad_()
    margin_aware_distillation(student, torch.rand(3, 2), weights).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.abs().max() < 10


# The system on small splits.


def make_context(task: Task = REGRESSION, seed: int = 0, epochs: int = 8, **options: Any) -> Context:
    lengths = random_lengths(12, np.random.default_rng(seed))
    network, dev = make_network(seed, task), make_split(lengths, seed + 2, task)
    # Decisions at the middle of what is said, so that they differ between combinations.
    said = predict_combinations(network, dev, 12, CPU).outputs
    with torch.no_grad():
        network.classifier.bias.sub_(torch.from_numpy(np.nanmedian(said, axis=(0, 1))))
    return Context(
        network=network,
        teacher=make_network(seed + 1, task),
        settings=replace(STUDENT, epochs=epochs),
        options={**OPTIONS, **options},
        task=task,
        widths=WIDTHS,
        lengths=LENGTHS,
        dev=dev,
        combination=None,
        device=CPU,
    )


def warmed(context: Context) -> Mmanet:
    """A system in its first epoch of the full loss."""
    method = create(context)
    for epoch in range(10):
        method.begin_epoch(epoch)
        if len(method.losses(make_step(context))) > 1:
            return method
        method.end_epoch()
    raise AssertionError


def omega(method: Mmanet) -> set[int]:
    logged = method.end_epoch()
    return {j for j, c in enumerate(COMBINATIONS) if logged[f"weak_{c}"]}


@pytest.mark.parametrize("task", TASKS)
def test_terms_are_those_of_the_pieces(task: Task) -> None:
    context = make_context(task)
    method, step = warmed(context), make_step(context)
    assert step.teacher is not None
    assert 0 < step.complete.sum() < len(step.complete)
    terms = method.losses(step)
    assert set(terms) == {"task", "mar", "mad"}
    output = method.network.fuse(method.network.encode(step.batch), step.masks)
    of_samples = task_loss(task, output.outputs, step.batch.labels).reshape(step.batch.size, -1).mean(1)
    torch.testing.assert_close(terms["task"], of_samples.mean())
    # The second head starts as a copy of the first, so at first it says the same.
    weak = sum(of_samples[i] for i, j in enumerate(step.combinations.tolist()) if j in omega(method))
    torch.testing.assert_close(terms["mar"], torch.as_tensor(0.5 * weak / step.batch.size))
    mad = margin_aware_distillation(
        output.representation[step.complete],
        step.teacher.representation,
        margin_weights(task, step.teacher.outputs),
    )
    torch.testing.assert_close(terms["mad"], 30 * mad)


@pytest.mark.parametrize("task", TASKS)
def test_the_auxiliary_term_touches_only_the_mined_combinations(task: Task) -> None:
    context = make_context(task)
    method, step = warmed(context), make_step(context, 20)
    mined = torch.tensor([j in omega(method) for j in step.combinations.tolist()])
    assert 0 < mined.sum() < len(mined)

    def term(changed: Tensor) -> float:
        labels = step.batch.labels.clone()
        labels[changed] = (1 - labels[changed]).abs() if task.kind != "regression" else labels[changed] + 1
        return method.losses(replace(step, batch=replace(step.batch, labels=labels)))["mar"].item()

    nothing = torch.zeros_like(mined)
    assert term(~mined) == term(nothing)
    assert term(mined) != term(nothing)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("complete", [0, 1, 2, 14])
def test_gradients_are_finite_however_few_samples_are_complete(task: Task, complete: int) -> None:
    context = make_context(task)
    method, step = warmed(context), make_step(context, complete=complete)
    terms = method.losses(step)
    assert ("mad" in terms) == (complete > 0)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    gradients = {n: w.grad for n, w in method.trained.named_parameters() if w.grad is not None}
    assert all(g.isfinite().all() for g in gradients.values())
    assert any(n.startswith("head.fusion") and g.abs().max() > 0 for n, g in gradients.items())
    assert all(w.grad is None for w in context.teacher.parameters())


def test_the_head_sees_what_the_network_sees_and_shares_no_weight_with_it() -> None:
    context = make_context(THREE)
    head, step = Head(context.network), make_step(context)
    encoded = context.network.encode(step.batch)
    torch.testing.assert_close(head(encoded, step.masks), context.network.fuse(encoded, step.masks).outputs)
    shared = {id(w) for w in head.parameters()} & {id(w) for w in context.network.parameters()}
    assert not shared
    method = create(context)
    head_weights = sum(w.numel() for w in Head(context.network).parameters())
    own = sum(w.numel() for w in method.network.parameters())
    assert sum(w.numel() for w in method.trained.parameters()) == own + head_weights
    assert not any("head" in name for name in method.network.state_dict())


@pytest.mark.parametrize(
    ("begin", "epochs", "first", "mined"),
    [
        (5, 20, 6, [2, 3, 4]),
        (5, 6, 5, [2, 3]),
        (3, 20, 4, [2]),
        (2, 20, 3, [2]),
        (0, 20, 1, [0]),
        (5, 3, 2, [1]),
        (5, 2, 1, [0]),
        (5, 1, None, [0]),
    ],
)
def test_when_it_mines_and_begins(begin: int, epochs: int, first: int | None, mined: list[int]) -> None:
    context = make_context(epochs=epochs, begin=begin)
    method, step = create(context), make_step(context)
    before, found, full = [0.0] * 3, [], []
    for epoch in range(epochs):
        method.begin_epoch(epoch)
        if len(method.losses(step)) > 1:
            full.append(epoch)
        logged = method.end_epoch()
        distances = [logged[f"distance_{COMBINATIONS[j]}"] for j in PAIRS]
        if distances != before:
            found.append(epoch)
        before = distances
    assert full == ([] if first is None else list(range(first, epochs)))
    assert found == mined


@pytest.mark.parametrize("task", TASKS)
def test_distances_are_of_complete_dev_samples_and_add_up(task: Task) -> None:
    context = make_context(task, seed=3)
    method, dev = create(context), context.dev
    assert 0 < dev.complete.sum() < len(dev)
    outputs = predict_combinations(context.network, dev, 4, CPU).outputs
    full = histograms(task, outputs[FULL, dev.complete])
    expected = {j: divergence(histograms(task, outputs[j, dev.complete]), full) for j in PAIRS}
    for epoch in range(4):
        method.begin_epoch(epoch)
        logged = method.end_epoch()
    assert max(expected.values()) > 0
    for j in PAIRS:
        assert logged[f"distance_{COMBINATIONS[j]}"] == pytest.approx(2 * expected[j])


def test_dev_labels_are_not_looked_at() -> None:
    context = make_context(THREE)
    blind = replace(context, dev=replace(context.dev, labels=np.full_like(context.dev.labels, 99)))
    logs = []
    for each in (context, blind):
        method = create(each)
        method.begin_epoch(3)
        logs.append(method.end_epoch())
    assert logs[0] == logs[1]


@pytest.mark.parametrize("gone", ["mad", "mar"])
def test_a_factor_of_zero_takes_its_term_out(gone: str) -> None:
    context = replace(make_context(), options={**OPTIONS, gone: 0.0})
    assert set(warmed(context).losses(make_step(context))) == {"task", "mad", "mar"} - {gone}


def test_the_sampler_and_what_a_step_holds_are_those_of_the_settings() -> None:
    context = make_context()
    method = create(context)
    np.testing.assert_array_equal(method.sampler, SAMPLERS["authors"])
    masks = MASKS[[0, 4]]
    np.testing.assert_array_equal(method.wanted(np.ones((2, 3), bool), masks), masks)


def test_customised_has_nothing_to_mine() -> None:
    with pytest.raises(UserError) as caught:
        create(replace(make_context(), combination=LV))
    assert str(caught.value) == "mmanet mines weak combinations among all seven; put it under unified"


def test_dev_without_complete_samples_cannot_be_mined() -> None:
    context = make_context()
    with pytest.raises(UserError, match="there are none; give such samples, or take mmanet out") as caught:
        create(replace(context, dev=without(context.dev, 1)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mar": -1.0}, "mar = -1"), ({"begin": 1.5}, "begin = 1.5"), ({"made": 1.0}, "made")],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create(replace(make_context(), options={**OPTIONS, **options}))


# Whole trainings.


@pytest.fixture(scope="module", params=["demo", "demo_classes", "demo_binary4"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), request.param)


def test_trains_with_the_same_bits_from_the_same_seed(world: World) -> None:
    first = world.train("mmanet", epochs=3)
    torch.rand(7)
    assert same(first, world.train("mmanet", epochs=3))
    assert not same(first, world.train("mmanet", epochs=3, seed=1))
    assert {"loss_mad", "loss_mar"} <= set(first.log[2])
    assert not {"loss_mad", "loss_mar"} & set(first.log[1])
    assert set(first.state) == set(world.teacher.state_dict())


def test_until_it_begins_it_is_dropout(tmp_path: Path) -> None:
    world = World(tmp_path, "demo")
    plain, mmanet = world.train("dropout", epochs=4), world.train("mmanet", epochs=4)
    losses = [[row["loss_task"] for row in fitted.log] for fitted in (plain, mmanet)]
    assert losses[0][:3] == losses[1][:3]
    assert losses[0][3] != losses[1][3]
