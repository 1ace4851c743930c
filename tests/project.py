"""A copy of the project in a repository of its own, with a grid small enough for a test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from cmad.config.load import PRESETS, check, preset_file
from cmad.config.schema import Config
from cmad.config.yaml12 import read_yaml

ROOT = Path(__file__).parents[1]
PARTS = ("cmad", "stages", "data/paper", "dvc.yaml", ".dvcignore", ".gitignore")
OF_DVC = ("config", ".gitignore", "plots")

Params = dict[str, Any]


def committed_params() -> Params:
    """The committed params, as ``read_params`` gives them."""
    return read_params(ROOT)


def read_params(folder: Path) -> Params:
    """The params of a project, and under "presets" those of each data set."""
    params: Params = _read(folder / "params.yaml")
    presets = sorted((folder / PRESETS).glob("*.yaml"))
    return params | {"presets": {file.stem: _read(file) for file in presets}}


def _read(file: Path) -> Any:
    return read_yaml(file.read_text(encoding="utf-8"), file.name)


def checked(params: Any) -> Config:
    """What the pipeline makes of params in that form."""
    if not isinstance(params, dict):
        return check(params, {}, "params.yaml")
    return check(_own(params), params.get("presets", {}), "params.yaml")


def _own(params: Params) -> Params:
    """What stands in params.yaml itself."""
    return {name: section for name, section in params.items() if name != "presets"}


def small_params() -> Params:
    """The committed params with the demo sets and their networks shrunk; two variants, one seed."""
    params = committed_params()
    params |= {"datasets": ["demo"], "variants": ["tea", "cmad"], "seeds": [0]}
    params |= {"unified": [], "customised": [], "sweeps": []}
    params["also"] |= {"datasets": [], "sweeps": []}
    for name in ("demo", "demo_classes", "demo_binary4"):
        preset = params["presets"][name]
        preset["preprocess"]["generator"] |= {"train": 48, "dev": 40, "test": 40}
        preset["network"] |= {"width": 8, "depth": 1, "latents": 2, "heads": 2, "head_width": 2}
        preset["network"] |= {"fusion_layers": 1, "fusion_feedforward": 8}
        preset["teacher"] |= {"epochs": 2, "batch": 24}
        preset["student"] |= {"epochs": 2, "batch": 24, "warmup": 1}
        preset["evaluate"] |= {"drop_ratios": [0.5, 1.0], "resamples": 100}
    return params


def write_params(folder: Path, params: Params) -> None:
    """Replace the params of a project, presets included."""
    files = {"params.yaml": _own(params)}
    files |= {preset_file(dataset): preset for dataset, preset in params["presets"].items()}
    (folder / PRESETS).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def make_project(folder: Path, params: Params) -> None:
    """Copy what git has into ``folder`` and start git there."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for part in (*PARTS, *(f".dvc/{name}" for name in OF_DVC)):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            (folder / part).parent.mkdir(exist_ok=True)
            shutil.copy(source, folder / part)
    for name in ("demo", "demo_classes", "demo_binary4"):
        shutil.copytree(ROOT / "data/raw" / name, folder / "data/raw" / name)
    (folder / "reports").mkdir()
    write_params(folder, params)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "Test")
    run(folder, "git", "config", "user.email", "test@example.org")
    commit(folder)


def commit(folder: Path) -> None:
    """Commit everything that is not ignored."""
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "state")


def run(folder: Path, *command: str, status: int = 0) -> str:
    """Run a command as a user would, from the project's folder; its output, both streams.

    Raises:
        AssertionError: it exits with another status.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == status, f"{' '.join(command)} exits with {done.returncode}:\n{done.stdout}"
    return done.stdout


def stages_run(output: str) -> set[str]:
    """Names of the stages that DVC says it ran."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
