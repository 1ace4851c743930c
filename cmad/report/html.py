"""What a report says as one HTML file that needs no network: style, script and figures are inside."""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from cmad.report.blocks import Block, Heading, Link, Listing, Notes, Paragraph, Picture, Printed, Strong
from cmad.report.grid import Field, Grid, Line, Part

_HERE = Path(__file__).parent
# Nothing but what is in the file may be loaded: a page that asks the network for anything fails its test.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SLUG = re.compile(r"[^\w]+")
_CODE = re.compile(r"`([^`]+)`")


def page(title: str, blocks: Sequence[Block], figures: Path) -> str:
    """A whole page.

    Args:
        title: of the window.
        blocks: what it says.
        figures: the folder with the pictures that the blocks name.

    Raises:
        OSError: a picture is missing or unreadable.
    """
    ids = _ids(blocks)
    anchors = _anchors(blocks)
    body = "\n".join(_block(block, ids.get(i, ""), anchors, figures) for i, block in enumerate(blocks))
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Without it a browser asks for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_contents(blocks, ids)}\n<main>\n{body}\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _ids(blocks: Sequence[Block]) -> dict[int, str]:
    """By place of a heading its id: a subject's has the name of its data set before it."""
    found: dict[int, str] = {}
    above = ""
    for i, block in enumerate(blocks):
        if isinstance(block, Heading):
            slug = _SLUG.sub("-", block.text.lower()).strip("-")
            if block.level == 2:
                above = slug
            found[i] = f"{above}-{slug}" if block.level > 2 else slug
    return found


def _anchors(blocks: Iterable[Block]) -> set[str]:
    return {line.anchor for each in blocks if isinstance(each, Printed) for line in each.grid.lines} - {""}


def _contents(blocks: Sequence[Block], ids: Mapping[int, str]) -> str:
    parts: list[tuple[str, list[str]]] = []
    for i, block in enumerate(blocks):
        if isinstance(block, Heading) and block.level > 1:
            entry = f'<a href="#{ids[i]}">{escape(block.text)}</a>'
            if block.level == 2:
                parts.append((entry, []))
            else:
                parts[-1][1].append(f"<li>{entry}</li>")
    items = "\n".join(f"<li>{part}\n<ol>{''.join(subjects)}</ol></li>" for part, subjects in parts)
    return f'<nav aria-label="Contents">\n<strong>Contents</strong>\n<ol>\n{items}\n</ol>\n</nav>'


def _block(block: Block, own_id: str, anchors: set[str], figures: Path) -> str:
    match block:
        case str():
            return f"<p>{_words(block)}</p>"
        case Paragraph(parts):
            return f"<p>{''.join(map(_inline, parts))}</p>"
        case Heading(level, text):
            return f'<h{level} id="{own_id}">{escape(text)}</h{level}>'
        case Notes(lines):
            return f'<p class="notes">{"<br>".join(map(_words, lines))}</p>'
        case Printed():
            return _printed(block, anchors)
        case Picture():
            return _picture(block, figures)
        case Listing(text):
            return f'<pre tabindex="0">{escape(text)}</pre>'


def _inline(part: str | Strong | Link) -> str:
    match part:
        case str():
            return _words(part)
        case Strong(text):
            return f"<strong>{escape(text)}</strong>"
        case Link(text, target):
            return _link(target, text)


def _words(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def _printed(block: Printed, anchors: set[str]) -> str:
    grid = block.grid
    measures = _measures(grid)
    said = []
    if measures:
        said.append(f"In each field {', below it '.join(map(escape, measures))}.")
    if block.csv:
        which = f", {escape(block.which)}" if block.which else ""
        said.append(f"All digits: {_link(block.csv, block.csv)}{which}.")
    below = f'<p class="source">{" ".join(said)}</p>\n' if said else ""
    data = {"csv": block.csv, "which": block.which, "m": "|".join(measures)}
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items() if value)
    return (
        f'<div class="table"{attributes}>\n<div class="scroll" tabindex="0">\n'
        f"<table>\n{_head(grid)}\n{_bodies(grid, anchors)}\n</table>\n</div>\n{below}</div>"
    )


def _measures(grid: Grid) -> list[str]:
    """What the parts of a field are, where there are several."""
    several = [field for line in grid.lines for field in line.fields if len(field) > 1]
    return [part.measure for part in several[0]] if several else []


def _head(grid: Grid) -> str:
    first, *counts = grid.heads
    lines = [
        "<tr>"
        + "".join(f'<th scope="col"{_name(grid, j)}>{escape(t)}</th>' for j, t in enumerate(first))
        + "</tr>"
    ]
    for head in counts:
        fields = (
            f'<th scope="row" class="name">{escape(t)}</th>' if j < grid.names else f"<td>{escape(t)}</td>"
            for j, t in enumerate(head)
        )
        lines.append(f'<tr class="n">{"".join(fields)}</tr>')
    return f"<thead>\n{chr(10).join(lines)}\n</thead>"


def _name(grid: Grid, column: int) -> str:
    return ' class="name"' if column < grid.names or _is_words(grid, column) else ""


def _is_words(grid: Grid, column: int) -> bool:
    """Whether a column holds no number."""
    return all(part.cell is None for line in grid.lines for part in line.fields[column])


def _bodies(grid: Grid, anchors: set[str]) -> str:
    words = [_is_words(grid, j) for j in range(len(grid.heads[0]))]
    lines = [_line(grid, line, words, anchors) for line in grid.lines]
    groups = (
        [lines]
        if grid.together == 1
        else [lines[i : i + grid.together] for i in range(0, len(lines), grid.together)]
    )
    return "\n".join(f"<tbody>\n{chr(10).join(group)}\n</tbody>" for group in groups)


def _line(grid: Grid, line: Line, words: Sequence[bool], anchors: set[str]) -> str:
    names = ["".join(part.text for part in field) for field in line.fields[: grid.names]]
    last = escape(names[-1])
    if line.source in anchors:
        last = f'<a href="#{escape(line.source)}">{last}</a>'
    # The first name may be the set, which no row is called by.
    fields = [f'<td class="name">{escape(name)}</td>' for name in names[:-1]]
    fields.append(f'<th scope="row" class="name">{last}{escape(line.mark)}</th>')
    fields += [_field(field, words[j]) for j, field in enumerate(line.fields) if j >= grid.names]
    own = f' id="{escape(line.anchor)}"' if line.anchor else ""
    return f"<tr{own}>{''.join(fields)}</tr>"


def _field(field: Field, words: bool) -> str:
    if words:
        return f'<td class="words">{" ".join(_words(part.text) for part in field)}</td>'
    known = [part.cell for part in field if part.cell is not None and not math.isnan(part.cell.value)]
    data = ""
    if known and len(known) == len(field):
        data = f' data-v="{"|".join(f"{cell.value:.9g}" for cell in known)}"'
        spreads = [_spread(part) for part in field]
        if any(spreads):
            data += f' data-s="{"|".join(spreads)}"'
    if len(field) > 1:
        return f'<td class="pair"{data}>{"".join(f"<span>{_part(part)}</span>" for part in field)}</td>'
    return f"<td{data}>{''.join(map(_part, field))}</td>"


def _part(part: Part) -> str:
    spread = f"<i>{escape(part.spread)}</i>" if part.spread else ""
    text = escape(part.text) + spread
    return f"<b>{text}</b>" if part.best else text


def _spread(part: Part) -> str:
    """What is known of a number's spread with more digits than are shown, only where any is shown."""
    if part.cell is None or not part.spread:
        return ""
    text = "" if math.isnan(part.cell.std) else f" ± {part.cell.std:.4g}"
    return text if math.isnan(part.cell.low) else f"{text} [{part.cell.low:.6g}, {part.cell.high:.6g}]"


def _picture(block: Picture, figures: Path) -> str:
    data, size = _small_png(figures / f"{block.stem}.png")
    csv = f" Its numbers: {_link(block.csv, block.csv)}." if block.csv else ""
    return (
        f'<figure id="{escape(block.stem)}">\n<img alt="{escape(block.caption)}" '
        f'width="{size[0]}" height="{size[1]}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{escape(block.caption)}.{csv}</figcaption>\n</figure>"
    )


def _small_png(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture in base64 with at most 256 colours, which figures of lines do not tell from all; its size."""
    with Image.open(path) as full:
        small = full.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    data = BytesIO()
    small.save(data, "PNG", optimize=True)
    return base64.b64encode(data.getvalue()).decode(), small.size
