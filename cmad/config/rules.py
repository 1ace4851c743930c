"""Rules that bind fields of one section to each other, or go beyond a type and a range.

A field may hold ``INVALID``; a rule that needs its value is then passed over.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from cmad.config.kinds import allowed
from cmad.config.lists import check_no_repeats, check_not_empty
from cmad.config.names import check_folder_names, shown
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

# The formats that are one pickle, that bring language as features, as words, and without context.
_PICKLED = ("mag", "mult", "mmsa", "hkt")
_FEATURES = ("demo", "mult", "cherma")
_WORDS = ("mag", "hkt")
_NO_CONTEXT = ("mag", "mmsa")
# What the labels of each published layout can be.
TASKS: Mapping[str, tuple[str, ...]] = {
    "mag": ("regression",),
    "mult": ("regression", "binary"),
    "mmsa": ("regression", "classes"),
    "hkt": ("classes",),
    "cherma": ("classes",),
}


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
    if not isinstance(preprocess.format, str):
        return problems
    return (
        problems
        + _check_generator(preprocess, key)
        + _check_file(preprocess, key)
        + _check_layout(preprocess, key)
    )


def _check_generator(preprocess: Preprocess, key: str) -> list[str]:
    name = preprocess.format
    if name == "demo" and preprocess.generator is None:
        return [f"{key}.generator = null: format demo needs {allowed(Generator, {})}"]
    if name != "demo" and isinstance(preprocess.generator, Generator):
        return [f"{key}.generator: must be null for format {name}, which generates nothing"]
    return []


def _check_file(preprocess: Preprocess, key: str) -> list[str]:
    name, file = preprocess.format, preprocess.file
    if name in _PICKLED and file is None:
        return [f"{key}.file = null: format {name} needs the name of the pickle in the raw folder"]
    if name not in _PICKLED and isinstance(file, str):
        return [f"{key}.file = {shown(file)}: must be null for format {name}, which reads no pickle"]
    if isinstance(file, str) and (not file or file != PurePosixPath(file).name):
        return [f"{key}.file = {shown(file)}: must be a plain file name, without a folder"]
    return []


def _check_layout(preprocess: Preprocess, key: str) -> list[str]:
    name, task, text = preprocess.format, preprocess.task, preprocess.text
    problems = []
    if isinstance(task, str) and task not in TASKS.get(name, (task,)):
        problems.append(f"{key}.task = {task}: must be {' or '.join(TASKS[name])} for format {name}")
    if name in _FEATURES and isinstance(text, Text):
        problems.append(f"{key}.text: must be null for format {name}, whose language comes as features")
    if name in _WORDS and text is None:
        problems.append(
            f"{key}.text = null: format {name} brings words, not features; set encoder and context"
        )
    if name in _NO_CONTEXT and isinstance(text, Text) and text.context is True:
        problems.append(f"{key}.text.context = true: must be false for format {name}, which has no context")
    if preprocess.skip_bad is True and name in ("demo", "folder"):
        problems.append(f"{key}.skip_bad = true: must be false for format {name}; mend the samples instead")
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


def _check_preset(preset: Preset, _: str) -> list[str]:
    return _check_kept(preset) + check_folder_names("systems", preset.systems)


def _check_kept(preset: Preset) -> list[str]:
    """Without networks, evaluation has no more than what was kept."""
    keep, evaluate = preset.keep, preset.evaluate
    if not isinstance(keep, Keep) or not isinstance(evaluate, Evaluate) or keep.weights != "none":
        return []
    problems = []
    kept, wanted = keep.drop_ratios, evaluate.drop_ratios
    if isinstance(kept, tuple) and isinstance(wanted, tuple) and all(isinstance(r, float) for r in kept):
        lost = [ratio for ratio in wanted if isinstance(ratio, float) and ratio not in kept]
        if lost:
            problems.append(
                f"evaluate.drop_ratios: {shown(lost)} is not in keep.drop_ratios, and with"
                " keep.weights none there is no network to run; add it there, or take it out here"
            )
    seeds = (keep.seed, evaluate.seed)
    if all(isinstance(seed, int) for seed in seeds) and keep.seed != evaluate.seed:
        problems.append(
            f"evaluate.seed = {shown(evaluate.seed)}: must be keep.seed = {shown(keep.seed)}"
            " with keep.weights none"
        )
    return problems


def _check_student(student: Student, key: str) -> list[str]:
    warmup, epochs = student.warmup, student.epochs
    problems = []
    if isinstance(warmup, int) and isinstance(epochs, int) and warmup >= epochs:
        problems.append(
            f"{key}.warmup = {warmup}: must be below epochs = {epochs}; weigh: none does without MAR"
        )
    if student.task_weight == student.sigma == student.gamma == 0:
        problems.append(f"{key}: task_weight, sigma and gamma are all 0, which leaves no loss; raise one")
    return problems


_RULES: Mapping[type, Callable[[Any, str], list[str]]] = {
    Preprocess: _check_preprocess,
    Network: _check_network,
    Student: _check_student,
    ExistingTeacher: _check_existing,
    Keep: _check_keep,
    Evaluate: _check_evaluate,
    Preset: _check_preset,
}
