"""Rules that bind fields of one section to each other, or go beyond a type and a range.

A field may hold ``INVALID``; a rule that needs its value is then passed over.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cmad.config.kinds import allowed
from cmad.config.lists import check_no_repeats, check_not_empty
from cmad.config.names import shown
from cmad.config.schema import Evaluate, Generator, Network, PerModality, Preprocess, Student, Text


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
