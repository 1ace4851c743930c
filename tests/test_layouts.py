"""Which layout a file has, and what is said where a preset names another."""

import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmad.config.schema import Preprocess
from cmad.config.values import check_value
from cmad.errors import UserError
from cmad.raw.layouts import TITLES, Layout, recognise
from cmad.raw.read import read
from tests.generators.cherma import write_cherma
from tests.generators.feature_folder import write_feature_folder
from tests.generators.hkt import make_hkt, write_hkt
from tests.generators.mag import make_mag, write_mag
from tests.generators.mmsa import make_mmsa, write_mmsa
from tests.generators.mult import make_mult, write_mult
from tests.generators.params import MINILM, params

TASKS = {"mag": "regression", "mult": "binary", "mmsa": "regression", "hkt": "classes", "cherma": "classes"}
PICKLES: dict[Layout, Callable[[Path], Any]] = {
    "mag": lambda path: write_mag(path, make_mag()),
    "mult": lambda path: write_mult(path, make_mult()),
    "mmsa": lambda path: write_mmsa(path, make_mmsa()),
    "hkt": lambda path: write_hkt(path, make_hkt()),
}


@pytest.mark.parametrize("layout", PICKLES)
def test_pickles_are_recognised(tmp_path: Path, layout: Layout) -> None:
    PICKLES[layout](tmp_path / "x.pkl")
    assert recognise(tmp_path / "x.pkl") == layout
    # A folder with a single pickle has its layout.
    assert recognise(tmp_path) == layout


@pytest.mark.parametrize("first", [None, (), ("a", "b"), 7])
@pytest.mark.parametrize("layout", ["mag", "hkt"])
def test_a_damaged_first_sample_hides_no_layout(tmp_path: Path, layout: Layout, first: Any) -> None:
    content: dict[str, list[Any]] = make_mag() if layout == "mag" else make_hkt()
    content["train"][0] = first
    (write_mag if layout == "mag" else write_hkt)(tmp_path / "x.pkl", content)
    assert recognise(tmp_path / "x.pkl") == layout
    raw = read(tmp_path, params(layout, TASKS[layout], text=MINILM, skip_bad=True))
    assert (len(raw.ids), sum(raw.skipped.values())) == (23, 1)
    with pytest.raises(UserError, match="train sample 0"):
        read(tmp_path, params(layout, TASKS[layout], text=MINILM))


def test_unaligned_files_are_recognised(tmp_path: Path) -> None:
    assert recognise(write_mmsa(tmp_path / "x.pkl", make_mmsa(aligned=False))) == "mmsa"
    assert recognise(write_mult(tmp_path / "x.pkl", make_mult("mosei", aligned=False))) == "mult"


def test_folders_are_recognised(tmp_path: Path) -> None:
    assert recognise(write_feature_folder(tmp_path / "a")) == "folder"
    assert recognise(write_cherma(tmp_path / "b", widths={"text": 2, "audio": 2, "visual": 2})) == "cherma"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2], "holds list, not a dictionary of splits"),
        ({}, "has no split train (found nothing)"),
        ({"Train": 1, 2: 3}, "has no split train (found Train, int)"),
        ({"train": [1], "dev": [1]}, "has no split test (found train, dev)"),
        (
            {"train": [1], "valid": [1], "test": [1]},
            "train holds list of items that are neither MAG's nor HKT's",
        ),
        ({"train": 5, "valid": 5, "test": 5}, "train holds int of items"),
        ({"train": [[1, 2, 3]], "val": [1], "test": [1]}, "train holds list of items"),
        (
            {"train": {"a": 1, "b\n": 2}, "valid": {"a": 1}, "test": {"a": 1}},
            "train holds a, b\\n, neither MulT's",
        ),
        ({"train": {}, "valid": {}, "test": {}}, "split train is empty"),
    ],
)
def test_other_pickles_are_described(tmp_path: Path, content: Any, problem: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError) as caught:
        recognise(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert str(caught.value).isprintable()


def test_other_folders_are_described(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no known data in it"):
        recognise(tmp_path)
    for name in ("b.pkl", "a.pickle"):
        write_mag(tmp_path / name, make_mag((4, 4, 4)))
    with pytest.raises(UserError, match=r"several pickles \(a.pickle, b.pkl\); name one of them"):
        recognise(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        recognise(tmp_path / "absent.pkl")


@pytest.mark.parametrize("wanted", PICKLES)
@pytest.mark.parametrize("actual", PICKLES)
def test_a_wrong_choice_is_named(tmp_path: Path, wanted: Layout, actual: Layout) -> None:
    if wanted == actual:
        return
    PICKLES[actual](tmp_path / "x.pkl")
    with pytest.raises(UserError) as caught:
        read(tmp_path, params(wanted, TASKS[wanted], text=MINILM if wanted in ("mag", "hkt") else None))
    expected = f"{tmp_path / 'x.pkl'}: this is {TITLES[actual]}; set preprocess.format: {actual}"
    assert str(caught.value) == expected


def test_a_wrong_choice_of_folder_is_named(tmp_path: Path) -> None:
    ours = write_feature_folder(tmp_path / "ours")
    with pytest.raises(UserError, match=r"this is a feature folder; set preprocess.format: folder"):
        read(ours, params("cherma", "classes"))
    theirs = write_cherma(tmp_path / "theirs", widths={"text": 2, "audio": 2, "visual": 2})
    with pytest.raises(UserError, match=r"this is a CHERMA folder; set preprocess.format: cherma"):
        read(theirs, params("folder", "classes"))
    shutil.rmtree(ours)
    write_mag(ours / "mosei.pkl", make_mag((4, 4, 4)))
    with pytest.raises(UserError, match=r"holds mosei.pkl and no samples.csv; set preprocess.format"):
        read(ours, params("folder", "regression"))


def test_a_file_of_another_name(tmp_path: Path) -> None:
    write_mag(tmp_path / "mosei.pkl", make_mag((4, 4, 4)))
    with pytest.raises(UserError, match=r"x.pkl: no such file \(found mosei.pkl\); put it there or set"):
        read(tmp_path, params("mag", "regression", text=MINILM))
    with pytest.raises(UserError, match=r"preprocess.file: null; format mag needs a pickle's name"):
        read(tmp_path, params("mag", "regression", text=MINILM, file=None))


SECTION = {
    "format": "mag",
    "file": "x.pkl",
    "skip_bad": False,
    "task": "regression",
    "max_frames": {"language": 5, "audio": 5, "vision": 5},
    "standardise": [],
    "half": [],
    "text": {"encoder": "minilm", "context": False},
    "generator": None,
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"format": "mat"}, 's.format = "mat": must be one of'),
        ({"file": None}, "s.file = null: format mag needs the name of the pickle in the raw folder"),
        ({"file": "../x.pkl"}, 's.file = "../x.pkl": must be a plain file name, without a folder'),
        ({"file": ""}, 's.file = "": must be'),
        ({"text": None}, "s.text = null: format mag brings words, not features; set encoder and context"),
        (
            {"text": {"encoder": "minilm", "context": True}},
            "s.text.context = true: must be false for format mag",
        ),
        ({"task": "classes"}, "s.task = classes: must be regression for format mag"),
        ({"format": "hkt", "task": "classes", "text": None}, "s.text = null: format hkt brings words"),
        ({"format": "mult"}, "s.text: must be null for format mult, whose language comes as features"),
        ({"format": "mult", "text": None, "task": "binary"}, None),
        (
            {"format": "mult", "text": None, "task": "classes"},
            "s.task = classes: must be regression or binary",
        ),
        ({"format": "mmsa"}, None),
        ({"format": "mmsa", "text": None}, None),
        (
            {"format": "cherma", "text": None, "task": "classes"},
            's.file = "x.pkl": must be null for format cherma',
        ),
        ({"format": "cherma", "task": "classes", "file": None}, "s.text: must be null for format cherma"),
        (
            {"format": "folder", "file": None, "skip_bad": True},
            "s.skip_bad = true: must be false for format folder",
        ),
        ({"format": "folder"}, 's.file = "x.pkl": must be null for format folder'),
    ],
)
def test_the_preset_fits_the_layout(changes: dict[str, Any], problem: str | None) -> None:
    raw = SECTION | changes
    if isinstance(raw["text"], dict):
        raw["text"] = _whole(raw["text"])
    problems: list[str] = []
    check_value(Preprocess, {}, raw, "s", problems)
    assert len(problems) == (problem is not None)
    assert all(each.startswith(problem or "") for each in problems)


def _whole(text: dict[str, Any]) -> dict[str, Any]:
    """The section with whatever else the schema knows, off."""
    from dataclasses import fields

    from cmad.config.schema import Text

    return {field.name: False for field in fields(Text)} | text


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _object_array(*items: Any) -> Any:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


STRANGE: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    b"\xff",
    -1,
    10**400,
    10**5000,
    1e300,
    float("nan"),
    1j,
    (),
    [],
    [[]],
    {},
    {"text": 1},
    {1, 2},
    _cycle(),
    [1.0, 2.0],
    np.array(1.0),
    [np.array(1.0), np.zeros(2)],
    np.array("x"),
    np.zeros(0),
    np.zeros((0, 0, 0)),
    np.zeros((3, 2)),
    np.zeros((12, 3, 2), np.float32),
    np.full((1, 1), np.inf),
    np.array([[b"a", b"b"]]),
    np.array([1j]),
    _object_array(None, "x"),
    _object_array(_object_array(1), np.array(2)),
    np.float64(7),
    np.str_("y"),
)


def _places(value: Any, depth: int = 6) -> list[tuple[Any, Any]]:
    """Every container in a content, with each of its keys."""
    if not isinstance(value, dict | list) or not depth:
        return []
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    return [(value, key) for key, _ in inner] + [p for _, each in inner for p in _places(each, depth - 1)]


def _as_lists(value: Any) -> Any:
    """Tuples as lists, so that their parts can be replaced."""
    if isinstance(value, dict):
        return {key: _as_lists(each) for key, each in value.items()}
    return [_as_lists(each) for each in value] if isinstance(value, list | tuple) else value


CONTENTS: dict[Layout, Callable[[], Any]] = {
    "mag": lambda: make_mag((4, 4, 4)),
    "mult": lambda: make_mult(sizes=(5, 5, 5)),
    "mmsa": lambda: make_mmsa(aligned=False, sizes=(5, 5, 5)),
    "hkt": lambda: make_hkt(sizes=(4, 4, 4)),
}


@given(st.sampled_from(sorted(CONTENTS)), st.data())
@settings(max_examples=200)
def test_strange_parts_give_data_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, data: st.DataObject
) -> None:
    content = _as_lists(CONTENTS[layout]())
    for _ in range(data.draw(st.integers(1, 3))):
        places = _places(content)
        if places:
            container, key = places[data.draw(st.integers(0, len(places) - 1))]
            container[key] = deepcopy(STRANGE[data.draw(st.integers(0, len(STRANGE) - 1))])
    folder = tmp_path_factory.getbasetemp()
    (folder / "x.pkl").write_bytes(pickle.dumps(content))
    text = MINILM if layout in ("mag", "hkt") or (data.draw(st.booleans()) and layout == "mmsa") else None
    settings_ = params(layout, TASKS[layout], text=text, skip_bad=data.draw(st.booleans()))
    message = ""
    try:
        raw = read(folder, settings_)
    except UserError as error:
        message = str(error)
    if message:
        assert message.isprintable()
        return
    streams = [*raw.streams.values(), *([raw.tokens] if raw.tokens is not None else [])]
    assert {len(each.lengths) for each in streams} == {len(raw.ids)} == {len(set(raw.ids))}
    assert len(raw.labels) == len(raw.groups) == len(raw.ids)
    assert np.isfinite(raw.labels).all()


@pytest.mark.parametrize("layout", ["mult", "mmsa", "hkt"])
def test_reading_takes_less_than_twice_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    # What walking over the frames takes does not grow with the file; these files are small.
    monkeypatch.setattr("cmad.raw.frames.BLOCK", 64)
    monkeypatch.setattr("cmad.raw.check.BLOCK", 64)
    sizes = (300, 100, 100)
    makers: dict[Layout, Callable[[], Any]] = {
        "mult": lambda: write_mult(tmp_path / "x.pkl", make_mult(sizes=sizes), protocol=3),
        "mmsa": lambda: write_mmsa(tmp_path / "x.pkl", make_mmsa(sizes=(40, 20, 20))),
        "hkt": lambda: write_hkt(tmp_path / "x.pkl", make_hkt(sizes=(400, 200, 200))),
    }
    makers[layout]()
    settings_ = params(layout, TASKS[layout], text=MINILM if layout == "hkt" else None)
    tracemalloc.start()
    try:
        read(tmp_path, settings_)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * (tmp_path / "x.pkl").stat().st_size
