"""What a stage declares in dvc.yaml is what it uses: else DVC keeps stale results in silence."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from cmad.config import schema
from cmad.config import stages as params
from cmad.config.load import load
from tests.project import committed_params, write_params

ROOT = Path(__file__).parents[1]
Cells = dict[str, list[tuple[dict[str, str], list[str], list[str]]]]
KINDS: dict[str, type] = {
    "preprocess": params.PreprocessParams,
    "teacher": params.TeacherParams,
    "student": params.StudentParams,
    "unified": params.SystemParams,
    "customised": params.SystemParams,
    "sweep": params.SweepParams,
    "evaluate": params.EvaluateParams,
    "preprocess_also": params.PreprocessParams,
    "teacher_also": params.TeacherParams,
    "student_also": params.StudentParams,
    "sweep_also": params.SweepParams,
    "evaluate_also": params.EvaluateAlsoParams,
    "report": params.ReportParams,
}


def project_file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


@cache
def imported(file: Path) -> frozenset[Path]:
    """Files of the project that a file imports, at its top or inside its functions."""
    return frozenset(_imported(file))


def _imported(file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                found = project_file(".".join(parts[:end]))
                if found:
                    yield found


def closure(start: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imported(file)
    return seen


def code_of(stage: str, system: str) -> set[str]:
    """All files that a stage's process may run, from its module and what it imports by name."""
    module = module_of(stage)
    files = closure(ROOT / "stages" / f"{module}.py") | {ROOT / "stages/__init__.py"}
    methods: list[Path] = []
    if module == "student":
        methods = [method_file(d.method) for d in load(ROOT / "params.yaml").definitions.values()]
    elif module == "sweep":
        methods = [method_file("cmad")]
    elif module.startswith("evaluate"):
        methods = list((ROOT / "cmad/methods").glob("*.py"))
    elif system:
        methods = [method_file(system)]
    for method in methods:
        files |= closure(method)
    return {str(file.relative_to(ROOT)) for file in files}


def module_of(stage: str) -> str:
    """The stage's file: the second grid shares those of the first, except the one that reads its rows."""
    if stage in ("unified", "customised"):
        return "system"
    return stage if stage == "evaluate_also" else stage.removesuffix("_also")


def method_file(name: str) -> Path:
    return ROOT / "cmad/methods" / f"{name}.py"


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """By stage: (names, declared code, declared params) of every cell, all systems in the grid."""
    folder = tmp_path_factory.mktemp("resolved")
    grid = committed_params()
    grid["unified"] = grid["customised"] = list(grid["presets"]["demo"]["systems"])
    write_params(folder, grid)
    shutil.copy(ROOT / "dvc.yaml", folder)
    cells: Cells = {}
    with Repo.init(str(folder), no_scm=True) as repo:
        for stage in repo.index.stages:
            name, _, item = stage.addressing.rpartition(":")[2].partition("@")
            dataset, _, other = item.partition("-")
            kind = {"student": "variant", "sweep": "parameter"}.get(name.removesuffix("_also"), "system")
            names = {"dataset": dataset, kind: other}
            names = {key: value for key, value in names.items() if value}
            code = [str(d) for d in stage.deps if str(d).startswith(("cmad", "stages"))]
            declared = [key for p in stage.params for key in full_keys(p)]
            cells.setdefault(name, []).append((names, code, declared))
    return cells


def full_keys(declared: ParamsDependency) -> list[str]:
    """With their file before them, unless it is params.yaml."""
    file = str(declared)
    return [key if file == "params.yaml" else f"{file}:{key}" for key in declared.params]


@pytest.mark.parametrize("stage", KINDS)
def test_declared_code_is_the_import_closure(stage: str, resolved: Cells) -> None:
    config = load(ROOT / "params.yaml")
    systems = {system for preset in config.presets.values() for system in preset.systems}
    for names, declared, _ in resolved[stage]:
        used = code_of(stage, names.get("system", ""))
        files = {f for d in declared for f in python_files(ROOT / d)}
        assert used - files == set(), "imported but not declared: silently stale"
        if "system" not in names:
            assert files - used == set(), "declared but not imported: reruns for nothing"
        # Systems share one list of what any of them imports, but none reruns for another's file.
        own = {f"cmad/methods/{other}.py" for other in systems} - {f"cmad/methods/{names.get('system')}.py"}
        assert stage.startswith("evaluate") or not files & own


def python_files(path: Path) -> set[str]:
    found = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(ROOT)) for file in found}


@pytest.mark.parametrize("stage", KINDS)
def test_declared_params_are_those_read(stage: str, resolved: Cells) -> None:
    for names, _, declared in resolved[stage]:
        assert sorted(declared) == sorted(params.keys(KINDS[stage], **names))


@pytest.mark.parametrize("stage", KINDS)
def test_stage_uses_every_param_that_it_declares(stage: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{module_of(stage)}.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    assert read == {field.name for field in fields(KINDS[stage])}


def test_only_the_loader_reads_the_params_file() -> None:
    readers = [
        file.relative_to(ROOT).as_posix()
        for room in ("cmad", "stages")
        for file in (ROOT / room).rglob("*.py")
        if 'Path("params.yaml")' in file.read_text(encoding="utf-8")
    ]
    assert readers == ["stages/command.py"]


def test_every_knob_is_read_somewhere() -> None:
    attributes = {
        node.attr
        for file in (ROOT / "cmad").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    sections: list[type] = [schema.Preprocess, schema.Text, schema.Generator, schema.Network]
    sections += [schema.Optimiser, schema.Teacher, schema.ExistingTeacher, schema.Student]
    sections += [schema.Keep, schema.Evaluate]
    # A Perceiver has no dropout: the knob exists to say so (see the loader). The generator's sizes are
    # read by the name of the split.
    elsewhere = {"perceiver_dropout", "train", "dev", "test"}
    knobs = {field.name for section in sections for field in fields(section)}
    assert knobs - attributes - elsewhere == set()


def test_rooms_do_not_import_upwards() -> None:
    order = ["config", "raw", "language", "preprocessing", "store", "network", "losses", "scores", "methods"]
    order += ["training", "teachers", "students", "evaluation", "report"]
    loose = {"entries": "config"}
    for file in (ROOT / "cmad").rglob("*.py"):
        room = file.relative_to(ROOT / "cmad").parts[0]
        place = loose.get(room.removesuffix(".py"), room)
        if place not in order:
            continue
        for target in imported(file):
            parts = target.relative_to(ROOT).parts
            assert parts[0] == "cmad", f"{file} imports {target}"
            aim = loose.get(parts[1].removesuffix(".py"), parts[1])
            if aim in order:
                assert order.index(aim) <= order.index(place), f"{file} imports {target}"


@pytest.mark.parametrize("stage", ["preprocess", "report"])
def test_stages_without_networks_do_not_import_torch(stage: str) -> None:
    code = f"import sys, stages.{stage}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_stage_has_a_description() -> None:
    with Repo(str(ROOT)) as repo:
        assert all(stage.desc for stage in repo.index.stages)
