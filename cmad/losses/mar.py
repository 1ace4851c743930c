"""Which combinations are hard, and the weights of their losses (MAR, Eq. 6 to 10, spec section 4).

All vectors of seven are in the order of ``cmad.combinations.COMBINATIONS``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cmad.combinations import COMBINATIONS

# At or below this W, no combination is harder than another (spec section 8, B9).
LEAST_DIFFICULTY = 1e-12

PAIRS = tuple(COMBINATIONS.index(name) for name in ("LA", "LV", "AV"))


def relative_difficulty(student_loss: Tensor, teacher_loss: Tensor) -> Tensor:
    """D^{s,t} = max(0, D^{s,g} - D^{t,g}) of each record [R] (Eq. 7)."""
    return (student_loss - teacher_loss).clamp_min(0.0)


@dataclass(frozen=True)
class Banks:
    """The memory banks M_p and M_l, kept as sums: Eq. 9 asks for nothing else.

    They do not grow and hold no graph (spec section 8, B8). ``vars(banks)`` is a dict of plain
    tensors for a checkpoint, ``Banks(**saved)`` restores it.

    Attributes:
        relative: float64 [7], sums of D^{s,t} (Eq. 7).
        absolute: float64 [7], sums of D^{s,g} (Eq. 6), the difficulty of CMAD_t.
        counts: int64 [7], N_m, records seen of each combination.
    """

    relative: Tensor
    absolute: Tensor
    counts: Tensor

    @staticmethod
    def empty(device: torch.device | str = "cpu") -> "Banks":
        """Banks that have seen nothing, on ``device``."""
        sums = torch.zeros(len(COMBINATIONS), dtype=torch.float64, device=device)
        return Banks(relative=sums, absolute=sums.clone(), counts=torch.zeros_like(sums, dtype=torch.int64))

    def add(self, combination: Tensor, student_loss: Tensor, teacher_loss: Tensor) -> "Banks":
        """New banks with these records added; the old ones stay as they are.

        Args:
            combination: int64 [R], each record's index into COMBINATIONS.
            student_loss: D^{s,g} [R] (Eq. 6); taken without its graph.
            teacher_loss: D^{t,g} [R].
        """
        absolute = student_loss.detach().double()
        relative = relative_difficulty(absolute, teacher_loss.detach().double())
        # Eq. 8. A masked sum, not a scattered one, so that a GPU adds in the same order every time.
        member = combination[:, None] == torch.arange(len(COMBINATIONS), device=combination.device)
        return Banks(
            relative=self.relative + relative[:, None].where(member, 0.0).sum(dim=0),
            absolute=self.absolute + absolute[:, None].where(member, 0.0).sum(dim=0),
            counts=self.counts + member.sum(dim=0),
        )


def mean_difficulty(sums: Tensor, counts: Tensor) -> Tensor:
    """W, the mean difficulty of each combination, 0 where none was seen (Eq. 9).

    Args:
        sums: float64 [7], ``Banks.relative``, or ``Banks.absolute`` for CMAD_t.
        counts: int64 [7].

    Returns:
        float64 [7].
    """
    return sums / counts.clamp_min(1)


def mar_weights(difficulty: Tensor, counts: Tensor, rho: float, unseen_weight: float) -> Tensor:
    """Psi = rho (W / max W)^2 (Eq. 10); all ones where max W is at most 1e-12.

    Args:
        difficulty: W float64 [7].
        counts: int64 [7].
        rho: the hardest combination's weight.
        unseen_weight: of combinations with no record; 0 honours Eq. 9.

    Returns:
        float64 [7].
    """
    hardest = difficulty.max()
    if hardest <= LEAST_DIFFICULTY:
        return torch.ones_like(difficulty)
    return (rho * (difficulty / hardest).square()).where(counts > 0, unseen_weight)


def weakest_weights(difficulty: Tensor, rho: float) -> Tensor:
    """CMAD_w: rho for the hardest pair and its two single modalities, 1 elsewhere (spec section 4).

    All ones where no pair is harder than 1e-12: then none is the weakest. Ties go to the first of
    LA, LV, AV.

    Args:
        difficulty: W float64 [7].
        rho: weight of the three.

    Returns:
        float64 [7].
    """
    weights = torch.ones_like(difficulty)
    pairs = difficulty[list(PAIRS)]
    if pairs.max() <= LEAST_DIFFICULTY:
        return weights
    weakest = COMBINATIONS[PAIRS[int(pairs.argmax())]]
    for name in (weakest, *weakest):
        weights[COMBINATIONS.index(name)] = rho
    return weights
