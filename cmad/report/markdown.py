"""What a report says as Markdown, which reads as plain text too."""

from collections.abc import Iterable

from cmad.report.blocks import Block, Heading, Link, Listing, Notes, Paragraph, Picture, Printed, Strong
from cmad.report.grid import Field, Grid, Line
from cmad.report.table import aligned, escaped


def written(blocks: Iterable[Block]) -> str:
    """A report in Markdown."""
    return "\n\n".join(_block(block).strip("\n") for block in blocks) + "\n"


def _block(block: Block) -> str:
    match block:
        case str():
            return block
        case Paragraph(parts):
            return "".join(map(_inline, parts))
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Notes(lines):
            return "  \n".join(map(escaped, lines))
        case Printed(grid):
            return _grid(grid)
        case Picture(stem, caption):
            return f"![{caption}](figures/{stem}.png)"
        case Listing(text):
            return f"```\n{text.rstrip()}\n```"


def _inline(part: str | Strong | Link) -> str:
    match part:
        case str():
            return part
        case Strong(text):
            return f"**{text}**"
        case Link(text, target):
            return f"[{text}]({target})"


def _grid(grid: Grid) -> str:
    return aligned([*grid.heads, *(_line(grid, line) for line in grid.lines)], grid.names)


def _line(grid: Grid, line: Line) -> list[str]:
    texts = [_field(field) for field in line.fields]
    texts[grid.names - 1] += escaped(line.mark)
    return texts


def _field(field: Field) -> str:
    return " / ".join(f"**{part.whole}**" if part.best else part.whole for part in field)
