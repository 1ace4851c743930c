"""Rules that bind fields of one section to each other, or go beyond a type and a range.

A field may hold ``INVALID``; a rule that needs its value is then passed over.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from cmad.config.kinds import allowed
from cmad.config.lists import check_no_repeats, check_not_empty
from cmad.config.names import shown
from cmad.config.schema import (
    Evaluate,
    ExistingTeacher,
    Generator,
    Keep,
    Network,
    PerModality,
    Preprocess,
    Preset,
    Student,
    Text,
)


def check_section(section: Any, key: str) -> list[str]:
    """The problems of a section whose fields were each checked already.

    Args:
        section: a record of ``cmad.config.schema``.
        key: its full dotted key.
    """
    rule = _RULES.get(type(section))
    return rule(section, key) if rule else []


def _check_preprocess(preprocess: Preprocess, key: str) -> list[str]:
    problems = check_no_repeats(f"{key}.standardise", preprocess.standardise)
    problems += check_no_repeats(f"{key}.half", preprocess.half) + _check_text(preprocess, key)
    if preprocess.format == "demo" and preprocess.generator is None:
        problems.append(f"{key}.generator = null: format demo needs {allowed(Generator, {})}")
    if preprocess.format == "demo" and isinstance(preprocess.text, Text):
        problems.append(f"{key}.text: must be null for format demo, whose language comes as features")
    if preprocess.format == "folder" and isinstance(preprocess.generator, Generator):
        problems.append(f"{key}.generator: must be null for format folder, which generates nothing")
    return problems


def _check_text(preprocess: Preprocess, key: str) -> list[str]:
    text = preprocess.text
    if not isinstance(text, Text):
        return []
    problems = []
    if isinstance(text.encoder, str) and not text.encoder.strip():
        problems.append(f"{key}.text.encoder = {shown(text.encoder)}: must name a model, a folder or minilm")
    if text.fine_tune is True:
        lists = {"standardise": preprocess.standardise, "half": preprocess.half}
        problems += [
            f"{key}.{knob}: must not hold language where text.fine_tune is true: the store has its token ids"
            for knob, modalities in lists.items()
            if isinstance(modalities, tuple) and "language" in modalities
        ]
    return problems


def _check_network(network: Network, key: str) -> list[str]:
    problems = []
    width, heads, dropout = network.width, network.heads, network.perceiver_dropout
    if isinstance(width, int) and isinstance(heads, int) and width % heads:
        problems.append(f"{key}.width = {width}: must be a multiple of heads = {heads}")
    if isinstance(network.kernels, PerModality):
        for modality, size in vars(network.kernels).items():
            if isinstance(size, int) and size % 2 == 0:
                problems.append(f"{key}.kernels.{modality} = {size}: must be odd")
    if isinstance(dropout, float) and dropout != 0:
        problems.append(
            f"{key}.perceiver_dropout = {dropout}: must be 0; a sample's absent modality is one shared"
            " token; dropout inside the Perceiver would make that untrue"
        )
    return problems


def _check_evaluate(evaluate: Evaluate, key: str) -> list[str]:
    if not isinstance(evaluate.drop_ratios, tuple):
        return []
    problems = check_not_empty(f"{key}.drop_ratios", evaluate.drop_ratios)
    return problems + _check_sorted(f"{key}.drop_ratios", evaluate.drop_ratios)


def _check_sorted(key: str, values: Any) -> list[str]:
    if not isinstance(values, tuple):
        return []
    ratios = [ratio for ratio in values if isinstance(ratio, float)]
    if ratios != sorted(set(ratios)):
        return [f"{key} = {shown(ratios)}: must be sorted, each ratio once"]
    return []


def _check_keep(keep: Keep, key: str) -> list[str]:
    return _check_sorted(f"{key}.drop_ratios", keep.drop_ratios)


def _check_existing(existing: ExistingTeacher, key: str) -> list[str]:
    digest = existing.sha256
    if isinstance(digest, str) and not re.fullmatch("[0-9a-f]{64}", digest):
        return [f"{key}.sha256 = {shown(digest)}: must be 64 digits of 0-9 and a-f, as sha256sum prints them"]
    return []


def _check_preset(preset: Preset, key: str) -> list[str]:
    """Without networks, evaluation has no more than what was kept."""
    keep, evaluate = preset.keep, preset.evaluate
    if not isinstance(keep, Keep) or not isinstance(evaluate, Evaluate) or keep.weights != "none":
        return []
    problems = []
    if isinstance(keep.drop_ratios, tuple) and isinstance(evaluate.drop_ratios, tuple):
        lost = [ratio for ratio in evaluate.drop_ratios if ratio not in keep.drop_ratios]
        if lost:
            problems.append(
                f"{key}.evaluate.drop_ratios: {shown(lost)} is not in {key}.keep.drop_ratios, and with"
                " keep.weights none there is no network to run; add it there, or take it out here"
            )
    seeds = (keep.seed, evaluate.seed)
    if all(isinstance(seed, int) for seed in seeds) and keep.seed != evaluate.seed:
        problems.append(
            f"{key}.evaluate.seed = {shown(evaluate.seed)}: must be {key}.keep.seed = {shown(keep.seed)}"
            " with keep.weights none"
        )
    return problems


def _check_student(student: Student, key: str) -> list[str]:
    warmup, epochs = student.warmup, student.epochs
    if isinstance(warmup, int) and isinstance(epochs, int) and warmup >= epochs:
        return [f"{key}.warmup = {warmup}: must be below epochs = {epochs}; weigh: none does without MAR"]
    return []


_RULES: Mapping[type, Callable[[Any, str], list[str]]] = {
    Preprocess: _check_preprocess,
    Network: _check_network,
    Student: _check_student,
    ExistingTeacher: _check_existing,
    Keep: _check_keep,
    Evaluate: _check_evaluate,
    Preset: _check_preset,
}
