"""`python -m cmad plan`: what will run, for how long, and how much it leaves; before anything trains."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cmad.combinations import MODALITIES
from cmad.config.load import load
from cmad.config.schema import Text
from cmad.errors import UserError
from cmad.planning.calibrate import extrapolated
from cmad.planning.cells import cells, grids
from cmad.planning.disk import checkpoint_bytes, evaluation_bytes, scores_bytes, store_bytes, teacher_bytes
from cmad.planning.markdown import duration, size
from cmad.planning.measured import epochs_of, models_of, recorded, scaled
from cmad.planning.memory import available
from cmad.planning.plan import plan
from cmad.planning.shapes import Shapes, random_store, shapes_of
from cmad.preprocessing.prepare import prepare_store
from cmad.task import Task
from cmad.training.checkpoint import build_network, save_network
from tests.project import ROOT, Params, make_project, run, small_params, write_params

SHAPES = Shapes(
    counts={"train": 30, "dev": 10, "test": 20},
    widths={"language": 5, "audio": 4, "vision": 3},
    frames={"language": 6.4, "audio": 2.0, "vision": 90.0},
    task=Task("classes", ("a", "b", "c")),
    encoder=None,
)


def rows(text: str) -> dict[str, list[str]]:
    """The fields of each line of the tables, by stage."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if "|" in line]
    return {line[0].strip(): [field.strip() for field in line[1:]] for line in lines}


def project(folder: Path, **changes: Any) -> Params:
    params = small_params() | changes
    write_params(folder, params)
    return params


def test_a_tiny_grid_is_planned_without_leaving_anything(tmp_path: Path) -> None:
    project(tmp_path, seeds=[0, 1], unified=["mmanet"], customised=["corrkd"])
    text = plan(tmp_path / "params.yaml", tmp_path / "data")
    found = rows(text)
    models = {"preprocess@demo": "", "teacher@demo": "2"}
    models |= {"customised@demo-corrkd": "14", "unified@demo-mmanet": "2"}
    models |= {"student@demo-tea": "0", "student@demo-cmad": "2", "evaluate@demo": ""}
    assert {stage: found[stage][0] for stage in models} == models
    for stage in models.keys() - {"preprocess@demo", "student@demo-tea"}:
        assert found[stage][3] == "a few steps on random batches"
        assert found[stage][1]
    assert found["student@demo-tea"][3] == "trains nothing"
    assert found["preprocess@demo"][1] == ""
    assert "1 data set (demo), 4 rows, 2 seeds (0, 1), 1 thread." in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "params.yaml"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["presets"]


def test_a_recorded_time_is_taken_and_scaled_to_what_is_planned(tmp_path: Path) -> None:
    params = project(tmp_path, variants=["tea", "cmad"], seeds=[0, 1, 2])
    times, student = tmp_path / "data/times", tmp_path / "data/runs/demo/students/cmad"
    times.mkdir(parents=True)
    student.mkdir(parents=True)
    for name, seconds in {"teacher-demo": 50.0, "student-demo-cmad": 40.0, "evaluate-demo": 7.0}.items():
        (times / f"{name}.json").write_text(json.dumps({"seconds": seconds}))
    epochs = params["presets"]["demo"]["student"]["epochs"]
    pd.DataFrame({"epoch": list(range(epochs)), "seed": 0}).to_csv(student / "log.csv", index=False)
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert found["teacher@demo"][1::2] == ["50 s", "its last run here"]
    # It trained one of three seeds then.
    assert found["student@demo-cmad"][1::2] == ["2 min", "its last run here, scaled to these epochs"]
    assert found["evaluate@demo"][1::2] == ["7 s", "its last run here"]


def test_a_second_grid_and_sweeps_are_planned(tmp_path: Path) -> None:
    params = project(tmp_path, seeds=[0, 1], sweeps=["sigma", "epochs"])
    params["sweep_values"] = {"sigma": [0.05, 0.2], "epochs": [4], "alpha": [0.5]}
    params["also"] |= {"datasets": ["demo_classes"], "variants": ["tea"], "sweeps": ["alpha"]}
    write_params(tmp_path, params)
    text = plan(tmp_path / "params.yaml", tmp_path / "data")
    found = rows(text)
    assert "1 data set (demo), 2 rows, 3 values of sweeps, 2 seeds (0, 1), 1 thread." in text
    assert "The second grid: 1 data set (demo_classes), 1 row, 1 value of sweeps." in text
    # Teachers of two data sets, cmad and four values, each with two seeds.
    assert text.split("## Sum")[1].strip().startswith("14 models, ")
    names = [name for name in found if "@" in name]
    assert names == [
        "preprocess@demo",
        "teacher@demo",
        "student@demo-tea",
        "student@demo-cmad",
        "sweep@demo-sigma",
        "sweep@demo-epochs",
        "evaluate@demo",
        "preprocess_also@demo_classes",
        "teacher_also@demo_classes",
        "student_also@demo_classes-tea",
        "sweep_also@demo_classes-alpha",
        "evaluate_also@demo_classes",
    ]
    for stage, models in (("sweep@demo-sigma", "4"), ("sweep_also@demo_classes-alpha", "2")):
        assert found[stage][0] == models
        assert found[stage][3] == "a few steps on random batches"


@pytest.mark.long
def test_stages_have_the_names_and_find_the_times_of_those_that_ran(tmp_path: Path) -> None:
    params = small_params() | {"unified": ["mmanet"], "customised": ["corrkd"], "sweeps": ["alpha"]}
    params["also"] |= {"datasets": ["demo_binary4"], "variants": ["tea"], "sweeps": ["phi"]}
    params["sweep_values"] = {"alpha": [1e-3], "phi": [3]}
    make_project(tmp_path, params)
    listed = run(tmp_path, "dvc", "stage", "list", "--name-only").split()
    run(tmp_path, "dvc", "repro", "sweep@demo-alpha", "sweep_also@demo_binary4-phi")
    run(tmp_path, "dvc", "repro", "evaluate_also@demo_binary4")
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert {stage for stage in found if "@" in stage} == set(listed) - {"report"}
    ran = {stage for stage, line in found.items() if line[3] == "its last run here"}
    assert ran == {
        "preprocess@demo",
        "teacher@demo",
        "sweep@demo-alpha",
        "preprocess_also@demo_binary4",
        "teacher_also@demo_binary4",
        "sweep_also@demo_binary4-phi",
        "evaluate_also@demo_binary4",
    }
    for folder, preset in (("demo/sweeps/alpha", "demo"), ("demo_binary4/sweeps/phi", "demo_binary4")):
        here = tmp_path / "data/runs" / folder
        preprocess = load(tmp_path / "params.yaml").presets[preset].preprocess
        shapes = shapes_of(preset, preprocess, here.parents[1] / "store")
        assert shapes is not None
        assert scores_bytes(1, shapes) == pytest.approx((here / "scores.csv").stat().st_size, rel=0.15)


def test_a_recorded_time_of_a_sweep_is_scaled_to_the_models(tmp_path: Path) -> None:
    params = project(tmp_path, seeds=[0, 1, 2], sweeps=["sigma"])
    params["sweep_values"] = {"sigma": [0.05]}
    write_params(tmp_path, params)
    times, left = tmp_path / "data/times", tmp_path / "data/runs/demo/sweeps/sigma"
    times.mkdir(parents=True)
    left.mkdir(parents=True)
    (times / "sweep-demo-sigma.json").write_text(json.dumps({"seconds": 20.0}))
    line = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))["sweep@demo-sigma"]
    assert line[1::2] == ["20 s", "its last run here"]
    (left / "scores.csv").write_text("setting,seed,metric\n0.05,0,mae\n0.05,0,f1\n0.05,1,mae\n0.05,1,f1\n")
    line = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))["sweep@demo-sigma"]
    assert line[1::2] == ["30 s", "its last run here, scaled to these models"]


def test_scaling(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert epochs_of(log) is None
    assert models_of(log) is None
    log.write_text("epoch,seed,setting\n0,3,1\n1,3,1\n0,4,1\n1,4,1\n")
    assert (epochs_of(log), models_of(log)) == (4, 2)
    assert scaled(10.0, None, 4) == (10.0, False)
    assert scaled(10.0, 2, 2) == (10.0, False)
    assert scaled(10.0, 2, 6) == (30.0, True)
    (tmp_path / "x.json").write_text("{")
    assert recorded(tmp_path, "x") is None
    assert recorded(tmp_path, "y") is None


def test_extrapolation_is_the_line_through_the_last_two() -> None:
    assert extrapolated([(4, 1.0), (16, 2.0)], 16) == 2.0
    assert extrapolated([(1, 9.0), (4, 1.0), (16, 2.5)], 40) == pytest.approx(2.5 + 24 * 0.125)
    # Noise never makes a larger batch quicker.
    assert extrapolated([(4, 1.0), (16, 0.9)], 64) == 0.9


def test_checkpoint_bytes_are_those_on_disk(tmp_path: Path) -> None:
    preset = load(ROOT / "params.yaml").presets["demo"]
    store = random_store(SHAPES, dict.fromkeys(MODALITIES, 6), 2)
    network = build_network(preset.network, store)
    save_network(tmp_path / "a.pt", network.state_dict(), preset.network, store)
    weights = sum(w.numel() for w in network.parameters())
    planned = checkpoint_bytes(weights, 0, "full", SHAPES, 16, 7, 10)
    # The rest is names and settings.
    assert 0 < (tmp_path / "a.pt").stat().st_size - planned < 120_000


def test_what_keep_changes() -> None:
    assert checkpoint_bytes(1000, 800, "full", SHAPES, 16, 7, 10) == 4000
    assert checkpoint_bytes(1000, 800, "difference", SHAPES, 16, 7, 10) == 4 * 200 + 2 * 800
    # Seven combinations with representation, ten ratios without.
    assert checkpoint_bytes(1000, 800, "none", SHAPES, 16, 7, 10) == 20 * 4 * (17 * 3 + 7 * 16)
    assert checkpoint_bytes(1000, 800, "none", SHAPES, 16, 1, 0) == 20 * 4 * (3 + 16)
    assert teacher_bytes(1000, SHAPES, 16) == 4 * (1000 + 30 * (16 + 3 + 1))
    assert evaluation_bytes(5, 2, SHAPES, 10) == 4 * 5 * 2 * 17 * 20 * 3


def test_models_of_one_combination_are_kept_for_that_alone(tmp_path: Path) -> None:
    params = project(tmp_path, variants=["tea", "cmad"], customised=["corrkd"], seeds=[0])
    keep = {"weights": "none", "drop_ratios": params["presets"]["demo"]["evaluate"]["drop_ratios"]}
    params["presets"]["demo"]["keep"] |= keep
    write_params(tmp_path, params)
    preset = load(tmp_path / "params.yaml").presets["demo"]
    shapes = shapes_of("demo", preset.preprocess, tmp_path / "store")
    assert shapes is not None
    outputs, width, ratios = shapes.task.outputs, preset.network.width, len(keep["drop_ratios"])
    # Together they hold what one model for all seven holds.
    expected = 4 * shapes.counts["test"] * ((7 + ratios) * outputs + 7 * width)
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    disks = {found[name][2] for name in ("student@demo-cmad", "customised@demo-corrkd")}
    assert disks == {size(expected)}


def test_store_bytes_before_and_after_preprocess(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml").presets["demo"].preprocess
    assert params.generator is not None
    small = replace(params, generator=replace(params.generator, train=40, dev=20, test=20))
    before = shapes_of("demo", small, tmp_path / "store")
    assert before is not None
    planned = store_bytes(tmp_path / "store", small, before)
    prepare_store(tmp_path, small, tmp_path / "store")
    after = shapes_of("demo", small, tmp_path / "store")
    assert after is not None
    assert (after.counts, after.widths, after.task) == (before.counts, before.widths, before.task)
    # Those of the store, no longer what the generator makes on average.
    assert after.frames != before.frames
    on_disk = store_bytes(tmp_path / "store", small, after)
    assert on_disk == sum(file.stat().st_size for file in (tmp_path / "store").iterdir())
    features = sum((tmp_path / "store" / f"{m}.npy").stat().st_size for m in MODALITIES)
    # A twentieth of audio and vision is missing, and lengths are random.
    assert planned == pytest.approx(features, rel=0.15)


@pytest.mark.parametrize(("half", "share"), [((), 1.0), (("language", "audio", "vision"), 0.5)])
def test_half_precision_halves_the_store(tmp_path: Path, half: Any, share: float) -> None:
    params = replace(load(ROOT / "params.yaml").presets["cherma"].preprocess, half=half)
    shapes = shapes_of("cherma", params, tmp_path)
    assert shapes is not None
    assert shapes.task.outputs == 7
    assert store_bytes(tmp_path, params, shapes) == share * 28717 * 50 * (1024 + 1024 + 2048) * 4


def test_published_sizes_and_the_encoder_that_is_there(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml").presets["mosei"].preprocess
    tokens = replace(params, text=Text("minilm", fine_tune=True, context=False))
    shapes = shapes_of("mosei", tokens, tmp_path)
    assert shapes is not None
    assert shapes.counts == {"train": 16265, "dev": 1869, "test": 4643}
    assert shapes.widths == {"language": 384, "audio": 74, "vision": 35}
    store = random_store(shapes, vars(params.max_frames), 3)
    assert store.encoder is not None
    assert store.encoder.width == 384
    assert store.splits["train"].features["language"].dtype == np.int32
    # A token id and a segment, and two streams of float32.
    assert store_bytes(tmp_path, tokens, shapes) == 22777 * 50 * (8 + 4 * (74 + 35))


def test_an_encoder_takes_sequences_of_so_many_tokens(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml").presets["mosei"].preprocess
    long = replace(
        params,
        text=Text("minilm", fine_tune=True, context=False),
        max_frames=replace(params.max_frames, language=600),
    )
    with pytest.raises(UserError, match=r"max_frames.language: 600 tokens; the encoder takes 512 at most"):
        shapes_of("mosei", long, tmp_path)


def test_published_sizes_tell_nothing_of_another_task(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml").presets["cherma"].preprocess
    assert shapes_of("cherma", params, tmp_path) is not None
    assert shapes_of("cherma", replace(params, task="binary"), tmp_path) is None


def test_sizes_that_nothing_tells(tmp_path: Path) -> None:
    assert (
        shapes_of("mosi_folder", load(ROOT / "params.yaml").presets["mosi_folder"].preprocess, tmp_path)
        is None
    )
    params = small_params()
    params["datasets"] = ["mosi_folder"]
    write_params(tmp_path, params)
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert found["student@mosi_folder-cmad"] == ["", "", "", "unknown: run its preprocess stage first"]


def test_what_cannot_run_is_said_in_its_line(tmp_path: Path) -> None:
    project(tmp_path, variants=["tea"], customised=["mmanet"])
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert found["customised@demo-mmanet"][3].startswith("cannot run: mmanet mines weak combinations")
    params = project(tmp_path, datasets=["mosei"], variants=["cmad"])
    params["presets"]["mosei"]["preprocess"]["text"]["encoder"] = "./no_such_model"
    write_params(tmp_path, params)
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert "no such folder" in found["teacher@mosei"][3]


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmad.planning.plan.available", lambda: 1000)
    project(tmp_path, variants=["cmad"])
    found = rows(plan(tmp_path / "params.yaml", tmp_path / "data"))
    assert found["student@demo-cmad"][3].startswith("cannot run: training ")
    assert available(tmp_path / "nothing") is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:      7 kB\n")
    assert available(tmp_path / "meminfo") == 7 * 1024


def test_cells_of_a_grid() -> None:
    config = load(ROOT / "params.yaml")
    config = replace(config, variants=("tea", "no_cafd"), unified=("umdf",), customised=("umdf",))
    config = replace(config, sweeps=("batch",), sweep_values={**config.sweep_values, "batch": (32.0, 64.0)})
    found = cells(config, grids(config)[0], "demo")
    assert [(cell.stage, cell.time, cell.folder, cell.method, cell.models) for cell in found] == [
        ("customised@demo-umdf", "system-demo-umdf-customised", "students/umdf_customised", "umdf", 7),
        ("unified@demo-umdf", "system-demo-umdf-unified", "students/umdf_unified", "umdf", 1),
        ("student@demo-tea", "student-demo-tea", "students/tea", "tea", 0),
        ("student@demo-no_cafd", "student-demo-no_cafd", "students/no_cafd", "cmad", 1),
        ("sweep@demo-batch", "sweep-demo-batch", "sweeps/batch", "cmad", 2),
    ]
    assert found[3].students[0].sigma == 0
    assert [student.batch for cell in found for student in cell.students] == [128, 128, 128, 128, 32, 64]
    assert [cell.keep is None for cell in found] == [False, False, False, False, True]


def test_a_sweep_changes_the_variant_cmad() -> None:
    config = load(ROOT / "params.yaml")
    own = replace(config.definitions["cmad"], student={"sigma": 0.3, "gamma": 3.0})
    config = replace(config, definitions={**config.definitions, "cmad": own}, variants=(), unified=())
    config = replace(config, customised=(), sweeps=("gamma",))
    config = replace(config, sweep_values={**config.sweep_values, "gamma": (2.0,)})
    (cell,) = cells(config, grids(config)[0], "demo")
    assert [(student.sigma, student.gamma) for student in cell.students] == [(0.3, 2)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.3, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (400_000, "4.6 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 bytes"), (440_000_000, "440.0 MB"), (15_000_000_000, "15.0 GB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_a_wrong_parameter_file_is_one_line(tmp_path: Path) -> None:
    params = small_params()
    params["threads"] = 0
    write_params(tmp_path, params)
    path = str(tmp_path / "params.yaml")
    output = run(ROOT, sys.executable, "-m", "cmad", "plan", "--params", path, status=1)
    assert output == f"error: {path}: threads = 0: must be a whole number from 1 to 4096\n"
