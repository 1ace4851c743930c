"""Encoding part by part: the whole batch's losses and gradients, every system."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cmad.combinations import COMBINATIONS, SAMPLERS, combination_index
from cmad.methods.cmad import Cmad
from cmad.methods.method import Method, Step, TeacherRows
from cmad.network import parts
from cmad.network.network import Network
from cmad.network.parts import in_parts
from cmad.network.predictions import predict_combinations
from cmad.store.batches import collate
from cmad.task import Task
from tests.generators.splits import (
    CPU,
    STUDENT,
    draw_masks,
    make_network,
    make_split,
    random_lengths,
)
from tests.generators.tokens import TokenWorld, without_dropout

SAMPLES = 20


def cafd_step(dtype: torch.dtype) -> Step:
    """A batch with incomplete samples, and a teacher's say on the complete ones."""
    rng = np.random.default_rng(2)
    split = make_split(random_lengths(SAMPLES, rng), 2)
    masks, complete = draw_masks(split.has, rng), split.complete
    batch = collate(split, np.arange(SAMPLES), masks, CPU)
    streams = {m: replace(stream, frames=stream.frames.to(dtype)) for m, stream in batch.streams.items()}
    count = int(complete.sum())
    given = torch.Generator().manual_seed(0)
    return Step(
        batch=replace(batch, streams=streams, labels=batch.labels.to(dtype)),
        masks=torch.from_numpy(masks),
        combinations=torch.from_numpy(combination_index(masks)),
        complete=torch.from_numpy(complete),
        teacher=TeacherRows(
            torch.rand(count, 8, generator=given).to(dtype),
            torch.rand(count, 1, generator=given).to(dtype),
            torch.rand(count, generator=given).to(dtype),
        ),
    )


def learn(method: Method, step: Step, seed: int = 0) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Terms of the loss and gradients of one step, with the dropout of a seed."""
    assert method.trained is not None
    method.trained.zero_grad(set_to_none=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        terms = method.losses(step)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    found = {name: w.grad.clone() for name, w in method.trained.named_parameters() if w.grad is not None}
    return {name: float(term.detach()) for name, term in terms.items()}, found


def assert_alike(one: Any, other: Any, tolerance: float) -> None:
    assert one[0] == pytest.approx(other[0], rel=tolerance, abs=tolerance)
    assert set(one[1]) == set(other[1])
    for name, gradient in one[1].items():
        scale = max(1.0, float(other[1][name].abs().max()))
        assert float((gradient - other[1][name]).abs().max()) <= tolerance * scale, name


@pytest.mark.parametrize("attend_padding", [False, True])
@pytest.mark.parametrize("micro_batch", [1, 3, 7, SAMPLES])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
def test_cmads_gradient_is_that_of_the_whole_batch_with_dropout_on(
    dtype: torch.dtype, tolerance: float, micro_batch: int, attend_padding: bool
) -> None:
    step = cafd_step(dtype)
    network = make_network(4, spread=0.15, attend_padding=attend_padding).to(dtype).train()

    def method() -> Cmad:
        # A fresh one: its banks fill with every step.
        settings = replace(STUDENT, warmup=5)
        return Cmad(network, settings, Task("regression"), SAMPLERS["authors"])

    whole = learn(method(), step)
    assert set(whole[0]) == {"task", "cafd", "auxiliary"}
    # Dropout stands behind the encoding alone, so it is drawn alike.
    assert learn(method(), step, seed=1)[0] != whole[0]
    network.micro_batch = micro_batch
    assert_alike(learn(method(), step), whole, tolerance)


SYSTEMS = ["dropout", "cmad", "mmanet", "mplmm", "umdf", "umdf_full", "corrkd"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    return TokenWorld(tmp_path_factory.mktemp("tokens"))


def token_step(world: TokenWorld, method: Method) -> Step:
    split = world.store.splits["train"]
    rows = np.arange(SAMPLES)
    masks = draw_masks(split.has[rows], np.random.default_rng(3))
    wanted = method.wanted(split.has[rows], masks)
    complete = torch.from_numpy(split.complete[rows])
    return Step(
        batch=collate(split, rows, wanted, CPU),
        masks=torch.from_numpy(masks),
        combinations=torch.from_numpy(combination_index(masks)),
        complete=complete,
        teacher=world.cache.at(torch.from_numpy(rows)[complete]),
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_learns_the_same_from_tokens_in_parts(world: TokenWorld, name: str) -> None:
    """With dropout at 0: that inside the encoder is drawn part by part."""
    results = []
    for micro_batch in (None, 3):
        method = world.method(name, micro_batch=micro_batch)
        assert method.trained is not None
        without_dropout(method.trained)
        method.trained.train()
        method.begin_epoch(0)
        results.append(learn(method, token_step(world, method)))
    assert_alike(results[1], results[0], 1e-5)


def test_what_is_computed_again_has_the_same_dropout(
    world: TokenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts with their activations kept give the same bits as parts computed again."""
    found = []
    for keep in (False, True):
        method = world.method("dropout", micro_batch=3)
        assert method.trained is not None
        method.trained.train()
        if keep:
            monkeypatch.setattr(parts, "checkpoint", lambda function, *given, **_: function(*given))
        found.append(learn(method, token_step(world, method)))
    assert found[0][0] == found[1][0]
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-6, atol=1e-7)


def test_no_more_than_a_micro_batch_is_encoded_at_once(world: TokenWorld) -> None:
    method = world.method("dropout", micro_batch=3)
    network = method.network
    assert isinstance(network.encoder, nn.Module)
    sizes = []
    hooks = [network.encoder, *network.convolutions.values()]
    for module in hooks:
        module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    learn(method, token_step(world, method))
    predict_combinations(network, world.store.splits["dev"], 24, CPU)
    assert max(sizes) == 3


def test_activations_are_not_held() -> None:
    """What a graph saves of a function of rows does not grow with the rows."""

    def saved(size: int | None, rows: int) -> int:
        layers = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))
        numbers = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        inputs = torch.randn(rows, 16)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            in_parts(layers, size, inputs)
        return numbers

    assert saved(None, 800) > 4 * saved(None, 100)
    assert saved(10, 800) < saved(None, 100) + 800 * 16


def test_a_training_in_parts_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    world = TokenWorld(tmp_path)
    logs = [
        world.train("cmad", epochs=2, warmup=1, dropout_off=True, micro_batch=size)[1].log
        for size in (None, 5)
    ]
    for whole, cut in zip(*logs, strict=True):
        assert cut == pytest.approx(whole, rel=1e-3, abs=1e-4)
    assert f"dev_f1_{COMBINATIONS[0]}" in logs[0][0]


def test_nothing_changes_where_a_batch_is_no_larger_than_a_part() -> None:
    network: Network = make_network(1)
    split = make_split(random_lengths(6, np.random.default_rng(0)))
    batch = collate(split, np.arange(6), split.has, CPU)
    whole = network.encode(batch).tokens
    network.micro_batch = 6
    for ours, theirs in zip(network.encode(batch).tokens, whole, strict=True):
        assert torch.equal(ours, theirs)
