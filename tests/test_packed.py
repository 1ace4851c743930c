"""Sequences laid end to end against each of them by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from cmad.language.model import PLAIN
from cmad.network.packed import pack, states

LENGTHS = ((4, 4), (3, 1, 2))


def model_of(kind: str) -> Any:
    config = AutoConfig.for_model(
        kind,
        hidden_size=8,
        embedding_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=40,
        type_vocab_size=2,
        max_position_embeddings=16,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make: Any = AutoModel
        return make.from_config(config).double().eval()


def groups() -> tuple[list[Tensor], list[Tensor]]:
    """What is valid, and token ids."""
    drawn = torch.Generator().manual_seed(1)
    valid = [torch.arange(max(part)) < torch.tensor(part)[:, None] for part in LENGTHS]
    return valid, [torch.randint(2, 40, own.shape, generator=drawn) for own in valid]


def gradients(model: Any, found: list[Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    loss = torch.stack([(state * torch.arange(8)).sin().sum() for state in found]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_states_and_gradients_are_those_of_each_sequence_alone(kind: str) -> None:
    model, (valid, tokens) = model_of(kind), groups()
    alone = [
        model(input_ids=row[None, :length]).last_hidden_state[0]
        for part, lengths in zip(tokens, LENGTHS, strict=True)
        for row, length in zip(part, lengths, strict=True)
    ]
    expected = gradients(model, alone)
    pack(model)
    first = 2 if "roberta" in kind or kind == "camembert" else 0
    together = states(model, valid, {"input_ids": tokens}, first)
    assert [each.shape for each in together] == [(2, 4, 8), (3, 3, 8)]
    found = [
        state[own]
        for part, seen in zip(together, valid, strict=True)
        for state, own in zip(part, seen, strict=True)
    ]
    for ours, theirs in zip(found, alone, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(model, found), expected)


def test_by_itself_a_model_gives_what_it_gave() -> None:
    model, (valid, tokens) = model_of("bert"), groups()

    def called() -> Tensor:
        found: Tensor = model(input_ids=tokens[1], attention_mask=valid[1].long()).last_hidden_state
        return found

    before = called()
    pack(model)
    assert torch.equal(called(), before)
    assert not torch.equal(model(input_ids=tokens[1]).last_hidden_state, before)
