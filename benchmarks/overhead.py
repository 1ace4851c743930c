"""What a stage takes beyond its work: the whole of its process, less what it records as its work."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.shapes import ROOT
from cmad.config.load import PRESETS, preset_file
from stages.command import PARAMS, RAW, TIMES

# In the order in which one needs the other.
STAGES = (
    ("preprocess", "demo"),
    ("teacher", "demo"),
    ("student", "demo", "cmad"),
    ("evaluate", "demo"),
    ("report",),
)


@dataclass(frozen=True)
class Overhead:
    """Wall seconds of a stage.

    Attributes:
        whole: of its process.
        work: what it records in ``data/times``.
    """

    whole: float
    work: float

    @property
    def beyond(self) -> float:
        """The interpreter's start, the imports, the end."""
        return self.whole - self.work


def write_small_params(folder: Path) -> None:
    """The committed params with one data set, one variant, one seed, and little to do."""
    params = _read(PARAMS)
    params |= {"datasets": ["demo"], "variants": ["cmad"], "seeds": [0]}
    params |= {"unified": [], "customised": [], "sweeps": []}
    params["also"] |= {"datasets": [], "sweeps": []}
    preset = _read(preset_file("demo"))
    preset["preprocess"]["generator"] |= {"train": 128, "dev": 64, "test": 64}
    preset["teacher"] |= {"epochs": 1}
    preset["student"] |= {"epochs": 2, "warmup": 1}
    preset["evaluate"] |= {"resamples": 100}
    (folder / PRESETS).mkdir(parents=True)
    for name, content in ((str(PARAMS), params), (preset_file("demo"), preset)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _read(name: str | Path) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def overheads(repeats: int) -> dict[str, Overhead]:
    """Run each stage in a project of its own; of some tries the one with the least overhead."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_small_params(folder)
        shutil.copytree(ROOT / RAW / "demo", folder / RAW / "demo")
        shutil.copytree(ROOT / "data/paper", folder / "data/paper")
        (folder / "reports").mkdir()
        return {
            stage: min((_run(folder, stage, *given) for _ in range(repeats)), key=lambda each: each.beyond)
            for stage, *given in STAGES
        }


def _run(folder: Path, stage: str, *given: str) -> Overhead:
    # A scratch of its own: one that another try filled would spare the training.
    scratch = tempfile.mkdtemp(prefix="scratch-", dir=folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CMAD_SCRATCH": scratch}
    command = [sys.executable, "-m", f"stages.{stage}", *given]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
    whole = time.perf_counter() - start
    recorded = folder / TIMES / f"{'-'.join([stage, *given])}.json"
    return Overhead(whole, json.loads(recorded.read_text(encoding="utf-8"))["seconds"])
