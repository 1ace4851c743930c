"""MPLMM: prompts around the frozen teacher stand in for what is missing (ACL 2024).

L = L_TASK (baselines spec section 2).

From the paper and its released code: the frozen pretrained backbone; trained are the Conv1d
projections and the output layer, generative prompts with their cross-modal and temporal maps,
signal prompts and type prompts. Corrected against the release: prompts start at N(0, 0.02), as at
zero the type prompts never train; selected and tested per combination, not on one random drawing.
Adapted here: the backbone is the shared teacher, in eval mode; type prompts are appended to the
Perceivers' contexts; signal prompts start at N(0, 0.02) too; padded and dropped frames count as
zero after a cross-modal map; one model for all combinations holds all nine temporal maps; a sample
of which nothing is seen is the teacher's absent token in each modality.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS, MASKS, MODALITIES, combination_index
from cmad.computing.precision import forward_pass
from cmad.config.load import PRESETS
from cmad.config.schema import bounded
from cmad.errors import UserError
from cmad.methods.method import Context, chances, read_options
from cmad.methods.networks.frames import Frames, convolve
from cmad.methods.networks.prompts import Prompts, cross_name
from cmad.methods.task_only import TaskOnly
from cmad.network.encoder import embed
from cmad.network.laid import lay
from cmad.network.network import Network, Output, said
from cmad.network.parts import in_parts
from cmad.store.batches import Batch


@dataclass(frozen=True)
class Options:
    """Knobs of MPLMM.

    Attributes:
        prompt_length: l of generative and type prompts, at most T; 16 as released.
    """

    prompt_length: int = bounded(1)


@dataclass(frozen=True)
class Encoded:
    """What does not depend on the combination.

    Attributes:
        frames: after the Conv1d.
        sources: by ``cross_name``, f_{a->m}(x_a) [P + 1, T_a, D], rows as in ``frames``.
    """

    frames: Frames
    sources: Mapping[str, Tensor]


class PromptedNetwork(nn.Module):
    """The teacher with prompts; its encoder of tokens, its Perceivers and its fusion are frozen copies.

    Args:
        teacher: the trained teacher.
        widths, lengths: d and T of each modality.
        combination: index of the only combination that is prompted for; None for all seven.
        prompt_length: l.
        micro_batch: samples encoded and read at once, see ``cmad.network.parts``.
    """

    def __init__(
        self,
        teacher: Network,
        widths: Mapping[str, int],
        lengths: Mapping[str, int],
        combination: int | None,
        prompt_length: int,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__()
        self._lengths = dict(lengths)
        self._attend_padding = teacher.lengths is not None
        self._combination = combination
        self._micro_batch = micro_batch
        self.encoder = copy.deepcopy(teacher.encoder)
        if self.encoder is not None:
            self.encoder.requires_grad_(False)
        self.convolutions = copy.deepcopy(teacher.convolutions).requires_grad_()
        self.perceivers = copy.deepcopy(teacher.perceivers).requires_grad_(False)
        self.fusion = copy.deepcopy(teacher.fusion).requires_grad_(False)
        self.classifier = copy.deepcopy(teacher.classifier).requires_grad_()
        combinations = range(len(COMBINATIONS)) if combination is None else (combination,)
        self.prompts = Prompts(widths, lengths, teacher.classifier.in_features, prompt_length, combinations)
        self.to(teacher.classifier.weight)
        self.train(teacher.training)

    def train(self, mode: bool = True) -> "PromptedNetwork":
        """Train mode for all but the frozen parts."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        self.perceivers.eval()
        self.fusion.eval()
        return self

    @forward_pass
    def encode(self, batch: Batch) -> Encoded:
        """Apply encoder, Conv1d and cross-modal maps to each present pair once.

        Of language as tokens, the raw features are the frozen encoder's states.
        """
        with torch.no_grad():
            batch = embed(self.encoder, batch, self._micro_batch)
        sources = {}
        for m, modality in enumerate(MODALITIES):
            stream = batch.streams[modality]
            missing = self._lengths[modality] - stream.frames.shape[1]
            for name, mapped in self.prompts.sources(m, stream.frames, stream.valid).items():
                sources[name] = F.pad(mapped, (0, 0, 0, missing, 0, 1))
        return Encoded(convolve(self.convolutions, batch, self._lengths, self._attend_padding), sources)

    @forward_pass
    def fuse(self, encoded: Encoded, masks: Tensor) -> Output:
        """Generate what is missing, then read and fuse.

        Args:
            masks: bool [B, 3], the modalities that the network is to see of each sample. One model
                for one combination looks at no others, and takes what a sample lacks of it as absent.
        """
        shown = masks & encoded.frames.present
        if self._combination is not None:
            shown = shown & torch.from_numpy(MASKS[self._combination]).to(shown.device)
        groups = self._groups(shown)
        tokens = [self._token(m, encoded, shown, groups) for m in range(3)]
        representation = self.fusion(torch.stack(tokens, dim=1))
        return said(representation, self.classifier)

    def _groups(self, shown: Tensor) -> dict[int, Tensor]:
        """Samples by the combination that they are prompted for; in none if nothing of them is shown."""
        index = combination_index(shown.cpu().numpy())
        if self._combination is not None:
            index = np.where(index >= 0, self._combination, index)
        found = (int(j) for j in np.unique(index) if j >= 0)
        return {j: torch.from_numpy(np.flatnonzero(index == j)).to(shown.device) for j in found}

    def _token(self, m: int, encoded: Encoded, shown: Tensor, groups: Mapping[int, Tensor]) -> Tensor:
        """U_m [B, D]: the Perceiver's reading of [X_m + P_m ; Q_m], X_m given or generated."""
        frames, filled = encoded.frames, shown[:, m].clone()
        rows = frames.rows(m, filled)
        # Copies: other calls pick from the same tables. In the prompts' precision, as they are put in.
        context, valid = frames.tables[m][rows].to(self.classifier.weight.dtype), frames.valid[m][rows]
        kinds = context.new_zeros(len(shown), *self.prompts.types[MODALITIES[m]].shape)
        for j, samples in groups.items():
            signal = self.prompts.signal(j, m).transpose(0, 1)
            kinds[samples] = self.prompts.type_of(j, m).to(kinds.dtype)
            if MASKS[j, m]:
                context[samples] = context[samples] + signal * filled[samples, None, None]
                continue
            sources = [
                encoded.sources[cross_name(a, m)][frames.rows(a, shown[samples, a], samples)]
                for a in range(3)
                if MASKS[j, a]
            ]
            context[samples] = self.prompts.generated(j, m, sources) + signal
            valid[samples] = True
            filled[samples] = True
        # An absent stream keeps the teacher's absent token: no frame but zeros, and no type prompt.
        kinds = kinds * filled[:, None, None]
        seen = torch.ones_like(filled) if self._attend_padding else filled
        valid = torch.cat([valid, seen[:, None].expand(kinds.shape[:2])], dim=1)
        context = torch.cat([context, kinds], dim=1)
        perceiver = self.perceivers[MODALITIES[m]]
        return in_parts(lambda own, seen: perceiver(lay(own), seen), self._micro_batch, context, valid)


def create(context: Context) -> TaskOnly:
    """See ``cmad.methods.method``.

    Raises:
        UserError: prompts longer than a stream, or an option that is not allowed.
    """
    length = read_options(Options, context).prompt_length
    shortest = min(MODALITIES, key=lambda m: context.lengths[m])
    if length > context.lengths[shortest]:
        raise UserError(
            f"{PRESETS}/<data set>.yaml: systems.mplmm.prompt_length = {length}: must be at most "
            f"preprocess.max_frames.{shortest} = {context.lengths[shortest]}"
        )
    network = PromptedNetwork(
        context.teacher,
        context.widths,
        context.lengths,
        context.combination,
        length,
        context.settings.micro_batch,
    )
    # Not a Network by class, but used as one: encode, fuse, classifier.
    return TaskOnly(cast(Network, network), context.task, chances(context))
