"""What the numbers of a report come from: rows, parameters, data, code, libraries, machine, wall times.

Times, hardware and versions differ from run to run, so this is for the page, which is not tracked.
"""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from cmad.config.schema import Config
from cmad.entries import Entry
from cmad.report.blocks import Block, Heading, Listing, Printed
from cmad.report.grid import Field, Grid, Line, Part, text
from cmad.report.load import Cells, stage_of
from cmad.report.systems import described, mark
from cmad.report.table import Cell, source_id
from cmad.report.tables import REFERENCES
from cmad.report.times import seconds_field

_REFERENCES = {
    "constant": "fitted on train, sees no input",
    "ceiling": "the best possible predictor of generated data",
}
_UNKNOWN = "unknown"
# As /proc/cpuinfo names them, the widest first.
_VECTORS = ("avx512f", "avx2", "avx")


@dataclass(frozen=True)
class Origin:
    """What the report's reader cannot see in the cells.

    Attributes:
        revision: of the code.
        config: the parameters.
        seconds: by data set and row, see ``cmad.report.times.read_seconds``.
        stages: wall times of all stages that ran on this machine, by name.
        libraries: whose versions are stated.
    """

    revision: str
    config: Config
    seconds: Mapping[str, Mapping[str, float]]
    stages: Mapping[str, float]
    libraries: tuple[str, ...]


def provenance(of: Sequence[Cells], origin: Origin) -> tuple[Block, ...]:
    """The part of the page that every row leads to."""
    return (
        Heading(2, "Where it comes from"),
        "Names in the tables above lead to the line of their row here; under each table stands its CSV.",
        Heading(3, "Code, seeds and machine"),
        _pairs(_run(of, origin)),
        *_rows(of, origin),
        Heading(3, "Wall times"),
        "Of every stage, when it last ran on this machine. Stages restored from the cache have none. "
        "Where several stages run at once, each takes longer.",
        Printed(_times(origin.stages)),
        *_data(of),
        Heading(3, "Libraries"),
        _pairs(versions(origin.libraries)),
        Heading(3, "Parameters"),
        "As they stood in `params.yaml`, and under `presets` in `data/presets`, when this page was written, "
        "without the presets and definitions that the grid does not use.",
        Listing(yaml.safe_dump(used(of, origin.config), sort_keys=False, default_flow_style=None, width=100)),
    )


def used(of: Sequence[Cells], config: Config) -> dict[str, Any]:
    """The parameters behind the cells as plain lists and mappings."""
    everything: dict[str, Any] = plain(config)
    datasets = {cells.dataset for cells in of}
    rows = {row.name for cells in of for row in cells.rows}
    everything["definitions"] = {n: d for n, d in everything["definitions"].items() if n in rows}
    everything["presets"] = {n: p for n, p in everything["presets"].items() if n in datasets}
    return everything


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as dictionaries and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """The version of Python and of those of the libraries that are installed."""
    found = {"Python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str]:
    """The machine that runs this: what its times and, of the processor, the last bits of sums depend on."""
    cards = (_value(path, "Model") for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
    flags = _value(Path("/proc/cpuinfo"), "flags").split()
    return {
        "processor": _value(Path("/proc/cpuinfo"), "model name") or platform.processor() or _UNKNOWN,
        "vector instructions": next((name for name in _VECTORS if name in flags), _UNKNOWN),
        "cores": str(os.cpu_count() or _UNKNOWN),
        "memory": _memory(),
        "graphics cards": ", ".join(filter(None, cards)) or "none found",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def _value(path: Path, name: str) -> str:
    """The first value of a name in a file of "name: value" lines; "" where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name)
    return next(found, "")


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _run(of: Sequence[Cells], origin: Origin) -> dict[str, str]:
    seeds = dict.fromkeys(str(seed) for cells in of for seed in cells.seeds)
    here = {f"{name} of this machine": value for name, value in hardware().items()}
    return {
        "code revision": origin.revision,
        "seeds": ", ".join(seeds),
        "threads of torch": str(origin.config.threads),
        "device asked for": origin.config.device,
        "precision": origin.config.precision,
    } | here


def _rows(of: Sequence[Cells], origin: Origin) -> list[Block]:
    blocks: list[Block] = []
    for cells in of:
        models = {each["variant"]: each for each in cells.models.to_dict("records")}
        seconds = origin.seconds[cells.dataset]
        evaluated = text(f"evaluate{cells.suffix}@{cells.dataset}")
        lines = [_row(cells, row, models[row.name], origin.config, seconds) for row in cells.rows]
        lines += [
            Line(
                (text(name), text(_REFERENCES[r]), text("-"), evaluated, (), (), ()),
                anchor=source_id(cells.dataset, r),
            )
            for r, name in REFERENCES.items()
            if r in set(cells.references["variant"])
        ]
        heads = ("row", "what it is", "what it changes", "stage", "models per seed", "parameters", "seconds")
        blocks += [
            Heading(3, f"Rows of {cells.dataset}"),
            "What a variant changes is its section of `definitions`, laid over the section `student` of "
            f"`data/presets/{cells.dataset}.yaml`; of a system it is its section of `systems` there. "
            "Seconds are those of the stage that trains the row, all "
            "seeds together, where it ran on this machine.",
            Printed(Grid((heads,), tuple(lines))),
        ]
    return blocks


def _row(
    cells: Cells, row: Entry, model: Mapping[Any, Any], config: Config, seconds: Mapping[str, float]
) -> Line:
    return Line(
        (
            text(row.name),
            text(_what(row, config)),
            text(_changes(cells, row, config)),
            text(stage_of(cells.dataset, row, cells.suffix)),
            _number(model["models"]),
            _number(model["parameters"]),
            seconds_field(seconds.get(row.name)),
        ),
        mark(row),
        anchor=source_id(cells.dataset, row.name),
    )


def _what(row: Entry, config: Config) -> str:
    if row.system is None:
        return f"method {config.definitions[row.name].method}" if row.name in config.definitions else ""
    kind = "one model for each combination" if row.customised else "one model for all combinations"
    return f"{described(row).shown}, {kind}"


def _changes(cells: Cells, row: Entry, config: Config) -> str:
    if row.system is None:
        changed: Any = config.definitions[row.name].student if row.name in config.definitions else {}
    else:
        changed = config.presets[cells.dataset].systems.get(row.system, {})
    flow = yaml.safe_dump(plain(changed), default_flow_style=True, width=10_000).strip()
    return f"`{flow[1:-1]}`" if changed else "nothing"


def _data(of: Sequence[Cells]) -> list[Block]:
    lines = []
    for cells in of:
        store = f"{cells.dataset}: manifest of the store"
        lines.append(Line((text(store), text(f"`{cells.store}`"))))
        raw: Mapping[str, str] = cells.manifest.get("checksums", {})
        lines += [Line((text(f"{cells.dataset}: {n}"), text(f"`{digest}`"))) for n, digest in raw.items()]
        if not raw:
            lines.append(Line((text(f"{cells.dataset}: raw files"), text("none, the data are generated"))))
        encoder = cells.manifest.get("encoder")
        if encoder:
            name = f"{cells.dataset}: weights of {encoder['name']}"
            lines.append(Line((text(name), text(f"`{encoder['checksum']}`"))))
    return [Heading(3, "Data"), Printed(Grid((("file", "SHA-256"),), tuple(lines)))]


def _times(stages: Mapping[str, float]) -> Grid:
    lines = [Line((text(name), seconds_field(seconds))) for name, seconds in stages.items()]
    lines.append(Line((text("all of these"), seconds_field(sum(stages.values())))))
    return Grid((("stage", "seconds"),), tuple(lines))


def _pairs(values: Mapping[str, str]) -> Printed:
    lines = (Line((text(name), text(value))) for name, value in values.items())
    return Printed(Grid((("what", "value"),), tuple(lines)))


def _number(value: int) -> Field:
    return (Part(f"{value:,}".replace(",", "\N{THIN SPACE}"), cell=Cell(value)),)
