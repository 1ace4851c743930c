"""What a report says, piece by piece, independent of how it is printed."""

from dataclasses import dataclass

from cmad.report.grid import Grid


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True)
class Link:
    """Words that lead elsewhere; ``target`` is relative to the folder of the reports."""

    text: str
    target: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences of several kinds; in a plain text, backticks enclose code."""

    parts: tuple[str | Strong | Link, ...]


@dataclass(frozen=True)
class Heading:
    """A heading; 1 is the report itself, 2 a data set, 3 a subject."""

    level: int
    text: str


@dataclass(frozen=True)
class Notes:
    """Footnotes of the table before, one a line."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Printed:
    """A table.

    Attributes:
        grid: its fields.
        csv: the file that holds its numbers with all digits, relative to the folder of the reports;
            empty where there is none.
        which: what to look for in that file, e.g. "metric accuracy".
    """

    grid: Grid
    csv: str = ""
    which: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        stem: its file in the folder of figures, without the suffix.
        caption: what it shows.
        csv: as in ``Printed``.
    """

    stem: str
    caption: str
    csv: str = ""


@dataclass(frozen=True)
class Listing:
    """A text to be read as it stands, such as YAML."""

    text: str


# A plain text is a paragraph.
Block = str | Paragraph | Heading | Notes | Printed | Picture | Listing
