"""What of the networks is in bfloat16; outputs and gradients are those of float32 but for rounding."""

from functools import partial
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cmad.computing import precision
from cmad.computing.precision import computing
from cmad.computing.randomness import torch_seeded
from cmad.methods.mmanet import Head
from cmad.methods.networks.cross_modal import CrossModalNetwork
from cmad.network.attention import Cross, Within, read
from cmad.network.blocks import Step, added, applied
from cmad.network.dropout import ReluDropout
from cmad.network.feed_forward import Widened
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.batches import collate
from tests.generators.splits import CPU, LENGTHS, draw_masks, make_network, make_split, random_lengths
from tests.generators.tokens import TokenWorld
from tests.project import small_params

SYSTEMS = ["dropout", "cmad", *small_params()["presets"]["demo"]["systems"]]
# Names of what multiplies matrices, in torch's own terms.
PRODUCTS = ("mm", "convolution", "attention", "encoder_layer_fwd")


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    return TokenWorld(tmp_path_factory.mktemp("tokens"))


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what all products of matrices are computed in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[torch.dtype] = []
        self.reading = 0

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(product in str(function) for product in PRODUCTS):
            self.found.append(next(each.dtype for each in args if isinstance(each, Tensor)))
        return function(*args, **(kwargs or {}))

    def watch_reading(self, patch: pytest.MonkeyPatch) -> None:
        """Count those of ``read`` by themselves."""

        def watched(*given: Any) -> Any:
            before = len(self.found)
            outputs = read(*given)
            self.reading += len(self.found) - before
            return outputs

        patch.setattr("cmad.network.attention.read", watched)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_near(got: Tensor, wanted: Tensor, share: float) -> None:
    """Their difference is a small share of the wanted, both by the root of the sum of squares."""
    assert got.shape == wanted.shape
    assert float((got.float() - wanted.float()).norm()) <= share * float(wanted.float().norm())


def with_gradients(function: Any, given: list[Tensor]) -> list[Tensor]:
    """The outputs, then the gradient of their product with fixed numbers by each of what is given."""
    leaves = [each.detach().requires_grad_() for each in given]
    outputs = function(*leaves)
    pull = drawn(*outputs.shape, seed=99).to(outputs.dtype)
    return [outputs.detach(), *torch.autograd.grad(outputs, leaves, pull)]


def assert_near_under_autocast(function: Any, given: list[Tensor]) -> None:
    def autocast(*given: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return cast(Tensor, function(*given))

    found = with_gradients(autocast, given)
    assert found[0].dtype == torch.bfloat16
    for got, wanted in zip(found, with_gradients(function, given), strict=True):
        assert_near(got, wanted, 0.02)


@pytest.mark.parametrize("rows", [1, 5])
def test_attention_to_frames_and_its_gradient(rows: int) -> None:
    bias = torch.zeros(2, 9, 1).masked_fill(torch.arange(9)[None, :, None] > 5, -torch.inf)
    weights = [drawn(12, 16, seed=1) / 4, drawn(24, 16, seed=2) / 4, drawn(16, seed=3), drawn(16, seed=4)]
    last = [drawn(16, 12, seed=5) / 4, drawn(16, seed=6)]
    frames = [drawn(2, 9, 16, seed=7), drawn(3, 4, 16, seed=8)]

    def ours(latents: Tensor, *weights: Tensor) -> Tensor:
        *others, first, second = weights
        # Frames are in float32 where a device's layer norm is, else in bfloat16.
        if torch.is_autocast_enabled("cpu"):
            second = second.bfloat16()
        return applied(Cross(3, 4, [bias, None]), latents, *others, first, second)

    assert_near_under_autocast(ours, [drawn(rows, 2, 16, seed=0) / 4, *weights, *last, *frames])


def test_attention_within_and_its_gradient() -> None:
    weights = [drawn(20, 6, seed=1) / 3, drawn(40, 6, seed=2) / 3, drawn(6, 20, seed=3), drawn(6, seed=4)]
    assert_near_under_autocast(partial(applied, Within(4)), [drawn(9, 3, 6, seed=0), *weights])


def test_what_is_added_to_is_in_float32() -> None:
    norm = torch.nn.LayerNorm(6)
    weights = [drawn(20, 6, seed=1) / 3, drawn(40, 6, seed=2) / 3, drawn(6, 20, seed=3), drawn(6, seed=4)]

    def chain(rows: Tensor, *weights: Tensor) -> Tensor:
        return added([Step(norm, Within(4), weights)] * 2, rows)

    def autocast(*given: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return chain(*given)

    given = [drawn(9, 3, 6, seed=0), *weights]
    found = with_gradients(autocast, given)
    assert found[0].dtype == torch.float32
    for got, wanted in zip(found, with_gradients(chain, given), strict=True):
        assert not torch.equal(got, wanted)
        assert_near(got, wanted, 0.02)


def test_feed_forward_with_dropout_and_its_gradient() -> None:
    with torch_seeded(0, "layers"):
        first, second = torch.nn.Linear(16, 64, dtype=torch.bfloat16).float(), torch.nn.Linear(64, 16)
    weights = first.weight, first.bias, second.weight, second.bias

    def dropped(rows: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return applied(Widened(ReluDropout(0.25)), rows, *weights)

    # Weights and rows of whole bfloat16 numbers: ReLU passes the same ones in either precision.
    assert_near_under_autocast(dropped, [drawn(50, 16, seed=0).bfloat16().float()])


def shared(micro_batch: int | None, **changes: Any) -> Network:
    network = make_network(spread=0.15, **changes)
    network.micro_batch = micro_batch
    return network


def cross_modal(micro_batch: int | None) -> CrossModalNetwork:
    with torch_seeded(0, "modules"):
        return CrossModalNetwork(shared(micro_batch, width=16, heads=4), LENGTHS).eval()


@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize(
    "create", [shared, partial(shared, attend_padding=True), cross_modal], ids=["shared", "padded", "cross"]
)
def test_outputs_and_gradients_of_whole_networks(create: Any, micro_batch: int | None) -> None:
    network = create(micro_batch)
    rng = np.random.default_rng(0)
    split = make_split(random_lengths(20, rng))
    masks = draw_masks(split.has, rng)
    batch = collate(split, np.arange(20), masks, CPU)
    found = {}
    for kind in ("float32", "bf16"):
        network.zero_grad(set_to_none=True)
        with computing(kind, CPU):
            output = network.fuse(network.encode(batch), torch.from_numpy(masks))
            with torch.no_grad():
                again = network.fuse(network.encode(batch), torch.from_numpy(masks))
        assert output.outputs.dtype == output.representation.dtype == torch.float32
        if kind == "bf16":
            assert torch.equal(again.outputs, output.outputs), "evaluated by other arithmetic than trained"
        output.outputs.square().mean().backward()
        given = [w.grad.flatten() for w in network.parameters() if w.grad is not None]
        found[kind] = output.outputs.detach(), torch.cat(given)
    assert not torch.equal(found["bf16"][0], found["float32"][0])
    assert_near(found["bf16"][0], found["float32"][0], 0.02)
    assert_near(found["bf16"][1], found["float32"][1], 0.05)


@pytest.mark.parametrize("kind", ["float32", "bf16"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_product_is_in_it_but_those_of_reading_and_of_the_last_layer(
    tokens: TokenWorld, system: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a language encoder, and evaluated as dev and test are: torch has short cuts of its own there."""
    method = tokens.method(system)
    dev = tokens.store.splits["dev"]
    with computing(kind, CPU), Products() as products:
        products.watch_reading(monkeypatch)
        predict_combinations(method.network, dev, len(dev), CPU)
    # The last layer, of all combinations.
    expected = 7 + products.reading if kind == "bf16" else len(products.found)
    assert products.reading > 0
    assert products.found.count(torch.float32) == expected
    assert len(products.found) - products.reading > 40
    assert set(products.found) <= {torch.float32, torch.bfloat16}


def test_the_second_head_of_mmanet() -> None:
    network = make_network()
    head, split = Head(network), make_split(random_lengths(9, np.random.default_rng(0)))
    batch, masks = collate(split, np.arange(9), split.has, CPU), torch.from_numpy(split.has)
    encoded = network.encode(batch)
    with computing("bf16", CPU), Products() as products:
        outputs = head(encoded, masks)
    assert outputs.dtype == torch.float32
    assert products.found.count(torch.float32) == 1
    assert products.found.count(torch.bfloat16) == len(products.found) - 1 > 4


def test_the_module_leaves_torch_as_it_was() -> None:
    network, split = make_network(), make_split(random_lengths(4, np.random.default_rng(0)))
    before = torch.backends.mha.get_fastpath_enabled()
    with computing("bf16", CPU):
        predict_combinations(network, split, 4, CPU)
        assert torch.backends.mha.get_fastpath_enabled() == before
        assert not torch.is_autocast_enabled("cpu")
