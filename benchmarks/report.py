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
        text: Markdown.
        figures: what JSON can say.
    """

    date: str
    command: str
    seconds: float
    text: str
    figures: Mapping[str, Any]


def read_entries(path: Path, machine: Machine) -> dict[str, Entry]:
    """The sections measured before on the same machine with the same versions and threads; else none."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["machine"] != asdict(machine):
        return {}
    return {name: Entry(**entry) for name, entry in content["sections"].items()}


def write(
    title: str,
    sections: Iterable[Section],
    entries: Mapping[str, Entry],
    machine: Machine,
    report: Path,
    numbers: Path,
) -> None:
    """Write both files."""
    with whole_file(numbers) as aside:
        content = {
            "machine": asdict(machine),
            "sections": {name: asdict(entry) for name, entry in entries.items()},
        }
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with whole_file(report) as aside:
        aside.write_text(markdown(title, sections, entries, machine, numbers.name), encoding="utf-8")


def markdown(
    title: str, sections: Iterable[Section], entries: Mapping[str, Entry], machine: Machine, numbers: str
) -> str:
    """The whole report; sections that were not measured are named at the end.

    Args:
        numbers: the file beside it that has them as JSON.
    """
    sections = list(sections)
    measured = [section for section in sections if section.name in entries]
    parts = [_head(title, machine, [entries[section.name] for section in measured], numbers)]
    for section in measured:
        entry = entries[section.name]
        when = f"Measured {entry.date} in {entry.seconds:.0f} s by `{entry.command}`."
        parts.append(f"## {section.title}\n\n{entry.text.strip()}\n\n{when}\n")
    if missing := [section.title for section in sections if section not in measured]:
        parts.append(f"Not measured: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _head(title: str, machine: Machine, entries: list[Entry], numbers: str) -> str:
    """What was measured, where, when and how."""
    latest = max(entries, key=lambda entry: entry.date)
    gpu = "" if machine.gpu is None else f"{machine.gpu} beside "
    return f"""\
# {title}

`{latest.command}`, {latest.date}, on {gpu}{machine.processor} ({machine.instructions}),
{machine.cores} cores, {machine.threads} thread(s), torch {machine.torch}, Python {machine.python},
{machine.system}; fp32 where nothing else is said. The numbers as JSON: [{numbers}]({numbers}).
"""
