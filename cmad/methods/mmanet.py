"""MMANet: margin-aware distillation and regularisation of the weakest combinations (CVPR 2023).

L = L_TASK + mad L_MAD + mar L_MAR once the weak combinations are known, L_TASK before
(baselines spec section 1).

From the paper and its released code: L_MAD, the mining, a second head on the same tokens that is
thrown away after training, and the factors 30 and 0.5. Corrected against the release: L_MAD weighs
rows, not columns; the auxiliary loss is masked per sample, not over the whole batch; combinations
are mined on dev, not on test; histograms are compared as they are, not after another softmax; the
first epoch trains. Adapted here: Z is the fused representation E; regression takes the binary
entropy of the score and the histogram of its sign; J binary labels sum their entropies and
divergences; optimiser, epochs and selection are the shared ones; short trainings begin earlier.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS, FULL
from cmad.computing.precision import forward_pass
from cmad.config.schema import bounded
from cmad.errors import UserError
from cmad.losses.cafd import similarities
from cmad.losses.mar import PAIRS
from cmad.losses.task import per_record, records, task_loss
from cmad.methods.method import Context, Step, chances, read_options
from cmad.network.network import Encoded, Network, said
from cmad.network.predictions import predict_combinations
from cmad.task import Task

# Below this sum of entropies the teacher has no doubt about any sample: all weigh the same.
LEAST_ENTROPY = 1e-12
# An empty bin counts as this share, so that a divergence is finite.
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Options:
    """Knobs of MMANet.

    Attributes:
        mad: factor of L_MAD.
        mar: factor of L_MAR.
        begin: the last epoch, counted from 0, that trains on the task loss alone.
    """

    mad: float = bounded(0)
    mar: float = bounded(0)
    begin: int = bounded(0)


def margin_weights(task: Task, teacher_outputs: Tensor) -> Tensor:
    """u_i = H(p^t_i) / sum_j H(p^t_j): large where the teacher is close to its decision's margin.

    H is the entropy of the softmax; of (0, score) for regression, whose margin is at 0; summed over
    the labels for binary [both adapted].

    Args:
        task: what is predicted.
        teacher_outputs: z^t [B, K].

    Returns:
        [B], sum 1; all 1/B where there is no entropy.
    """
    logits = records(task, teacher_outputs)
    if task.kind == "regression":
        logits = torch.stack([torch.zeros_like(logits), logits], dim=1)
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1).reshape(len(teacher_outputs), -1).sum(dim=1)
    total = entropy.sum()
    certain = total <= LEAST_ENTROPY
    return (entropy / total.where(~certain, 1.0)).where(~certain, 1 / max(len(entropy), 1))


def gram_rows(representation: Tensor) -> Tensor:
    """The rows of G = Z Z^T at length 1, [B, D] to [B, B]; a zero row stays zero and gets no gradient."""
    gram = representation @ representation.transpose(0, 1)
    # Element j of a row at length 1 is the row's cosine with the unit vector j.
    return similarities(gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device))


def margin_aware_distillation(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """L_MAD = sum_i u_i sum_j (G^s_ij - G^t_ij)^2, with ``gram_rows`` for G.

    The paper's form, as its segmentation code has it; its classification code weighs columns.

    Args:
        student: Z^s [B, D].
        teacher: Z^t [B, D].
        weights: u [B].

    Returns:
        A scalar.
    """
    return (weights * (gram_rows(student) - gram_rows(teacher)).square().sum(dim=1)).sum()


def weak_loss(losses: Tensor, combinations: Tensor, weak: Tensor) -> Tensor:
    """L_MAR = sum over c in Omega of (1/B) sum_i [Delta_i = c] l(h_aux(U_i), y_i).

    Per sample, as the paper means it: the released code's broadcast lets each weak sample in the
    batch add the mean over all samples.

    Args:
        losses: l of each record [R].
        combinations: int64 [R], each record's index into COMBINATIONS.
        weak: bool [7], Omega.

    Returns:
        A scalar; records outside Omega count as 0.
    """
    return losses.where(weak[combinations], 0.0).mean()


def histograms(task: Task, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of the predicted classes.

    Regression has two bins, score at most 0 and above; binary one histogram per label [both adapted].

    Args:
        task: what is predicted.
        outputs: [n, K], n at least 1.

    Returns:
        [histograms, bins], each summing to 1.
    """
    if task.kind == "regression":
        predicted, bins = (outputs > 0).astype(np.int64), 2
    else:
        predicted, bins = outputs.reshape(len(outputs), task.records, task.classes).argmax(-1), task.classes
    return (predicted[..., None] == np.arange(bins)).mean(axis=0)


def divergence(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """KL(first || second), summed over histograms [histograms, bins]; empty bins count as 1e-6."""
    p, q = (np.maximum(h, LEAST_SHARE) for h in (first, second))
    p, q = (h / h.sum(axis=-1, keepdims=True) for h in (p, q))
    return float((p * np.log(p / q)).sum())


def weakest(distances: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Omega: the pair farthest from LAV and its two single modalities.

    Args:
        distances: [3], accumulated divergences of LA, LV, AV; the first of equals is taken.

    Returns:
        [7], True on the three of COMBINATIONS.
    """
    pair = COMBINATIONS[PAIRS[int(distances.argmax())]]
    return np.array([c in (pair, *pair) for c in COMBINATIONS])


class Head(nn.Module):
    """h_aux: a second fusion and classifier, copied from the student's before training."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.fusion = copy.deepcopy(network.fusion)
        self.classifier = copy.deepcopy(network.classifier)

    @forward_pass
    def forward(self, encoded: Encoded, masks: Tensor) -> Tensor:
        """Outputs [B, K] from the tokens that ``Network.fuse`` sees under ``masks`` [B, 3]."""
        tokens = [
            table[torch.where(masks[:, m], encoded.places[:, m], len(table) - 1)]
            for m, table in enumerate(encoded.tokens)
        ]
        return said(self.fusion(torch.stack(tokens, dim=1)), self.classifier).outputs


class Mmanet:
    """Up to epoch ``begin`` the task loss alone, while dev tells the weak combinations; then all of L.

    Mined are the epochs between the second and ``begin``, as released (from epoch 2 on), or
    ``begin`` itself where there is none between. ``begin`` is at most the last epoch but one, so
    that all of L is trained with in short trainings too [adapted].
    """

    def __init__(self, context: Context, options: Options) -> None:
        self.network = context.network
        self.sampler = chances(context)
        self._head = Head(context.network)
        self.trained = nn.ModuleDict({"network": self.network, "head": self._head})
        self._task = context.task
        self._dev = context.dev
        self._batch = context.settings.batch
        self._device = context.device
        self._options = options
        self._begin = max(0, min(options.begin, context.settings.epochs - 2))
        self._mined = range(2, self._begin) or (self._begin,)
        self._epoch = 0
        # Divergences of LA, LV, AV so far, float64 [3], and Omega, bool [7].
        self.memory = {
            "distances": torch.zeros(len(PAIRS), dtype=torch.float64),
            "weak": torch.zeros(len(COMBINATIONS), dtype=torch.bool, device=context.device),
        }

    def wanted(self, _has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is seen."""
        return masks

    def begin_epoch(self, epoch: int) -> None:
        """Remember which epoch it is."""
        self._epoch = epoch

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The task loss; after ``begin`` also L_MAD on complete samples and L_MAR on weak combinations."""
        encoded = self.network.encode(step.batch)
        output = self.network.fuse(encoded, step.masks)
        terms = {"task": task_loss(self._task, output.outputs, step.batch.labels).mean()}
        if self._epoch <= self._begin:
            return terms
        if self._options.mar > 0:
            losses = task_loss(self._task, self._head(encoded, step.masks), step.batch.labels)
            combinations = per_record(self._task, step.combinations)
            terms["mar"] = self._options.mar * weak_loss(losses, combinations, self.memory["weak"])
        if self._options.mad > 0 and step.teacher is not None and len(step.teacher.outputs):
            terms["mad"] = self._options.mad * margin_aware_distillation(
                output.representation[step.complete],
                step.teacher.representation,
                margin_weights(self._task, step.teacher.outputs),
            )
        return terms

    def end_epoch(self) -> Mapping[str, float]:
        """Mine.

        Returns:
            ``distance_<c>``: what has accumulated for LA, LV and AV. ``weak_<c>``: 1 for the three
            combinations of Omega once they are known, else 0.
        """
        if self._epoch in self._mined:
            measured = torch.from_numpy(self._measured()).to(self.memory["distances"])
            self.memory["distances"] = self.memory["distances"] + measured
        far, weak = self.memory["distances"].cpu().numpy(), self.memory["weak"]
        if self._epoch == self._begin:
            self.memory["weak"] = weak = torch.from_numpy(weakest(far)).to(self._device)
        distances = {f"distance_{COMBINATIONS[j]}": float(d) for j, d in zip(PAIRS, far, strict=True)}
        return distances | {f"weak_{c}": float(w) for c, w in zip(COMBINATIONS, weak, strict=True)}

    def _measured(self) -> NDArray[np.float64]:
        # On complete samples alone, so that all histograms are of the same samples.
        outputs = predict_combinations(
            self.network, self._dev, self._batch, self._device, (*PAIRS, FULL)
        ).outputs[:, self._dev.complete]
        full = histograms(self._task, outputs[FULL])
        return np.array([divergence(histograms(self._task, outputs[j]), full) for j in PAIRS])


def create(context: Context) -> Mmanet:
    """See ``cmad.methods.method``.

    Raises:
        UserError: in customised scope, without complete dev samples, or an option that is not allowed.
    """
    if context.combination is not None:
        raise UserError("mmanet mines weak combinations among all seven; put it under unified")
    if not context.dev.complete.any():
        raise UserError(
            "mmanet compares combinations on dev samples with all three modalities and there are none; "
            "give such samples, or take mmanet out of unified"
        )
    return Mmanet(context, read_options(Options, context))
