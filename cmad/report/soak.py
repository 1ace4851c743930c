"""The last result of the long checks, as the page shows it.

It is no input of the report that DVC knows: it holds times, and an old page is no wrong one.
"""

from pathlib import Path

from cmad.report.blocks import Block, Heading, Link, Paragraph, Printed
from cmad.report.grid import Field, Grid, Line, Part, text
from cmad.report.table import Cell

# Below the folder of the reports; ``make soak`` writes it.
NAME = "soak.md"


def long_checks(reports: Path) -> tuple[Block, ...]:
    """The result as it was when the page was written, and where the last one is; nothing where there is none.

    Args:
        reports: the folder of the reports.
    """
    try:
        lines = (reports / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    rows = [_fields(line) for line in lines if line.startswith("|")]
    # Heads, a rule, then the checks.
    if len(rows) < 3 or any(len(row) != len(rows[0]) for row in rows):
        return ()
    said = [line for line in lines if line and not line.startswith(("#", "|"))]
    table = tuple(Line(tuple(map(_field, row))) for row in rows[2:])
    return (
        Heading(3, "The long checks"),
        *said,
        Printed(Grid((tuple(rows[0]),), table)),
        Paragraph(("As of when this page was written; the last result stands in ", Link(NAME, NAME), ".")),
    )


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.strip().strip("|").split("|")]


def _field(words: str) -> Field:
    words = words.strip("`")
    try:
        return (Part(words, cell=Cell(float(words))),)
    except ValueError:
        return text(words)
