"""The prompts of MPLMM and the maps that generate missing streams (baselines spec section 2)."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS, MASKS, MODALITIES


def type_prompt(prompt: Tensor, signals: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Q_m = P_MT,m MP(c) with MP(c) = sum over modalities n of P^state_n M_n.

    Args:
        prompt: P_MT,m [l, D].
        signals: by modality, [D, T_n], the missing or present signal prompt, as c says.
        maps: by modality, M_n [T_n, D].

    Returns:
        [l, D].
    """
    mixed = [signal @ each for signal, each in zip(signals, maps, strict=True)]
    return prompt @ torch.stack(mixed).sum(dim=0)


def _prompt(*shape: int) -> nn.Parameter:
    # Not zeros: Q is a product of three of them, and at zero none would get a gradient.
    return nn.Parameter(torch.randn(*shape) * 0.02)


class Prompts(nn.Module):
    """What some combinations need: prompts, cross-modal maps f_{a->m}, temporal maps g_{m|A}.

    Args:
        widths, lengths: d and T of each modality.
        width: D.
        length: l, rows of a generative and of a type prompt; 0 for none.
        combinations: indices into COMBINATIONS, without repeats.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        lengths: Mapping[str, int],
        width: int,
        length: int,
        combinations: Sequence[int],
    ) -> None:
        super().__init__()
        there = [(j, m) for j in combinations for m in range(3) if MASKS[j, m]]
        missing = [(j, m) for j in combinations for m in range(3) if not MASKS[j, m]]
        pairs = dict.fromkeys((a, m) for j, m in missing for a in range(3) if MASKS[j, a])
        self.generative = nn.ParameterDict(
            {MODALITIES[m]: _prompt(width, length) for m in dict.fromkeys(m for _, m in missing)}
        )
        self.cross = nn.ModuleDict(
            {cross_name(a, m): nn.Conv1d(widths[MODALITIES[a]], width, 1) for a, m in pairs}
        )
        self.temporal = nn.ModuleDict(
            {
                _temporal_name(j, m): nn.Conv1d(
                    length + sum(lengths[MODALITIES[a]] for a in range(3) if MASKS[j, a]),
                    lengths[MODALITIES[m]],
                    1,
                )
                for j, m in missing
            }
        )
        self.signals = nn.ParameterDict(
            {
                _signal_name(m, bool(MASKS[j, m])): _prompt(width, lengths[MODALITIES[m]])
                for j, m in there + missing
            }
        )
        self.types = nn.ParameterDict({m: _prompt(length, width) for m in MODALITIES})
        self.maps = nn.ParameterDict({m: _prompt(lengths[m], width) for m in MODALITIES})

    def sources(self, m: int, frames: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """All f_{m->n} of modality m's raw frames.

        Args:
            frames: [P, T, d].
            valid: bool [P, T]; what is not valid becomes zero.

        Returns:
            [P, T, D] by ``cross_name``.
        """
        names = (cross_name(m, n) for n in range(3))
        return {
            name: F.gelu(self.cross[name](frames.transpose(1, 2)).transpose(1, 2)) * valid[..., None]
            for name in names
            if name in self.cross
        }

    def generated(self, j: int, m: int, sources: Sequence[Tensor]) -> Tensor:
        """X~_m = g_{m|A}([P_G,m ; f_{a->m}(x_a), a in A]), A being combination j.

        Args:
            sources: f_{a->m}(x_a) [S, T_a, D], in the order of the modalities.

        Returns:
            [S, T_m, D].
        """
        prompt = self.generative[MODALITIES[m]].transpose(0, 1).expand(len(sources[0]), -1, -1)
        return F.gelu(self.temporal[_temporal_name(j, m)](torch.cat([prompt, *sources], dim=1)))

    def signal(self, j: int, m: int) -> Tensor:
        """The signal prompt [D, T] of modality m: present in combination j, or missing from it."""
        return self.signals[_signal_name(m, bool(MASKS[j, m]))]

    def type_of(self, j: int, m: int) -> Tensor:
        """Q_m [l, D] of combination j."""
        signals = [self.signal(j, n) for n in range(3)]
        return type_prompt(self.types[MODALITIES[m]], signals, [self.maps[n] for n in MODALITIES])


def cross_name(a: int, m: int) -> str:
    """Key of f_{a->m}."""
    return f"{MODALITIES[a]}_to_{MODALITIES[m]}"


def _temporal_name(j: int, m: int) -> str:
    return f"{COMBINATIONS[j]}_to_{MODALITIES[m]}"


def _signal_name(m: int, present: bool) -> str:
    return f"{MODALITIES[m]}_{'present' if present else 'missing'}"
