"""The report of all sections: kept as JSON, told as Markdown."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.section import Section
from cmad.files import whole_file


@dataclass(frozen=True)
class Entry:
    """A section as it was measured.

    Attributes:
        date: when it began.
        command: that measured it.
        seconds: wall, that measuring it took.
        machine: where; sections of one report may come from several.
        text: Markdown.
        figures: what JSON can say.
    """

    date: str
    command: str
    seconds: float
    machine: Machine
    text: str
    figures: Mapping[str, Any]


def read_entries(path: Path) -> dict[str, Entry]:
    """The sections measured before."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Entry(**(entry | {"machine": Machine(**entry["machine"])})) for name, entry in content.items()
    }


def write(
    title: str, sections: Iterable[Section], entries: Mapping[str, Entry], report: Path, numbers: Path
) -> None:
    """Write both files."""
    with whole_file(numbers) as aside:
        content = {name: asdict(entry) for name, entry in entries.items()}
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with whole_file(report) as aside:
        aside.write_text(markdown(title, sections, entries, numbers.name), encoding="utf-8")


def markdown(title: str, sections: Iterable[Section], entries: Mapping[str, Entry], numbers: str) -> str:
    """The whole report; sections that were not measured are named at the end.

    Args:
        numbers: the file beside it that has them as JSON.
    """
    sections = list(sections)
    measured = [section for section in sections if section.name in entries]
    parts = [
        f"# {title}\n\nWhen, where and by what each section was measured stands at its end; in float32 where "
        f"nothing else is\nsaid. The numbers as JSON: [{numbers}]({numbers}).\n"
    ]
    for section in measured:
        entry = entries[section.name]
        parts.append(f"## {section.title}\n\n{entry.text.strip()}\n\n{_origin(entry)}\n")
    if missing := [section.title for section in sections if section not in measured]:
        parts.append(f"Not measured: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _origin(entry: Entry) -> str:
    machine = entry.machine
    gpu = "" if machine.gpu is None else f"{machine.gpu} beside "
    allocator = f", {machine.allocator}" if machine.allocator else ""
    return (
        f"Measured {entry.date} in {entry.seconds:.0f} s by `{entry.command}` on {gpu}{machine.processor}\n"
        f"({machine.instructions}), {machine.cores} cores, {machine.threads} thread(s), "
        f"torch {machine.torch}, Python {machine.python},\n{machine.system}{allocator}."
    )
