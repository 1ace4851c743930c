"""Random edits of the real params.yaml: each is taken, or refused in lines that name where.

What is taken then goes through everything that stages and the plan do with it before their work begins.
"""

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cmad.combinations import COMBINATIONS
from cmad.config import stages
from cmad.config.load import check, load
from cmad.config.names import dotted
from cmad.config.schema import Config, Preset
from cmad.config.yaml12 import read_yaml
from cmad.device import choose_device
from cmad.errors import UserError
from cmad.planning.calibrate import student_method
from cmad.planning.cells import cells, grids
from cmad.planning.shapes import shapes_of
from cmad.randomness import generator, torch_threads
from tests.project import ROOT, small_params

PARAMS = ROOT / "params.yaml"
NAME = "params.yaml"
Way = tuple[Any, ...]

# One for each kind of value that YAML knows, and for each way a number can be wrong.
OTHERS: tuple[Any, ...] = (
    *(-1, 0, 1, 7, -0.5, 1.5, 10**9, -(2**63), 2**63 - 1),
    *(1e-300, 1e300, math.nan, math.inf, -math.inf),
    *("", " ", "demo", "tea", "1e-05", "../up", "a\nb", "ünicode", "x" * 200),
    *([], [1], ["demo", "demo"], [None], [[]], [-1, 2.5, "a"]),
    *({}, {"a": 1}, {"sigma": -1}, {7: None}, {"method": "tea", "student": {}}),
    *(None, True, False),
)


@cache
def text() -> str:
    return PARAMS.read_text(encoding="utf-8")


@cache
def data() -> Any:
    return read_yaml(text(), NAME)


def below(value: Any, way: Way = ()) -> Iterator[Way]:
    """The way to every place of the file below its top."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in inner:
        yield (*way, name)
        yield from below(each, (*way, name))


@cache
def places() -> tuple[Way, ...]:
    return tuple(below(data()))


def at(value: Any, way: Way) -> Any:
    for name in way:
        value = value[name]
    return value


# What is done at a place; each takes the chance, what holds the place, and its name there, and gives the
# names that it touched, none where it cannot be done here.


def drop(_: random.Random, holder: Any, name: Any) -> list[Any]:
    del holder[name]
    return [name]


def replace(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    holder[name] = deepcopy(chance.choice(OTHERS))
    return [name]


def turn(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    """Another number of the same kind."""
    if type(holder[name]) not in (int, float):
        return []
    holder[name] = holder[name] * chance.choice([-1, 0, 2, 1000]) - chance.choice([0, 1])
    return [name]


def wrap(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    holder[name] = chance.choice([[holder[name]], {"value": holder[name]}, str(holder[name])])
    return [name]


def add(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    """A key or an item that is not known."""
    inner = holder[name]
    if isinstance(inner, dict):
        inner[chance.choice(["sigam", "new", "", "a.b", "a\nb", 7, None, True])] = chance.choice(OTHERS)
    elif isinstance(inner, list):
        inner.insert(chance.randint(0, len(inner)), chance.choice(OTHERS))
    return [name] if isinstance(inner, dict | list) else []


def repeat(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    inner = holder[name]
    if not isinstance(inner, list) or not inner:
        return []
    inner.append(chance.choice(inner))
    return [name]


def empty(_: random.Random, holder: Any, name: Any) -> list[Any]:
    inner = holder[name]
    if not isinstance(inner, list | dict):
        return []
    inner.clear()
    return [name]


def rename(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    """As a slip of the pen would."""
    if not isinstance(holder, dict):
        return []
    letters = list(name)
    letters[chance.randrange(len(letters))] = chance.choice("abz_-9 ")
    new = "".join(letters)
    holder[new] = holder.pop(name)
    return [name, new]


def exchange(chance: random.Random, holder: Any, name: Any) -> list[Any]:
    """Two neighbours, such as two presets, take each other's place."""
    names = list(holder) if isinstance(holder, dict) else range(len(holder))
    other = chance.choice(names)
    holder[name], holder[other] = holder[other], holder[name]
    return [name, other]


EDITS: tuple[Callable[[random.Random, Any, Any], list[Any]], ...] = (
    drop,
    replace,
    turn,
    wrap,
    add,
    repeat,
    empty,
    rename,
    exchange,
)


@dataclass(frozen=True)
class Edited:
    """The file after an edit.

    Attributes:
        what: was done, for the message of a test that fails.
        ways: to the places that it touched, the first of them chosen.
        data: what the file then holds.
    """

    what: str
    ways: tuple[Way, ...]
    data: Any


def edited(chance: random.Random) -> Edited:
    """The file with one edit; every level of the file is as likely as the others."""
    while True:
        changed, depth = deepcopy(data()), chance.randint(1, 5)
        way = chance.choice([way for way in places() if len(way) == depth])
        edit = chance.choice(EDITS)
        *above, name = way
        touched = edit(chance, at(changed, tuple(above)), name)
        if touched:
            ways = tuple((*above, each) for each in touched)
            return Edited(f"{edit.__name__} at {key(way)}", ways, changed)


def key(way: Way) -> str:
    """As error messages name a place."""
    named = ""
    for name in way:
        named = f"{named}[{name}]" if isinstance(name, int) else dotted(named, name)
    return named


def spoilt(chance: random.Random) -> str:
    """The file's text with one line lost, doubled, cut, moved to the right, or of other signs."""
    lines = text().splitlines()
    number = chance.randrange(len(lines))
    line = lines[number]
    odd = chance.choice(["[", "}", ": a: b", "&a", "*a", "!!int x", "!x 1", chr(7), "|", "#"])
    lines[number : number + 1] = chance.choice(
        [
            [],
            [line, line],
            [line[: chance.randint(0, len(line))]],
            [f"  {line}"],
            [line.replace(":", "", 1)],
            [f"{line} {odd}"],
            [f"\t{line}"],
        ]
    )
    return "\n".join(lines[: chance.choice([len(lines), len(lines), number + 1])])


# What is said of a refused file.

# A system reads its own options, and does not know which data set's; the stage's command line names both.
SYSTEM = "presets.<data set>.systems."
KEY = re.compile(r'(?:[\w-]+|"(?:[^"\\]|\\.)*")')


def told(line: str) -> list[str]:
    """The names of the place that a line of the error begins with.

    Raises:
        AssertionError: it begins with none.
    """
    rest = line.removeprefix(f"{NAME}: ")
    names: list[str] = []
    while found := KEY.match(rest):
        names.append(found[0])
        rest = re.sub(r"^(?:\[\d+\])*", "", rest[found.end() :])
        if not rest.startswith("."):
            break
        rest = rest[1:]
    assert names, line
    assert rest.startswith((": ", " = ", " is ")), line
    return names


def check_lines(message: str, changed: Any) -> None:
    """Each problem has a line of its own, which leads to a section that the file has."""
    lines = message.split("\n")
    assert len(set(lines)) == len(lines), message
    for line in lines:
        assert "INVALID" not in line
        assert line.isprintable()
        if line.startswith(f"{NAME}: the file = "):
            continue
        if line.startswith("cmad/methods/"):
            assert "params.yaml" in line
            continue
        assert line.startswith((f"{NAME}: ", SYSTEM)), line
        if not line.startswith(NAME):
            continue
        *sections, _ = told(line)
        inner = changed
        for name in sections:
            assert isinstance(inner, dict), line
            known = {dotted("", each): each for each in inner}
            assert name in known, line
            inner = inner[known[name]]


def check_names_a_place(message: str, ways: tuple[Way, ...]) -> None:
    """The reader is led to what was edited: its key, what holds it, or its name where others ask for it."""
    if message.startswith(SYSTEM) and ways[0][2:3] == ("systems",):
        return
    near = {key(way[:end]) for way in ways for end in range(max(1, len(way) - 1), len(way) + 1)}
    near |= {str(way[-1]) for way in ways}
    # "there is no such preset" is said where the whole section is empty.
    near |= {str(way[0]).removesuffix("s") for way in ways if len(way) == 1}
    assert any(name in message for name in near), message


# What stages and the plan do first.


def stage_parts(config: Config) -> Iterator[tuple[Any, dict[str, str]]]:
    """What each stage of the pipeline reads, with the names on its command line."""
    grid = [(config.datasets, config.variants, config.sweeps, stages.EvaluateParams)]
    also = config.also
    grid.append((also.datasets, also.variants, also.sweeps, stages.EvaluateAlsoParams))  # type: ignore[arg-type]
    for datasets, variants, swept, evaluate in grid:
        for dataset in datasets:
            of = {"dataset": dataset}
            for kind in (stages.PreprocessParams, stages.TeacherParams, evaluate):
                yield kind, of
            for variant in variants:
                yield stages.StudentParams, of | {"variant": variant}
            for parameter in swept:
                yield stages.SweepParams, of | {"parameter": parameter}
    for dataset in config.datasets:
        for system in dict.fromkeys((*config.unified, *config.customised)):
            yield stages.SystemParams, {"dataset": dataset, "system": system}
    yield stages.ReportParams, {}


@cache
def small_presets() -> Mapping[str, Preset]:
    """Small networks, for what asks for one only to hold the options of a system."""
    return check(read_yaml(yaml.safe_dump(small_params()), NAME), NAME).presets


def create_systems(config: Config, dataset: str) -> None:
    """Every system of the grid whose options were edited, as its stage would create it."""
    small = small_presets().get(dataset)
    if small is None or small.preprocess.generator is None:
        return
    shapes = shapes_of(dataset, small.preprocess, Path("no store"))
    assert shapes is not None
    for system in dict.fromkeys((*config.unified, *config.customised)):
        options = config.presets[dataset].systems[system]
        if options != small.systems.get(system):
            alone = COMBINATIONS.index("AV") if system in config.customised else None
            frames = vars(small.preprocess.max_frames)
            device = torch.device("cpu")
            student_method(system, shapes, small.network, small.student, options, frames, alone, device)


def first_steps(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stages, "load", lambda _: config)
        for kind, names in stage_parts(config):
            stages.read(Path(NAME), kind, **names)
    choose_device(config.device)
    with torch_threads(config.threads):
        for seed in config.seeds:
            generator(seed, "order")
    for grid in grids(config):
        for dataset in grid.datasets:
            assert cells(config, grid, dataset)
    for dataset in config.datasets:
        create_systems(config, dataset)


def outcome(changed: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of a file's data; "" where it is taken."""
    try:
        first_steps(check(changed, NAME), monkeypatch)
    except UserError as error:
        return str(error)
    return ""


def run_edits(numbers: range, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every number is an edit of its own; how many were taken and refused."""
    counts: Counter[str] = Counter()
    for number in numbers:
        edit = edited(random.Random(number))
        try:
            message = outcome(edit.data, monkeypatch)
            if message:
                check_lines(message, edit.data)
                check_names_a_place(message, edit.ways)
        except Exception as error:
            error.add_note(f"edit {number}: {edit.what}, now {at_or_none(edit)!r:.200}")
            raise
        counts["refused" if message else "taken"] += 1
    return counts


def at_or_none(edit: Edited) -> Any:
    try:
        return at(edit.data, edit.ways[0])
    except LookupError:
        return None


def run_spoilt(numbers: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """As ``run_edits``, of the text."""
    counts: Counter[str] = Counter()
    monkeypatch.chdir(folder)
    path = Path(NAME)
    for number in numbers:
        path.write_text(spoilt(random.Random(number)), encoding="utf-8")
        try:
            first_steps(load(path), monkeypatch)
            counts["taken"] += 1
        except UserError as error:
            message = str(error)
            if "not valid YAML" in message:
                assert re.fullmatch(rf"{NAME}, line \d+: not valid YAML: .*; mend this line", message)
            else:
                check_lines(message, read_yaml(path.read_text(encoding="utf-8"), NAME))
            counts["refused"] += 1
        except Exception as error:
            error.add_note(f"spoilt text {number}")
            raise
    return counts


def test_the_file_itself_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(deepcopy(data()), monkeypatch) == ""


def test_any_edit_is_taken_or_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = run_edits(range(150), monkeypatch)
    # Both ends are reached.
    assert min(counts["taken"], counts["refused"]) > 15, counts


def test_any_spoilt_text_is_taken_or_refused_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = run_spoilt(range(60), tmp_path, monkeypatch)
    assert min(counts.values()) > 3, counts


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_thousand_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = run_edits(range(1000, 1900), monkeypatch)
    counts += run_spoilt(range(1000, 1100), tmp_path, monkeypatch)
    assert counts.total() == 1000


# The real command line.


def said(folder: Path, written: str) -> str:
    """What the first stage says of the file; asserts that it leaves nothing."""
    (folder / NAME).write_text(written, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "stages.preprocess", "demo"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert {path.name for path in folder.iterdir()} == {NAME}
    return done.stderr


@pytest.mark.parametrize(
    ("way", "value", "line"),
    [
        (("threads",), [1], "threads = [1]: must be a whole number from 1 to 4096"),
        (("presets", "mosei", "network", "width"), -96, "presets.mosei.network.width = -96: must be a whole"),
        (("presets", "demo", "student", "sigam"), 1, "presets.demo.student.sigam = 1: unknown key; did you"),
        (("variants", 0), "cmda", 'variants[0] = "cmda": there is no such definition; did you mean cmad?'),
    ],
)
def test_a_stage_ends_with_the_one_line(tmp_path: Path, way: Way, value: Any, line: str) -> None:
    changed = deepcopy(data())
    *above, name = way
    at(changed, tuple(above))[name] = value
    output = said(tmp_path, yaml.safe_dump(changed))
    assert output.startswith(f"error: {NAME}: {line}")
    assert output.count("\n") == 1


def test_a_stage_ends_with_the_line_of_a_spoilt_text(tmp_path: Path) -> None:
    output = said(tmp_path, text().replace("seeds:", "seeds: [", 1))
    assert re.fullmatch(rf"error: {NAME}, line \d+: not valid YAML: .*; mend this line\n", output)
