"""The compared systems as the supplement's Table 6 has them: names, sets, and what of each is the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cmad.entries import Entry

Status = Literal["paper", "adapted", "reconstructed", "not stated"]

MARKS: Mapping[Status, str] = {"paper": "", "adapted": "*", "reconstructed": "†", "not stated": "?"}
ADDITION = "‡"


@dataclass(frozen=True)
class System:
    """What a reader must know of a system beside its numbers.

    Attributes:
        shown: its name in the paper.
        status: whether it is trained as published.
        note: what the status means for it, for a footnote.
        paper_set: the set in which the paper has it.
    """

    shown: str
    status: Status
    note: str = ""
    paper_set: Literal["C", "U"] = "U"


# By the name of a variant or of a system; ``docs/systems.md`` says more.
_SYSTEMS: Mapping[str, System] = {
    "tea": System("TEA", "paper"),
    "mmanet": System("MMANet", "adapted", "MMANet to this backbone and to regression"),
    "mplmm": System(
        "MPLMM", "adapted", "MPLMM to this backbone, whose Perceivers read its type prompts", "C"
    ),
    "umdf": System("UMDF", "reconstructed", "UMDF, whose equations and code were never found", "C"),
    "umdf_full": System(
        "UMDF (full)", "reconstructed", "UMDF (full), which adds its modules from what their names say", "C"
    ),
    "corrkd": System(
        "CorrKD",
        "adapted",
        "CorrKD to this backbone and to regression, with details of its formulas recalled and not read again",
        "C",
    ),
    "cmad_w": System("CMAD_w", "reconstructed", "CMAD_w, our reading of one sentence of the supplement"),
    "cmad_t": System("CMAD_t", "paper"),
    "cmad": System("CMAD", "paper"),
}
# Variants among the compared; the others change one part of CMAD.
_BEFORE, _AFTER = ("tea",), ("cmad_w", "cmad_t", "cmad")
# The task loss alone: what every system must beat.
BASELINE = "dropout"


def described(row: Entry) -> System:
    """What is known of a row; of a system that nobody described, only its name."""
    name = row.system or row.name
    return _SYSTEMS.get(name, System(name, "not stated"))


def shown(row: Entry) -> str:
    """The name of a compared row in the comparison and in the figure of drop ratios."""
    return row.name if row.name == BASELINE else described(row).shown


def is_addition(row: Entry) -> bool:
    """Whether the paper has this system in the other set only."""
    found = described(row)
    return found.status != "not stated" and row.customised != (found.paper_set == "C")


def mark(row: Entry) -> str:
    """What stands after the name of a row in every table; nothing for a variant of CMAD."""
    if row.system is None and row.name not in _SYSTEMS:
        return ""
    return MARKS[described(row).status] + ADDITION * is_addition(row)


def compared(rows: Sequence[Entry]) -> tuple[Entry, ...]:
    """The rows of the comparison in its order: set C, then set U with the paper's own."""
    by_name = {row.name: row for row in rows}
    variants = [name for name in (*_BEFORE, *_AFTER) if name in by_name]
    return (
        *(row for row in rows if row.customised),
        *(by_name[name] for name in variants if name in _BEFORE),
        *(row for row in rows if row.system is not None and not row.customised),
        *(by_name[name] for name in variants if name in _AFTER),
    )


def is_compared(row: Entry) -> bool:
    """Whether a row is in the comparison, the baseline included."""
    return row.system is not None or row.name in (*_BEFORE, *_AFTER, BASELINE)


def footnotes(rows: Iterable[Entry]) -> list[str]:
    """A sentence for each mark that these rows have."""
    rows = list(rows)
    found = {mark(row): row for row in rows}
    sentences = []
    for sign, text in ((MARKS["adapted"], "Adapted"), (MARKS["reconstructed"], "Reconstructed")):
        notes = [described(row).note for row in rows if MARKS[described(row).status] == sign]
        if notes:
            sentences.append(f"{sign} {text}: {'; '.join(dict.fromkeys(notes))}.")
    if any(ADDITION in each for each in found):
        sentences.append(
            f"{ADDITION} An addition that the paper lacks: it trains this system once for each combination."
        )
    if MARKS["not stated"] in found:
        sentences.append(
            f"{MARKS['not stated']} What of it is the paper's is not stated in `cmad/report/systems.py`."
        )
    return sentences
