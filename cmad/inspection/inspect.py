"""From a path to a text and pictures about what is there."""

from pathlib import Path

from cmad.files import whole_file
from cmad.inspection.compare import nearest
from cmad.inspection.look import look
from cmad.inspection.markdown import gist, markdown
from cmad.inspection.opening import open_raw
from cmad.inspection.pictures import label_picture, length_picture
from cmad.raw.layouts import Layout
from cmad.task import Kind

TEXT, LENGTHS, LABELS = "inspection.md", "lengths.png", "labels.png"


def inspect(path: Path, layout: Layout | None, kind: Kind | None, out: Path) -> str:
    """Look at raw files and write ``inspection.md``, ``lengths.png`` and ``labels.png``.

    Args:
        path: see ``cmad.inspection.opening.open_raw``.
        layout, kind: instead of those that are recognised.
        out: folder to write into; other files there are left alone.

    Returns:
        The gist, a line each, and where the rest is.

    Raises:
        UserError: nothing is there, or it cannot be read.
    """
    opened = open_raw(path, layout, kind)
    found = look(opened.raw, opened.kind)
    title = path.resolve().name
    published = nearest(found, opened.layout, path.name)
    with (
        whole_file(out / LENGTHS) as lengths,
        whole_file(out / LABELS) as labels,
        whole_file(out / TEXT) as text,
    ):
        length_picture(title, found, lengths)
        label_picture(title, found, labels)
        text.write_text(markdown(title, found, opened.layout, published, (LENGTHS, LABELS)), encoding="utf-8")
    return "\n".join([*gist(found, opened.layout, published), f"more: {out / TEXT}"])
