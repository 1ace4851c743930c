import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cmad.combinations import COMBINATIONS, FULL, SAMPLERS, contained
from cmad.errors import UserError
from cmad.losses.task import task_loss
from cmad.methods.corrkd import (
    Critic,
    class_members,
    create,
    information,
    prototype_consistency,
    prototype_similarities,
    responses,
    sample_contrast,
)
from cmad.methods.method import Context
from cmad.task import Task
from cmad.training.teacher_cache import teacher_cache
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
AV = COMBINATIONS.index("AV")


def rows(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# The numbers of the spec.


def test_sample_contrast_of_the_spec() -> None:
    student, teacher = rows([1, 0], [0, 1]), rows([1, 1], [0, 0])
    loss, active = sample_contrast(student, teacher, 1.5)
    assert loss.item() == pytest.approx(1.25)
    assert 2 * loss.item() == pytest.approx(2.5)  # the paper's sum over the two pairs
    assert active == 2


def test_prototype_consistency_of_the_spec() -> None:
    student, teacher = rows([1, 0], [1, 1], [0, 2]), rows([1, 0], [1, 0], [0, 1])
    members = class_members(TWO, torch.tensor([0, 0, 1]))
    of_student = prototype_similarities(student, members)
    of_teacher = prototype_similarities(teacher, members)
    expected = rows([0.89442719, 0], [0.9486833, 0.70710678], [0.4472136, 1])
    torch.testing.assert_close(of_student, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(of_teacher, rows([1, 0], [1, 0], [0, 1]))
    assert prototype_consistency(student, teacher, members).item() == pytest.approx(0.21853498, abs=1e-8)
    # The alternative reading.
    assert (of_student - of_teacher).square().mean().item() == pytest.approx(0.11896317, abs=1e-8)


def test_information_of_the_spec() -> None:
    def product(a: Tensor, b: Tensor) -> Tensor:
        return (4 * a * b - 1).squeeze(-1)

    student, teacher = rows(0.9, 0.2, 0.6).reshape(3, 1, 1), rows(0.8, 0.1, 0.7).reshape(3, 1, 1)
    assert information(product, student, teacher).item() == pytest.approx(-1.47934028, abs=1e-8)
    silent = information(lambda a, b: 0 * product(a, b), student, teacher)
    assert silent.item() == pytest.approx(-1.38629436, abs=1e-8)


def test_information_nears_its_limit_0_when_pairs_are_told_apart() -> None:
    values = rows(0, 1).reshape(2, 1, 1)
    found = information(lambda a, b: 100 * (1 - 2 * (a - b).abs()).squeeze(-1), values, values)
    assert found.item() == pytest.approx(0, abs=1e-12)


# Against a second implementation, in loops over plain numbers.


def draw(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def slow_cosine(a: list[float], b: list[float]) -> float:
    length_a, length_b = math.hypot(*a), math.hypot(*b)
    if length_a == 0 or length_b == 0:
        return 0.0
    return sum(x * y for x, y in zip(a, b, strict=True)) / length_a / length_b


@settings(max_examples=40)
@given(st.integers(1, 6), st.floats(0, 4), st.integers(0, 999))
def test_sample_contrast_in_loops(count: int, margin: float, seed: int) -> None:
    student, teacher = draw(seed, 2, count, 3)
    s, t = student.tolist(), teacher.tolist()
    total, active = 0.0, 0
    for i in range(count):
        for j in range(count):
            if i != j:
                short = max(0.0, margin - math.dist(s[i], t[j]))
                total += math.dist(s[i], t[i]) ** 2 + short**2
                active += short > 0
    expected = total / (count * (count - 1)) if count > 1 else math.dist(s[0], t[0]) ** 2
    loss, found = sample_contrast(student, teacher, margin)
    assert loss.item() == pytest.approx(expected)
    assert found == active


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Task, list[Any]]:
    """A task and the labels of some samples, a negative 0.0 among them at times."""
    task = draw(st.sampled_from(TASKS))
    one: st.SearchStrategy[Any] = {
        "regression": st.sampled_from([-2.0, -0.5, -0.0, 0.0, 0.5, 3.0]),
        "classes": st.integers(0, task.classes - 1),
        "binary": st.lists(st.integers(0, 1), min_size=3, max_size=3),
    }[task.kind]
    return task, draw(st.lists(one, min_size=1, max_size=6))


def slow_classes(task: Task, labels: list[Any]) -> list[list[int]]:
    """By class, the samples that belong to it."""
    n = range(len(labels))
    if task.kind == "regression":
        bins = [
            [i for i in n if labels[i] < 0],
            [i for i in n if labels[i] == 0],
            [i for i in n if labels[i] > 0],
        ]
        return bins
    if task.kind == "classes":
        return [[i for i in n if labels[i] == k] for k in range(task.classes)]
    return [[i for i in n if labels[i][k]] for k in range(task.records)]


@settings(max_examples=60)
@given(labelled(), st.integers(0, 999))
def test_prototype_consistency_in_loops(given_labels: tuple[Task, list[Any]], seed: int) -> None:
    task, labels = given_labels
    student, teacher = draw(seed, 2, len(labels), 3).relu()
    gaps = []
    for belong in slow_classes(task, labels):
        if not belong:
            continue
        matrices = []
        for features in (student.tolist(), teacher.tolist()):
            prototype = [sum(features[i][d] for i in belong) / len(belong) for d in range(3)]
            matrices.append([slow_cosine(row, prototype) for row in features])
        gaps += [abs(a - b) for a, b in zip(*matrices, strict=True)]
    found = prototype_consistency(student, teacher, class_members(task, torch.tensor(labels)))
    assert found.item() == pytest.approx(sum(gaps) / len(gaps) if gaps else 0.0)


def test_one_positive_label_a_sample_is_the_index_of_the_positive_one() -> None:
    index = torch.tensor([2, 0, 1, 2, 2])
    as_classes = class_members(THREE, index)
    assert torch.equal(class_members(BINARY, functional.one_hot(index, 3)), as_classes)


@settings(max_examples=60)
@given(labelled(), st.integers(0, 999))
def test_responses_and_information_in_loops(given_labels: tuple[Task, list[Any]], seed: int) -> None:
    task, labels = given_labels
    count = len(labels)
    outputs = 2 * draw(seed, count, task.outputs)
    target, others = responses(task, outputs, torch.tensor(labels))
    for i in range(count):
        for label in range(task.records):
            if task.kind == "regression":
                logits, true = [0.0, outputs[i, 0].item()], int(labels[i] > 0)
            else:
                start = label * task.classes
                logits = outputs[i, start : start + task.classes].tolist()
                true = labels[i][label] if task.kind == "binary" else labels[i]
            p = [math.exp(z) / sum(math.exp(x) for x in logits) for z in logits]
            assert target[i, label].tolist() == pytest.approx([p[true]])
            assert others[i, label].tolist() == pytest.approx(p[:true] + p[true + 1 :])
    if count == 1:
        return
    critic = Critic(others.shape[-1]).double()
    teacher = draw(seed + 1, *others.shape)
    for label, found in enumerate(information(critic, others, teacher)):

        def say(a: Tensor, b: Tensor) -> float:
            return critic.layers(torch.cat([a, b])).item()

        expected = 0.0
        for i in range(count):
            joint = say(others[i, label], teacher[i, label])
            apart = say(others[i, label], teacher[i - 1, label])
            expected -= (math.log1p(math.exp(-joint)) + math.log1p(math.exp(apart))) / count
        assert found.item() == pytest.approx(expected)


def test_sample_contrast_has_a_gradient_where_representations_meet() -> None:
    student = torch.zeros(3, 4, requires_grad=True)
    loss, active = sample_contrast(student, torch.zeros(3, 4), 1.0)
    assert loss.item() == pytest.approx(1.0)
    assert active == 6
    loss.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_sample_contrast_keeps_its_digits_far_from_the_origin() -> None:
    near = draw(0, 4, 3)
    expected, _ = sample_contrast(near, near.flip(0), 1.5)
    far = (near + 1000).float()
    found, _ = sample_contrast(far, far.flip(0), 1.5)
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)


# The system on small splits.


def make_context(
    task: Task = REGRESSION, seed: int = 0, margin: float = 1.0, combination: int | None = None
) -> Context:
    lengths = random_lengths(12, np.random.default_rng(seed))
    return Context(
        network=make_network(seed, task),
        teacher=make_network(seed + 1, task),
        settings=STUDENT,
        options={"margin": margin},
        task=task,
        widths=WIDTHS,
        lengths=LENGTHS,
        dev=make_split(lengths, seed + 2, task),
        combination=combination,
        device=CPU,
    )


@pytest.mark.parametrize("task", TASKS)
def test_terms_are_those_of_the_pieces_without_weights(task: Task) -> None:
    context = make_context(task)
    method, step = create(context), make_step(context)
    assert step.teacher is not None
    assert 1 < step.complete.sum() < len(step.complete)
    terms = method.losses(step)
    output = method.network.fuse(method.network.encode(step.batch), step.masks)
    student, teacher = output.representation[step.complete], step.teacher.representation
    labels = step.batch.labels[step.complete]
    ours = responses(task, output.outputs[step.complete], labels)
    theirs = responses(task, step.teacher.outputs, labels)
    critics = method.trained["critics"]
    assert isinstance(critics, torch.nn.ModuleList)
    expected = {
        "task": task_loss(task, output.outputs, step.batch.labels).mean(),
        "scd": sample_contrast(student, teacher, 1.0)[0],
        "cpd": prototype_consistency(student, teacher, class_members(task, labels)),
        "rcd": -sum(information(*part).sum() for part in zip(critics, ours, theirs, strict=True)),
    }
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("complete", [0, 1, 2, 14])
def test_gradients_are_finite_however_few_samples_are_complete(task: Task, complete: int) -> None:
    context = make_context(task)
    method, step = create(context), make_step(context, complete=complete)
    terms = method.losses(step)
    there = {0: {"task"}, 1: {"task", "scd", "cpd"}}.get(complete, {"task", "scd", "cpd", "rcd"})
    assert set(terms) == there
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    gradients = {n: w.grad for n, w in method.trained.named_parameters() if w.grad is not None}
    assert all(g.isfinite().all() for g in gradients.values())
    assert any(n.startswith("critics") for n in gradients) == ("rcd" in there)
    assert all(w.grad is None for w in context.teacher.parameters())


@pytest.mark.parametrize("task", TASKS)
def test_critics_learn_to_tell_pairs_from_rolled_ones(task: Task) -> None:
    context = make_context(task)
    method, step = create(context), make_step(context, 16, complete=16)
    critics = method.trained["critics"]
    optimiser = torch.optim.Adam(critics.parameters(), 0.01)
    bounds = []
    for _ in range(30):
        bound = method.losses(step)["rcd"]
        optimiser.zero_grad()
        bound.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        bounds.append(bound.item())
    # Two parts of each record, each 2 ln 2 where a critic says nothing.
    assert min(bounds) >= 0
    assert bounds[-1] < min(bounds[0], 2 * task.records * 2 * math.log(2))


def test_the_active_share_of_the_margin_is_logged_per_epoch() -> None:
    for margin, share in [(0.0, 0.0), (1e6, 1.0)]:
        context = make_context(margin=margin)
        method = create(context)
        method.begin_epoch(0)
        method.losses(make_step(context))
        assert method.end_epoch() == {"scd_active": share}
    context = make_context(margin=3.5)
    method = create(context)
    shares, counts = [], []
    for seed in (1, 2):
        step = make_step(context, seed=seed)
        method.begin_epoch(seed)
        method.losses(step)
        shares.append(method.end_epoch()["scd_active"])
        counts.append(int(step.complete.sum()))
    method.begin_epoch(3)
    for seed in (1, 2):
        method.losses(make_step(context, seed=seed))
    pairs = [n * (n - 1) for n in counts]
    assert 0 < shares[0] != shares[1]
    assert method.end_epoch()["scd_active"] == pytest.approx(np.average(shares, weights=pairs))


def test_an_epoch_without_pairs_has_no_active_one() -> None:
    context = make_context()
    method = create(context)
    method.begin_epoch(0)
    method.losses(make_step(context, complete=0))
    assert method.end_epoch() == {"scd_active": 0.0}


def test_unified_draws_all_and_customised_one_combination() -> None:
    np.testing.assert_array_equal(create(make_context()).sampler, SAMPLERS["authors"])
    np.testing.assert_array_equal(create(make_context(combination=AV)).sampler, np.arange(7) == AV)


def test_what_is_kept_is_the_network_alone() -> None:
    context = make_context()
    method = create(context)
    assert method.network is context.network
    assert not any("critics" in name for name in method.network.state_dict())
    trained = {id(w) for w in method.trained.parameters()}
    assert {id(w) for w in context.network.parameters()} < trained
    assert not {id(w) for w in context.teacher.parameters()} & trained


@pytest.mark.parametrize(
    ("options", "message"),
    [({"margin": -1.0}, "margin = -1"), ({}, "margin: missing"), ({"eta": 1.0}, "eta")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create(replace(make_context(), options=options))


# Whole trainings.


@pytest.fixture(scope="module", params=["demo", "demo_classes", "demo_binary4"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), request.param)


@pytest.mark.parametrize("combination", [None, AV, FULL])
def test_trains_with_the_same_bits_from_the_same_seed(world: World, combination: int | None) -> None:
    first = world.train("corrkd", combination=combination)
    torch.rand(7)
    assert same(first, world.train("corrkd", combination=combination))
    assert not same(first, world.train("corrkd", combination=combination, seed=1))
    assert {"loss_task", "loss_scd", "loss_cpd", "loss_rcd", "scd_active"} <= set(first.log[1])
    assert set(first.state) == set(world.teacher.state_dict())


def test_without_complete_samples_it_is_dropout(world: World) -> None:
    train = without(world.store.splits["train"], 2)
    store = replace(world.store, splits={**world.store.splits, "train": train})
    cache = teacher_cache(world.teacher, train, store.task, 16, CPU)
    assert contained(train.has).any()
    alone, plain = (
        world.fit(name, store, world.preset.student, cache=cache) for name in ("corrkd", "dropout")
    )
    assert all(torch.equal(alone.state[k], plain.state[k]) for k in plain.state)
