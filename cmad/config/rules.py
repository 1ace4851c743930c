"""Rules that bind fields of one section to each other, or go beyond a type and a range.

A field may hold ``INVALID``; a rule that needs its value is then passed over.
"""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from cmad.config.kinds import allowed
from cmad.config.lists import check_no_repeats, check_not_empty
from cmad.config.names import shown
from cmad.config.schema import Evaluate, Generator, Network, PerModality, Preprocess, Student, Text

# The formats that are one pickle, that bring language as features, as words, and without context.
_PICKLED = ("mag", "mult", "mmsa", "hkt")
_FEATURES = ("demo", "mult", "cherma")
_WORDS = ("mag", "hkt")
_NO_CONTEXT = ("mag", "mmsa")
# What the labels of each published layout can be.
_TASKS: Mapping[str, tuple[str, ...]] = {
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
    if isinstance(task, str) and task not in _TASKS.get(name, (task,)):
        problems.append(f"{key}.task = {task}: must be {' or '.join(_TASKS[name])} for format {name}")
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
    ratios = [ratio for ratio in evaluate.drop_ratios if isinstance(ratio, float)]
    if ratios != sorted(set(ratios)):
        problems.append(f"{key}.drop_ratios = {shown(ratios)}: must be sorted, each ratio once")
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
    Evaluate: _check_evaluate,
}
