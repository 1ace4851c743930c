"""What makes the network fast: groups of like length, one product for a Conv1d, gradients by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cmad.network.attention import Cross, Within, each_head, each_head_back
from cmad.network.blocks import Step, added, applied
from cmad.network.convolution import convolve
from cmad.network.dropout import ReluDropout, mask
from cmad.network.feed_forward import Averaged, Gated, Widened
from cmad.network.laid import Laid, lay, pick_spread
from cmad.network.lengths import by_length
from cmad.network.perceiver import Perceiver


def drawn(*shape: int, seed: int = 0) -> Tensor:
    given = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=given).requires_grad_()


def prefixes(lengths: list[int], longest: int) -> Tensor:
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


lengths_of_rows = st.lists(st.integers(0, 9), max_size=12)


@given(lengths=lengths_of_rows, padding=st.integers(0, 20))
def test_groups_hold_each_row_once_and_no_more_padding_than_allowed(lengths: list[int], padding: int) -> None:
    valid = prefixes(lengths, 9)
    grouped = by_length(valid, padding)
    assert sorted(grouped.order.tolist()) == list(range(len(lengths)))
    assert sum(count for count, _ in grouped.groups) == len(lengths)
    for part, (count, longest) in zip(grouped.cut(grouped.sort(valid)), grouped.groups, strict=True):
        assert part.shape == (count, longest)
        own = part.sum(1).clamp(min=1)
        assert own.max() == longest
        assert (longest - own).sum() <= padding
    numbers = torch.arange(len(lengths))
    assert torch.equal(grouped.restore(grouped.sort(numbers)), numbers)


def test_neighbouring_groups_could_not_be_one() -> None:
    grouped = by_length(prefixes([9, 9, 7, 3, 3, 2, 1], 9), 4)
    assert grouped.groups == ((3, 9), (4, 3))


def test_a_row_is_as_long_as_its_last_valid_frame() -> None:
    valid = torch.tensor([[False, True, False, True, False], [True, False, False, False, False]])
    assert by_length(valid, 0).groups == ((1, 4), (1, 1))


def assert_same_function(ours: Any, plain: Any, given: tuple[Tensor, ...]) -> None:
    """Outputs and the gradients of their product with fixed numbers, which differ by rounding alone."""
    outputs = ours(*given), plain(*given)
    pull = drawn(*outputs[0].shape, seed=99).detach()
    assert torch.allclose(*outputs, atol=1e-12)
    for one, other in zip(*(torch.autograd.grad((f * pull).sum(), given) for f in outputs), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 5])
def test_attention_to_frames_is_the_stock_one_and_so_is_its_gradient(rows: int) -> None:
    heads, each, width = 3, 2, 4
    weights = drawn(6, 4, seed=1), drawn(12, 4, seed=2), drawn(4, seed=3), drawn(4, seed=4)
    given = (drawn(rows, 2, 4), *weights, drawn(4, 6, seed=5), drawn(4, seed=6))
    frames = drawn(2, 6, width, seed=7), drawn(3, 2, width, seed=8)
    seen = prefixes([6, 4], 6), prefixes([2, 2, 2], 2)
    bias = torch.zeros(2, 6, 1, dtype=torch.float64).masked_fill(~seen[0][..., None], -torch.inf)

    def ours(latents: Tensor, *weights: Tensor) -> Tensor:
        return applied(Cross(heads, each, [bias, None]), latents, *weights)

    def plain(latents: Tensor, *weights: Tensor) -> Tensor:
        asking, key_value, gain, shift, out, last, *frames = weights
        found = []
        queries = [q for part in torch.split(latents.expand(5, -1, -1), [2, 3]) for q in part]
        keys = [
            row[own]
            for part, known in zip(frames, seen, strict=True)
            for row, own in zip(part, known, strict=True)
        ]
        for query, row in zip(queries, keys, strict=True):
            k, v = ((row * gain + shift) @ key_value.T).chunk(2, dim=1)
            q, k, v = (x.view(-1, heads, each).transpose(0, 1) for x in (query @ asking.T, k, v))
            found.append(F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1) @ out.T + last)
        return torch.stack(found)

    assert_same_function(ours, plain, (*given, *frames))
    assert torch.autograd.gradcheck(ours, (*given, *frames))


@pytest.mark.parametrize("rows", [0, 2])
def test_attention_within_is_the_stock_one_and_so_is_its_gradient(rows: int) -> None:
    weights = drawn(20, 6, seed=1), drawn(40, 6, seed=2), drawn(6, 20, seed=3), drawn(6, seed=4)
    given = (drawn(rows, 3, 6), *weights)

    def ours(latents: Tensor, *weights: Tensor) -> Tensor:
        return applied(Within(4), latents, *weights)

    def plain(latents: Tensor, asking: Tensor, key_value: Tensor, out: Tensor, shift: Tensor) -> Tensor:
        parts = (latents @ part.T for part in (asking, *key_value.chunk(2)))
        q, k, v = (part.view(rows, 3, 4, 5).transpose(1, 2) for part in parts)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) @ out.T + shift

    assert_same_function(ours, plain, given)
    assert torch.autograd.gradcheck(ours, given)


@pytest.mark.parametrize(("width", "wanted"), [(2, 5), (5, 2)])
def test_products_by_head_are_those_and_so_are_their_gradients(width: int, wanted: int) -> None:
    rows, weights, pull = drawn(4, 3, width), drawn(3, width, wanted, seed=1), drawn(4, 3, wanted, seed=2)
    found, plain = each_head(rows.detach(), weights.detach()), torch.einsum("rhn,hnm->rhm", rows, weights)
    assert found.is_contiguous()
    assert torch.allclose(found, plain, atol=1e-12)
    wanted_ones = torch.autograd.grad((plain * pull).sum(), (rows, weights))
    for one, other in zip(
        each_head_back(*(each.detach() for each in (pull, rows, weights))), wanted_ones, strict=True
    ):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("average", [1, 3])
@pytest.mark.parametrize(("width", "inner", "last"), [(5, 6, 7), (8, 8, 8)])
def test_feed_forward_is_that_and_so_is_its_gradient(width: int, inner: int, last: int, average: int) -> None:
    weights = drawn(2 * inner, width, seed=1), drawn(2 * inner, seed=2), drawn(last, inner, seed=3)
    given = (drawn(6, width), *weights, drawn(last, seed=4))

    def ours(rows: Tensor, *weights: Tensor) -> Tensor:
        return applied(Widened(Averaged(Gated(), average)), rows, *weights)

    def plain(rows: Tensor, widening: Tensor, shift: Tensor, narrowing: Tensor, last_shift: Tensor) -> Tensor:
        value, gate = (rows @ widening.T + shift).chunk(2, dim=1)
        return (value * F.gelu(gate) @ narrowing.T + last_shift).view(average, -1, last).mean(0)

    assert_same_function(ours, plain, given)


def test_rows_of_rows_are_fed_forward_as_they_are() -> None:
    weights = drawn(12, 5, seed=1), drawn(12, seed=2), drawn(5, 6, seed=3), drawn(5, seed=4)
    block, rows = Widened(Gated()), drawn(2, 3, 5)
    assert_same_function(
        lambda rows: applied(block, rows, *weights),
        lambda rows: applied(block, rows.flatten(0, 1), *weights).view(2, 3, 5),
        (rows,),
    )


class Joined:
    """A block of a product, after which one row may be several."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def forward(self, rows: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        return (rows @ weights[0].T).repeat(self._rows // len(rows), 1, 1), (rows,)

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        pull = gradient.sum_to_size(kept[0].shape)
        return pull @ weights[0], (pull.flatten(0, 1).T @ kept[0].flatten(0, 1),)


def test_a_chain_of_blocks_is_that_and_so_is_its_gradient() -> None:
    """With a weight and a norm that several steps have, and a row that stands for all."""
    given = drawn(1, 2, 4), drawn(4, 4, seed=1), drawn(4, 4, seed=2), drawn(4, seed=3), drawn(4, seed=4)

    def norms(gain: Tensor, shift: Tensor) -> list[nn.LayerNorm]:
        first, second = nn.LayerNorm(4), nn.LayerNorm(4, eps=0.1)
        for norm in (first, second):
            del norm.weight, norm.bias
            norm.weight, norm.bias = gain, shift  # type: ignore[assignment]
        return [first, second, first]

    def ours(rows: Tensor, one: Tensor, other: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        shared = zip(norms(gain, shift), (one, other, one), strict=True)
        return added([Step(norm, Joined(3), (weight,)) for norm, weight in shared], rows)

    def plain(rows: Tensor, one: Tensor, other: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        for norm, weight in zip(norms(gain, shift), (one, other, one), strict=True):
            rows = rows + (norm(rows) @ weight.T).expand(3, -1, -1)
        return rows

    assert_same_function(ours, plain, given)
    with torch.no_grad():
        evaluated = ours(*given)
    assert torch.equal(evaluated, ours(*given))


def test_a_perceiver_takes_no_rows() -> None:
    perceiver = Perceiver(width=8, depth=2, latents=3, heads=2, head_width=5)
    found = perceiver(lay(torch.zeros(0, 4, 8)), torch.zeros(0, 4, dtype=torch.bool))
    assert found.shape == (0, 8)
    found.sum().backward()
    assert not any(weight.grad.any() for weight in perceiver.parameters() if weight.grad is not None)


def test_frames_have_the_same_gradient_whether_weights_have_one() -> None:
    perceiver = Perceiver(width=8, depth=2, latents=3, heads=2, head_width=5)
    context, valid = drawn(4, 5, 8).float(), prefixes([5, 3, 1, 5], 5)
    wanted = torch.autograd.grad(perceiver(lay(context), valid).sum(), context)
    perceiver.requires_grad_(False)
    assert torch.equal(*wanted, *torch.autograd.grad(perceiver(lay(context), valid).sum(), context))


class Counted:
    """A block that adds nothing, and whose weight has a gradient of 1."""

    def forward(self, rows: Tensor, _weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        return torch.zeros_like(rows), ()

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], _kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        return torch.zeros_like(gradient), (torch.ones_like(weights[0], dtype=gradient.dtype),)


def test_gradients_of_many_steps_are_summed_in_the_dtype_of_the_weight() -> None:
    weight, norm = torch.zeros(3, requires_grad=True), nn.LayerNorm(4)
    with torch.autocast("cpu", torch.bfloat16):
        rows = added([Step(norm, Counted(), (weight,))] * 300, torch.ones(2, 4))
    (found,) = torch.autograd.grad(rows.sum(), weight)
    # In bfloat16 256 + 1 is 256.
    assert found.tolist() == [300.0] * 3


@pytest.mark.parametrize("size", [1, 3, 5])
@settings(max_examples=25)
@given(lengths=lengths_of_rows, holes=st.integers(0, 99))
def test_convolution_is_the_stock_one_on_all_valid_frames(size: int, lengths: list[int], holes: int) -> None:
    """With frames dropped in between too, and for no rows at all."""
    valid = prefixes(lengths, 9)
    valid &= torch.from_numpy(np.random.default_rng(holes).random(valid.shape) < 0.8)
    convolution = nn.Conv1d(4, 3, size, padding=size // 2, bias=False).double()
    frames = drawn(len(lengths), 9, 4).detach() * valid[..., None]
    frames.requires_grad_()
    laid = convolve(convolution, frames, valid)
    ours = laid.pick(laid.places.flatten()).view(*valid.shape, 3) * valid[..., None]
    wanted = convolution(frames.transpose(1, 2)).transpose(1, 2) * valid[..., None]
    pull = drawn(len(lengths), 9, 3, seed=1).detach()
    gradients = [
        torch.autograd.grad((found * pull).sum(), (frames, convolution.weight)) for found in (ours, wanted)
    ]
    assert torch.allclose(ours, wanted, atol=1e-12)
    # The stock one lets frames that are no frames have a gradient.
    assert torch.allclose(gradients[0][0], gradients[1][0] * valid[..., None], atol=1e-12)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-12)


def test_an_absent_stream_is_zeros_beside_the_others() -> None:
    convolution = nn.Conv1d(4, 3, 3, padding=1, bias=False)
    laid = convolve(convolution, torch.ones(2, 5, 4), prefixes([5, 2], 5)).with_absent()
    frames = laid.pick(laid.places.flatten()).view(3, 5, 3)
    shown = [frame.any(1).tolist() for frame in frames]
    assert shown == [[True] * 5, [True] * 2 + [False] * 3, [False] * 5]


def test_spread_rows_are_zero_where_nothing_is_picked_and_get_no_gradient() -> None:
    rows = drawn(4, 3)
    places = torch.tensor([3, 1, 2, 2, 2, 2, 2, 0])
    picked = pick_spread(rows, places, 2)
    wanted = torch.zeros(8, 3, dtype=torch.float64)
    wanted[0], wanted[1], wanted[7] = rows[3], rows[1], rows[0]
    assert torch.equal(picked, wanted)
    (gradient,) = torch.autograd.grad(picked.sum(), rows)
    assert torch.equal(gradient, torch.tensor([1.0, 1.0, 0.0, 1.0]).double()[:, None].expand(4, 3))


def test_no_rows_are_picked_from_some_for_a_batch_without_streams() -> None:
    assert pick_spread(drawn(4, 3), torch.zeros(0, dtype=torch.int64), 0).shape == (0, 3)


@settings(max_examples=25)
@given(lengths=lengths_of_rows)
def test_a_perceiver_reads_what_is_laid_end_to_end_as_it_reads_padded_streams(lengths: list[int]) -> None:
    perceiver = Perceiver(width=8, depth=2, latents=3, heads=2, head_width=5)
    valid = prefixes([max(length, 1) for length in lengths], 9)
    padded = drawn(len(lengths), 9, 8).float() * valid[..., None]
    rows = torch.cat([padded[valid].detach(), torch.zeros(1, 8)])
    places = torch.full(valid.shape, len(rows) - 1)
    places[valid] = torch.arange(len(rows) - 1)
    assert torch.equal(perceiver(Laid(rows, places, len(rows) - 1), valid), perceiver(lay(padded), valid))


@pytest.mark.parametrize("padding", [0, 7, 1000])
def test_a_perceiver_does_not_depend_on_its_groups(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        perceiver = Perceiver(width=8, depth=2, latents=3, heads=2, head_width=5).double()
    context, valid = drawn(6, 9, 8), prefixes([3, 9, 1, 9, 4, 3], 9)
    outputs = []
    for allowed in (1000, padding):
        monkeypatch.setattr("cmad.network.perceiver.PRODUCTS", {"cpu": allowed * 3 * 2 * 8})
        token = perceiver(lay(context), valid)
        outputs.append((token, torch.autograd.grad(token.square().sum(), context)[0]))
    for one, other in zip(*outputs, strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    assert (outputs[0][1] * ~valid[..., None]).abs().max() == 0


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_dropout_keeps_its_share_and_passes_gradient_where_it_kept(kind: torch.dtype) -> None:
    between = ReluDropout(0.1)
    # p is rounded to 6554 of 65536.
    assert between.scale == pytest.approx(65536 / (65536 - 6554))
    inputs = torch.linspace(-1, 1, 200_001, dtype=torch.float64).to(kind)[None]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outputs, held = between.forward(inputs.clone())
        again, _ = between.forward(inputs.clone())
        torch.manual_seed(0)
        same, _ = between.forward(inputs.clone())
    positive = inputs > 0
    assert outputs.dtype == kind
    assert torch.equal(outputs, same)
    assert not torch.equal(outputs, again)
    assert not outputs[~positive].any()
    passed = outputs[positive] > 0
    # Five standard deviations of a share of 100000.
    assert float(passed.double().mean()) == pytest.approx(0.9, abs=5 * (0.09 / 1e5) ** 0.5)
    assert torch.equal(outputs[positive][passed], inputs[positive][passed])
    assert torch.equal(between.backward(torch.ones_like(outputs), held), (outputs > 0).to(kind))


def test_feed_forward_takes_on_the_scale_of_what_is_between() -> None:
    given = drawn(6, 5), drawn(8, 5, seed=1), drawn(8, seed=2), drawn(3, 8, seed=3), drawn(3, seed=4)
    between = ReluDropout(0.0)
    between.scale = 2.0

    def plain(rows: Tensor, widening: Tensor, shift: Tensor, narrowing: Tensor, last_shift: Tensor) -> Tensor:
        return 2 * (rows @ widening.T + shift).relu() @ narrowing.T + last_shift

    assert_same_function(lambda *given: applied(Widened(between), *given), plain, given)


def test_without_dropout_it_is_relu_and_draws_nothing() -> None:
    inputs, before = torch.linspace(-1, 1, 9)[None], torch.get_rng_state()
    outputs, _ = ReluDropout(0.0).forward(inputs.clone())
    assert torch.equal(outputs, inputs.relu())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("p", "share"), [(0.0, 1.0), (0.75, 0.25), (0.5, 0.5)])
def test_shares_at_the_ends(p: float, share: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert float(mask(torch.empty(99_999), p).mean()) == pytest.approx(share, abs=0.01 * (p > 0))
