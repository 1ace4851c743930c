"""Every knob of ``params.yaml`` and of the presets, as frozen dataclasses. Ranges stand in the field
metadata.

``cmad.config.values`` checks a file against these classes, ``cmad.config.rules`` holds what types and
ranges cannot say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


def bounded(low: float | None = None, high: float | None = None, *, above: float | None = None) -> Any:
    """Closed range [low, high] of a number, or of a list's items; ``above`` excludes its own value."""
    return field(metadata={"low": low, "high": high, "above": above})


def positive() -> Any:
    """A number above zero."""
    return bounded(above=0)


@dataclass(frozen=True)
class PerModality:
    """One whole number for each modality."""

    language: int = bounded(1)
    audio: int = bounded(1)
    vision: int = bounded(1)


@dataclass(frozen=True)
class Text:
    """How raw text becomes language.

    Attributes:
        encoder: "minilm" is all-MiniLM-L6-v2 of the text extra; anything else is the name or the local
            folder of a transformers model.
        fine_tune: store token ids and make the encoder part of teacher and student; false freezes it
            and stores its hidden states, one for each token.
        context: whether what was said before is put before a sample's text.
    """

    encoder: str
    fine_tune: bool
    context: bool


@dataclass(frozen=True)
class Generator:
    """The linear-Gaussian demo set (``cmad.raw.demo``).

    Attributes:
        seed: of the whole set; the three demo sets share their latents through it.
        train, dev, test: numbers of samples.
        missing_audio, missing_vision: share of samples that natively lack the modality.
    """

    seed: int = bounded(0)
    train: int = bounded(1)
    dev: int = bounded(1)
    test: int = bounded(1)
    missing_audio: float = bounded(0, 0.9)
    missing_vision: float = bounded(0, 0.9)


@dataclass(frozen=True)
class Preprocess:
    """From raw files to the store.

    Attributes:
        format: "folder" is the feature folder of ``data/README.md``, "demo" is generated, the others
            are the published layouts of ``data/README.md``.
        task: see ``cmad.task.Task``.
        max_frames: T, the most frames kept of each stream.
        standardise: modalities scaled to mean 0 and deviation 1 on the train split.
        half: modalities stored as float16.
        text: how raw text is encoded; null where language comes as features.
        generator: the demo set's numbers; null for other formats.
        file: name of the pickle inside the raw folder (mag, mult, mmsa, hkt); null for other formats.
        skip_bad: leave out samples of a published layout that cannot be used, and count them in the
            manifest, instead of stopping at the first.
    """

    format: Literal["demo", "folder", "mag", "mult", "mmsa", "hkt", "cherma"]
    task: Literal["regression", "classes", "binary"]
    max_frames: PerModality
    standardise: tuple[Literal["language", "audio", "vision"], ...]
    half: tuple[Literal["language", "audio", "vision"], ...]
    text: Text | None
    generator: Generator | None
    file: str | None
    skip_bad: bool


@dataclass(frozen=True, kw_only=True)
class Network:
    """The one architecture of teacher and student (spec section 1).

    Attributes:
        width: D.
        depth: Perceiver layers.
        latents: N, learnable latents of a Perceiver.
        heads: H of Perceiver and fusion transformer; must divide ``width``.
        head_width: d_h in the Perceiver; the authors' wiring makes it equal to ``heads``.
        kernels: Conv1d kernel sizes, odd (D1).
        fusion_layers, fusion_feedforward: the fusion transformer.
        transformer_dropout: inside the fusion transformer.
        fusion_dropout: after the fusion layer.
        perceiver_dropout: must be 0, see ``docs/deviations.md``.
        attend_padding: let zero-padded frames be attended to, as the authors do (D16).
    """

    width: int = bounded(1)
    depth: int = bounded(1)
    latents: int = bounded(1)
    heads: int = bounded(1)
    head_width: int = bounded(1)
    kernels: PerModality
    fusion_layers: int = bounded(1)
    fusion_feedforward: int = bounded(1)
    transformer_dropout: float = bounded(0, 0.95)
    fusion_dropout: float = bounded(0, 0.95)
    perceiver_dropout: float = bounded(0, 0.95)
    attend_padding: bool


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How weights are updated (spec section 5).

    Attributes:
        name: "adamw" decouples the weight decay, "adam" adds it to the gradient.
        milestones: epochs at which the learning rate is multiplied by 0.1.
        clip: largest global gradient norm; null for no clipping.
        renew_each_epoch: forget Adam's moments every epoch, as the authors' teacher does (B2).
    """

    name: Literal["adamw", "adam"]
    learning_rate: float = positive()
    weight_decay: float = bounded(0)
    milestones: tuple[int, ...] = bounded(0)
    clip: float | None = positive()
    renew_each_epoch: bool


@dataclass(frozen=True)
class ExistingTeacher:
    """A teacher trained elsewhere.

    Attributes:
        path: of a checkpoint that this project wrote, relative to the project.
        sha256: of the file, in hexadecimal.
    """

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Training the teacher on full input.

    Attributes:
        micro_batch: samples encoded at once, see ``Student``.
        checkpoint: a teacher to take in, for every seed, instead of training one; null to train.
        use_incomplete: train on samples that natively lack a modality too.
        select: "dev_loss" keeps the epoch with the best dev task loss, "dev_mse" the best
            mean squared error (the authors' measure, B4), "last" the last epoch (B3).
    """

    optimiser: Optimiser
    batch: int = bounded(2)
    micro_batch: int | None = bounded(1)
    epochs: int = bounded(1)
    use_incomplete: bool
    select: Literal["dev_loss", "dev_mse", "last"]
    checkpoint: ExistingTeacher | None


@dataclass(frozen=True, kw_only=True)
class Student:
    """Training a student. Which knobs a variant reads depends on its method.

    Attributes:
        micro_batch: samples encoded at once, to bound memory; null for the whole batch. Activations are
            then computed again for the gradient, which stays that of the whole batch.
        dropout_off: train with all dropout off, as the authors' code does by mistake (B1).
        sampler: chances of the training combinations, see ``cmad.combinations.SAMPLERS`` (D5).
        select: the epoch kept, by dev F1: "average" over the seven combinations, "full" for
            LAV alone as the authors do (B12).
        task_weight: factor of the task loss; 0 takes it out (Tables 11 and 12).
        sigma: factor of CAFD.
        gamma: factor of the auxiliary loss.
        tau: temperature of CAFD's similarities.
        consistency: CAFD variant: "full", "mse", "similarity", "direct" (R^ss to R^tt),
            "no_contrast" (without L^Sp).
        rho: scale of the MAR weights.
        warmup: G, epochs before the MAR weights take effect.
        weigh: the losses that MAR weighs: "both", "task", "auxiliary", "none".
        subtract_teacher: difficulty is student minus teacher loss (Eq. 7); false is CMAD_t.
        weights: "all" is Eq. 10, "weakest" is CMAD_w.
        unseen_weight: Psi of a combination that the banks never saw: 0 by Eq. 9.
        alpha: share of DKD's target term; beta is 1 - alpha.
        temperature: T_d of DKD.
        phi: of Eq. 13; it cancels.
    """

    optimiser: Optimiser
    batch: int = bounded(2)
    micro_batch: int | None = bounded(1)
    epochs: int = bounded(1)
    dropout_off: bool
    sampler: Literal["authors", "uniform"]
    select: Literal["average", "full"]
    task_weight: float = bounded(0)
    sigma: float = bounded(0)
    gamma: float = bounded(0)
    tau: float = positive()
    consistency: Literal["full", "mse", "similarity", "direct", "no_contrast"]
    rho: float = positive()
    warmup: int = bounded(1)
    weigh: Literal["both", "task", "auxiliary", "none"]
    subtract_teacher: bool
    weights: Literal["all", "weakest"]
    unseen_weight: float = bounded(0)
    alpha: float = bounded(0, 1)
    temperature: float = positive()
    phi: float = positive()


@dataclass(frozen=True)
class Keep:
    """What a trained student or system leaves on disk. Teachers are kept whole: students need them.

    Attributes:
        weights: "full" keeps the best epoch's network; "difference" the same with the language encoder as
            its difference to the pretrained one in half precision; "none" keeps no network but what
            evaluation needs of it, computed on test right after the training.
        drop_ratios, seed: read with weights none alone: the ratios and the seed of ``Evaluate`` that
            predictions are kept for.
    """

    weights: Literal["full", "difference", "none"]
    drop_ratios: tuple[float, ...] = bounded(high=1, above=0)
    seed: int = bounded(0)


@dataclass(frozen=True)
class Evaluate:
    """Scoring on test.

    Attributes:
        drop_ratios: p, shares of frames dropped from every modality (D17).
        seed: of the fixed uniform number of each frame, and of the bootstrap.
        batch: samples encoded at once; changes results by rounding alone.
        resamples: of the paired bootstrap.
        confidence: of its interval.
    """

    drop_ratios: tuple[float, ...] = bounded(high=1, above=0)
    seed: int = bounded(0)
    batch: int = bounded(1)
    resamples: int = bounded(100)
    confidence: float = bounded(0.5, 0.999)


@dataclass(frozen=True)
class Preset:
    """All settings of one data set.

    ``systems`` holds a section for each comparison system, checked by the system's own file.
    """

    preprocess: Preprocess
    network: Network
    teacher: Teacher
    student: Student
    keep: Keep
    evaluate: Evaluate
    systems: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Definition:
    """A variant: a method, and what it changes in the preset's student section.

    ``student`` is a nested mapping of overrides, e.g. ``{"sigma": 0.0}``.
    """

    method: Literal["tea", "dropout", "cmad"]
    student: Mapping[str, Any]


@dataclass(frozen=True)
class Also:
    """A second grid beside the main one, with the same seeds and no comparison systems.

    Attributes:
        datasets: none of those of the main grid.
        variants, sweeps: as in the main grid; the values are the same.
    """

    datasets: tuple[str, ...]
    variants: tuple[str, ...]
    sweeps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The whole of ``params.yaml``.

    Attributes:
        datasets, variants, seeds: the grid.
        unified: comparison systems trained once for all seven combinations.
        customised: comparison systems trained once for each combination.
        sweeps: knobs of the student section; ``cmad`` is trained with each of their values.
        sweep_values: those values, by knob.
        also: a second grid.
        threads: of torch; part of the result (two thread counts give two sets of bits).
        device: "auto" takes a GPU where there is one.
        precision: of the networks' forward passes; "bf16" is ``torch.autocast``. Weights, losses, optimiser
            and scores are float32 either way, as is the frozen encoder that preprocesses text.
    """

    datasets: tuple[str, ...]
    variants: tuple[str, ...]
    unified: tuple[str, ...]
    customised: tuple[str, ...]
    sweeps: tuple[str, ...]
    sweep_values: Mapping[str, tuple[float, ...]]
    also: Also
    seeds: tuple[int, ...] = bounded(0)
    # Far more than any machine has; torch itself fails beyond 2^31 - 1.
    threads: int = bounded(1, 4096)
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bf16"]
    definitions: Mapping[str, Definition]


@dataclass(frozen=True, kw_only=True)
class Config(Experiment):
    """All that a user sets: ``params.yaml``, and of each data set ``data/presets/<data set>.yaml``."""

    presets: Mapping[str, Preset]
