"""A fine-tuned language encoder inside teacher, students and systems."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS, FULL, MASKS
from cmad.errors import UserError
from cmad.language.find import find
from cmad.language.model import load_model, traits
from cmad.methods.mplmm import PromptedNetwork
from cmad.network.encoder import TokenEncoder, load_encoder
from cmad.network.lengths import TOKENS, UNPACKED_TOKENS, by_length
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations, predict_dropped
from cmad.store.batches import Batch, collate
from cmad.training.checkpoint import build_network
from cmad.training.optimiser import create_optimiser
from tests.generators.encoders import KINDS, Kind, write_encoder
from tests.generators.splits import CPU
from tests.generators.tokens import LONGEST, TokenWorld
from tests.test_frozen import MINILM

L = COMBINATIONS.index("L")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    return TokenWorld(tmp_path_factory.mktemp("tokens"))


def encoder_of(network: nn.Module) -> TokenEncoder:
    return cast(TokenEncoder, network.encoder)


def tokens_of(world: TokenWorld, rows: range, kept: Any = None) -> Batch:
    split = world.store.splits["train"]
    chosen = np.array(rows)
    return collate(split, chosen, split.has[chosen], CPU, kept)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_each_sample_alone(kind: Kind, packs: bool, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder", kind)
    found = traits(folder)
    assert found.packs
    encoder = TokenEncoder(load_model(folder), replace(found, packs=packs))
    model = load_model(folder)
    rng = np.random.default_rng(0)
    lengths = torch.tensor([1, 5, 12, 3])
    valid = torch.arange(12) < lengths[:, None]
    tokens = torch.from_numpy(rng.integers(5, 30, (4, 12, 2))) * valid[..., None]
    tokens[..., 1] %= 2 if found.segments else 1
    # More tokens of padding than a group has, so that there are several groups, one of them padded.
    allowed = TOKENS if packs else UNPACKED_TOKENS
    assert len(by_length(valid, allowed["cpu"]).groups) == 2
    with torch.no_grad():
        together = encoder(tokens, valid)
        for row, length in enumerate(lengths):
            segments = {"token_type_ids": tokens[row : row + 1, :length, 1]} if found.segments else {}
            alone = model(input_ids=tokens[row : row + 1, :length, 0], **segments).last_hidden_state
            torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-5)
    assert (together[~valid] == 0).all()
    assert encoder(tokens[:0], valid[:0]).shape == (0, 12, together.shape[2])


def test_segments_reach_a_model_that_tells_them_apart(world: TokenWorld) -> None:
    stream = tokens_of(world, range(6)).streams["language"]
    encoder = encoder_of(world.teacher)
    other = stream.frames.clone()
    other[..., 1] = 0
    assert (stream.frames[..., 1] == 1).any()
    assert not torch.equal(encoder(stream.frames, stream.valid), encoder(other, stream.valid))


def test_dropped_tokens_are_unseen_zero_and_leave_their_place(world: TokenWorld) -> None:
    split = world.store.splits["train"]
    rng = np.random.default_rng(1)
    kept = {m: rng.random(int(lengths.sum())) < 0.6 for m, lengths in split.lengths.items()}
    whole = tokens_of(world, range(10)).streams["language"]
    stream = tokens_of(world, range(10), kept).streams["language"]
    encoder = encoder_of(world.teacher)
    with torch.no_grad():
        states = encoder(stream.frames, stream.valid)
        for place, row in enumerate(stream.rows.tolist()):
            positions = stream.valid[place].nonzero().T
            tokens = whole.frames[row, positions[0]]
            alone = encoder.model(
                input_ids=tokens[None, :, 0], token_type_ids=tokens[None, :, 1], position_ids=positions
            ).last_hidden_state[0]
            torch.testing.assert_close(states[place, positions[0]], alone, rtol=0, atol=1e-5)
    assert (states[~stream.valid] == 0).all()
    assert (~stream.valid & whole.valid[stream.rows][:, : stream.valid.shape[1]]).any()


class Calls:
    """What an encoder is given."""

    def __init__(self, network: nn.Module) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []
        encoder_of(network).register_forward_pre_hook(lambda _, given: self.seen.append(given))


def test_only_present_language_is_encoded_and_once_for_all_combinations(world: TokenWorld) -> None:
    network, split = build_network(world.preset.network, world.store), world.store.splits["train"]
    calls = Calls(network)
    predict_combinations(network, split, 16, CPU)
    assert len(calls.seen) == 3
    for start, (tokens, valid) in zip(range(0, len(split), 16), calls.seen, strict=True):
        longest = split.lengths["language"][start : start + 16].max()
        assert tokens.shape == (min(16, len(split) - start), longest, 2)
        assert (valid.sum(1).numpy() == split.lengths["language"][start : start + 16]).all()
    calls.seen.clear()
    wanted = MASKS[np.arange(len(split)) % 7]
    network.encode(collate(split, np.arange(len(split)), wanted, CPU))
    assert len(calls.seen[0][0]) == wanted[:, 0].sum() < len(split)


def test_without_language_nothing_is_encoded(world: TokenWorld) -> None:
    split = world.store.splits["train"]
    network = build_network(world.preset.network, world.store)
    wanted = np.tile(MASKS[COMBINATIONS.index("AV")], (len(split), 1))
    batch = collate(split, np.arange(len(split)), wanted, CPU)
    output = network.fuse(network.encode(batch), torch.from_numpy(wanted))
    output.outputs.sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in encoder_of(network).parameters())


def test_everything_dropped_is_the_absent_tokens(world: TokenWorld) -> None:
    split = world.store.splits["test"]
    numbers = {m: np.zeros(int(lengths.sum())) for m, lengths in split.lengths.items()}
    found = predict_dropped(world.teacher, split, 1.0, numbers, 7, CPU)
    assert (found == found[0]).all()


@pytest.mark.parametrize("attend_padding", [False, True])
def test_tokens_give_what_their_states_give_as_features(world: TokenWorld, attend_padding: bool) -> None:
    settings = replace(world.preset.network, attend_padding=attend_padding)
    network = build_network(settings, world.store).eval()
    batch = tokens_of(world, range(9))
    stream = batch.streams["language"]
    with torch.no_grad():
        states = encoder_of(network)(stream.frames, stream.valid)
        encoded = network.encode(batch)
        network.encoder = None
        fed = replace(batch, streams={**batch.streams, "language": replace(stream, frames=states)})
        expected = network.encode(fed)
    for ours, theirs in zip(encoded.tokens, expected.tokens, strict=True):
        assert torch.equal(ours, theirs)


def test_first_weights_are_the_pretrained_ones_and_elsewhere_those_without_encoder(world: TokenWorld) -> None:
    pretrained = load_encoder(Path(world.encoder)).state_dict()
    states = {}
    for store in (world.store, replace(world.store, encoder=None)):
        torch.manual_seed(3)
        states[store.encoder is None] = build_network(world.preset.network, store).state_dict()
    assert {f"encoder.{name}" for name in pretrained} == set(states[False]) - set(states[True])
    for name, value in pretrained.items():
        assert torch.equal(states[False][f"encoder.{name}"], value)
    for name, value in states[True].items():
        assert torch.equal(states[False][name], value)
    assert not any("pooler" in name for name in pretrained)


def test_bert_norms_and_biases_are_not_decayed_and_all_learn_at_one_rate(world: TokenWorld) -> None:
    network = build_network(world.preset.network, world.store)
    optimiser = create_optimiser(network, replace(world.preset.student.optimiser, weight_decay=0.5))
    assert optimiser.rate == world.preset.student.optimiser.learning_rate
    decay = {id(weight): group.decay for group in optimiser.groups for weight in group.weights}
    norms = 0
    for name, module in network.named_modules():
        for part, weight in module.named_parameters(recurse=False):
            norm = isinstance(module, nn.LayerNorm) and name.startswith("encoder.")
            norms += norm and part == "weight"
            assert decay[id(weight)] == (0.0 if norm or "bias" in part else 0.5), f"{name}.{part}"
    assert norms == 5  # the embeddings' and two for each of two layers


def test_dropout_is_the_encoders_own_and_can_be_off(world: TokenWorld) -> None:
    network = build_network(world.preset.network, world.store)
    stream = tokens_of(world, range(6)).streams["language"]

    def states() -> Tensor:
        return encoder_of(network)(stream.frames, stream.valid)

    network.train()
    assert not torch.equal(states(), states())
    network.train(False)
    assert torch.equal(states(), states())
    assert {m.p for m in encoder_of(network).modules() if isinstance(m, nn.Dropout)} == {0.1}
    runs = [world.train("dropout", dropout_off=True, epochs=1)[1].log for _ in range(2)]
    assert repr(runs[0]) == repr(runs[1])


SYSTEMS = ["tea", "dropout", "cmad", "mplmm", "umdf", "umdf_full", "corrkd"]


@pytest.mark.parametrize(
    ("name", "combination"),
    # MMANet trains one model for all combinations, and none for one.
    [("mmanet", None), *((name, combination) for name in SYSTEMS for combination in (None, L, FULL))],
)
def test_every_system_trains_on_tokens(world: TokenWorld, name: str, combination: int | None) -> None:
    method, fitted = world.train(name, combination, epochs=1, warmup=1)
    assert np.isfinite([row["loss"] for row in fitted.log]).all()
    frozen = name in ("tea", "mplmm")
    start = (
        world.teacher.state_dict()
        if frozen
        else build_network(world.preset.network, world.store).state_dict()
    )
    moved = {
        name
        for name in fitted.state
        if name.startswith("encoder.") and not torch.equal(fitted.state[name], start[name])
    }
    assert bool(moved) != frozen
    method.network.load_state_dict(fitted.state)
    found = predict_combinations(method.network, world.store.splits["test"], 16, CPU)
    assert np.isfinite(found.outputs).all()


def test_prompts_are_generated_from_the_frozen_encoders_states(world: TokenWorld) -> None:
    network = cast(PromptedNetwork, cast(object, world.method("mplmm").network))
    network.train()
    batch = tokens_of(world, range(8))
    stream = batch.streams["language"]
    with torch.no_grad():
        states = encoder_of(world.teacher)(stream.frames, stream.valid)
        expected = network.prompts.sources(0, states, stream.valid)
    found = network.encode(batch).sources
    assert set(expected) == {"language_to_audio", "language_to_vision"}
    for name, value in expected.items():
        assert torch.equal(found[name][:-1, : value.shape[1]], value)
    assert not any(weight.requires_grad for weight in encoder_of(network).parameters())


def test_teacher_cache_holds_for_tokens(world: TokenWorld) -> None:
    full = predict_combinations(world.teacher, world.store.splits["train"], 7, CPU).outputs[FULL]
    np.testing.assert_allclose(world.cache.outputs.numpy(), full, rtol=0, atol=1e-6)


def test_other_weights_than_the_stores_are_refused(world: TokenWorld, tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder", seed=1)
    assert world.store.encoder is not None
    moved = replace(world.store.encoder, name=str(tmp_path / "encoder"))
    with pytest.raises(UserError, match=r"other weights of .* than the store was made with") as caught:
        build_network(world.preset.network, replace(world.store, encoder=moved))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    return TokenWorld(tmp_path_factory.mktemp("minilm"), "minilm")


@MINILM
def test_minilm_is_trained_along(real: TokenWorld) -> None:
    assert real.store.widths["language"] == 384
    pretrained = load_encoder(find("minilm")).state_dict()
    teacher: Network = real.teacher
    moved = [
        n for n, value in encoder_of(teacher).state_dict().items() if not torch.equal(value, pretrained[n])
    ]
    assert sum("layer.5" in name for name in moved) > 10
    _, fitted = real.train("cmad", epochs=1, warmup=1)
    assert np.isfinite(fitted.log[0]["loss"])
    assert real.cache.representation.isfinite().all()
    assert tokens_of(real, range(4)).streams["language"].frames.shape[1] <= LONGEST
