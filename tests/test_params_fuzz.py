"""Random edits of the real params.yaml and presets: each is taken, or refused in lines that name where.

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
from cmad.computing.device import choose_device
from cmad.computing.randomness import generator, torch_threads
from cmad.config import stages
from cmad.config.load import PRESETS, load, preset_file
from cmad.config.names import dotted
from cmad.config.schema import Config, Preset
from cmad.config.yaml12 import read_yaml
from cmad.errors import UserError
from cmad.planning.calibrate import student_method
from cmad.planning.cells import cells, grids
from cmad.planning.shapes import shapes_of
from tests.project import ROOT, checked, committed_params, small_params, write_params

NAME = "params.yaml"
MOSEI = preset_file("mosei")
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
def texts() -> Mapping[str, str]:
    """The real files, by their names from the project's folder."""
    files = (ROOT / NAME, *sorted((ROOT / PRESETS).glob("*.yaml")))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


@cache
def data() -> Any:
    return committed_params()


def below(value: Any, way: Way = ()) -> Iterator[Way]:
    """The way to every place below the top."""
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
    """The params after an edit.

    Attributes:
        what: was done, for the message of a test that fails.
        ways: to the places that it touched, the first of them chosen.
        data: what the files then hold, presets under "presets".
    """

    what: str
    ways: tuple[Way, ...]
    data: Any


def edited(chance: random.Random) -> Edited:
    """The params with one edit; every level is as likely as the others."""
    while True:
        changed, depth = deepcopy(data()), chance.randint(1, 5)
        way = chance.choice([way for way in places() if len(way) == depth])
        edit = chance.choice(EDITS)
        *above, name = way
        touched = edit(chance, at(changed, tuple(above)), name)
        ways = tuple((*above, each) for each in touched)
        # All presets together are a folder: no edit of a file makes anything else of them.
        if ways and ("presets",) not in ways:
            return Edited(f"{edit.__name__} at {key(way)}", ways, changed)


def key(way: Way) -> str:
    """As error messages name a place."""
    named = ""
    for name in way:
        named = f"{named}[{name}]" if isinstance(name, int) else dotted(named, name)
    return named


def placed(way: Way) -> tuple[str, ...]:
    """What error messages name of a place: the file where it is a preset's, and the key there."""
    if way[:1] != ("presets",) or len(way) == 1:
        return (key(way),)
    return (preset_file(way[1]), key(way[2:]))


def spoilt(chance: random.Random, text: str) -> str:
    """A text with one line lost, doubled, cut, moved to the right, or of other signs."""
    lines = text.splitlines()
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
SYSTEM = "data/presets/<data set>.yaml: systems."
KEY = re.compile(r'(?:[\w-]+|"(?:[^"\\]|\\.)*")')


def told(line: str) -> list[str]:
    """The names of the place that a line of the error begins with, of a preset "presets" and its own first.

    Raises:
        AssertionError: it begins with none.
    """
    file, _, rest = line.partition(": ")
    names = [] if file == NAME else ["presets", file.removeprefix(f"{PRESETS}/").removesuffix(".yaml")]
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
        if ": the file = " in line:
            continue
        if line.startswith("cmad/methods/"):
            assert "params.yaml" in line
            continue
        assert line.startswith((f"{NAME}: ", f"{PRESETS}/")), line
        if line.startswith(SYSTEM):
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
    near = {placed(way[:end]) for way in ways for end in range(max(1, len(way) - 1), len(way) + 1)}
    near |= {(str(way[-1]),) for way in ways}
    assert any(all(name in message for name in names) for names in near), message


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
    return checked(small_params()).presets


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
        first_steps(checked(changed), monkeypatch)
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


def with_file(file: str, content: Any) -> Any:
    """The real params, but what one of the files holds."""
    presets = data()["presets"]
    if file != NAME:
        return data() | {"presets": presets | {Path(file).stem: content}}
    return (content if isinstance(content, dict) else {}) | {"presets": presets}


def run_spoilt(numbers: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """As ``run_edits``, of the text of one of the files."""
    counts: Counter[str] = Counter()
    monkeypatch.chdir(folder)
    write_params(folder, data())
    for number in numbers:
        chance = random.Random(number)
        # Half of them of params.yaml.
        file = chance.choice([NAME, preset_file(chance.choice(list(data()["presets"])))])
        Path(file).write_text(spoilt(chance, texts()[file]), encoding="utf-8")
        try:
            first_steps(load(Path(NAME)), monkeypatch)
            counts["taken"] += 1
        except UserError as error:
            message = str(error)
            if "not valid YAML" in message:
                assert re.fullmatch(rf"{file}, line \d+: not valid YAML: .*; mend this line", message)
            else:
                content = read_yaml(Path(file).read_text(encoding="utf-8"), file)
                check_lines(message, with_file(file, content))
            counts["refused"] += 1
        except Exception as error:
            error.add_note(f"spoilt text {number}")
            raise
        Path(file).write_text(texts()[file], encoding="utf-8")
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


def said(folder: Path, file: str, written: str) -> str:
    """What the first stage says of a file; asserts that it leaves nothing."""
    write_params(folder, data())
    (folder / file).write_text(written, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "stages.preprocess", "demo"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(
        texts()
    )
    return done.stderr


@pytest.mark.parametrize(
    ("file", "way", "value", "line"),
    [
        (NAME, ("threads",), [1], "threads = [1]: must be a whole number from 1 to 4096"),
        (
            NAME,
            ("variants", 0),
            "cmda",
            'variants[0] = "cmda": there is no such definition; did you mean cmad?',
        ),
        (MOSEI, ("network", "width"), -96, "network.width = -96: must be a whole"),
        (MOSEI, ("student", "sigam"), 1, "student.sigam = 1: unknown key; did you"),
    ],
)
def test_a_stage_ends_with_the_one_line(tmp_path: Path, file: str, way: Way, value: Any, line: str) -> None:
    changed = read_yaml(texts()[file], file)
    *above, name = way
    at(changed, tuple(above))[name] = value
    output = said(tmp_path, file, yaml.safe_dump(changed))
    assert output.startswith(f"error: {file}: {line}")
    assert output.count("\n") == 1


@pytest.mark.parametrize(("file", "key"), [(NAME, "seeds:"), (MOSEI, "format:")])
def test_a_stage_ends_with_the_line_of_a_spoilt_text(tmp_path: Path, file: str, key: str) -> None:
    output = said(tmp_path, file, texts()[file].replace(key, f"{key} [", 1))
    assert re.fullmatch(rf"error: {file}, line \d+: not valid YAML: .*; mend this line\n", output)
