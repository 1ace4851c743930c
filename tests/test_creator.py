"""The file of a system: what is said where it is absent, and where it cannot be imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cmad.methods
from cmad.errors import UserError
from cmad.methods.method import creator

NAME = "of_a_test"
MODULE = f"cmad.methods.{NAME}"
ABSENT = f"cmad/methods/{NAME}.py: no such system; write the file, or take {NAME} out of params.yaml"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a system's file may be written; what was imported of it is forgotten afterwards."""
    monkeypatch.setattr(cmad.methods, "__path__", [*cmad.methods.__path__, str(tmp_path)])
    yield tmp_path / f"{NAME}.py"
    if sys.modules.pop(MODULE, None):
        delattr(cmad.methods, NAME)


def refusal() -> str:
    with pytest.raises(UserError) as caught:
        creator(NAME)
    return str(caught.value)


def test_a_system_is_created_by_its_file(file: Path) -> None:
    file.write_text("def create(context): ...\n", encoding="utf-8")
    assert creator(NAME).__module__ == MODULE


@pytest.mark.usefixtures("file")
def test_a_system_without_a_file_is_told() -> None:
    assert refusal() == ABSENT


def test_a_file_without_create_is_told(file: Path) -> None:
    file.write_text("def creates() -> None: ...\n", encoding="utf-8")
    assert refusal() == ABSENT


@pytest.mark.parametrize("missing", ["no_such_package", "cmad.losses.no_such_module"])
def test_a_missing_package_of_a_system_is_named(file: Path, missing: str) -> None:
    file.write_text(f"from {missing} import it\n", encoding="utf-8")
    assert refusal() == (
        f"cmad/methods/{NAME}.py: imports {missing}, which is not there; install or correct it, "
        f"or take {NAME} out of params.yaml"
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import math; math.no_such_thing", AttributeError),
        ("from math import no_such_thing", ImportError),
        ("raise ModuleNotFoundError('by hand')", ModuleNotFoundError),
    ],
)
def test_other_errors_of_a_systems_file_are_its_own(file: Path, code: str, error: type[Exception]) -> None:
    file.write_text(f"{code}\n", encoding="utf-8")
    with pytest.raises(error, match=r"no_such_thing|by hand"):
        creator(NAME)
