"""On a GPU: the same bits again, near those of a CPU, and nothing tied to where it was trained."""

import copy
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from cmad.combinations import MODALITIES
from cmad.computing.device import choose_device, repeatable
from cmad.computing.precision import computing
from cmad.computing.randomness import torch_seeded
from cmad.config.schema import Keep
from cmad.methods.method import Method
from cmad.network.dropout import ReluDropout
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations, predict_dropped
from cmad.planning.plan import plan
from cmad.store.batches import frame_numbers
from cmad.students import students
from cmad.students.student import create_method
from cmad.teachers import teachers
from cmad.teachers.teacher import train_teacher
from cmad.training.checkpoint import load_network, save_network
from cmad.training.fit import Fitted
from cmad.training.scratch import Place, Scratch
from cmad.training.teacher_cache import TeacherCache, load_cache, save_cache
from tests.project import ROOT, small_params, write_params
from tests.test_scratch import CUSTOMISED, UNIFIED, killed_after, train
from tests.test_training import World, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

KINDS = ["float32", "bf16"]
SYSTEMS = [*((name, None) for name in UNIFIED), *((name, 4) for name in CUSTOMISED)]


@pytest.fixture(scope="module")
def gpu() -> torch.device:
    return choose_device("cuda")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def there(room: Path) -> World:
    """On the CPU."""
    return World(room, "demo_classes")


@pytest.fixture(scope="module")
def here(there: World, gpu: torch.device) -> World:
    """The same on the GPU, with the teacher that the CPU trained."""
    world = copy.copy(there)
    world.device = gpu
    world.teacher = copy.deepcopy(there.teacher).to(gpu)
    world.cache = TeacherCache(*(each.to(gpu) for each in vars(there.cache).values()))
    return world


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, gpu: torch.device) -> Iterator[str]:
    """Everything in one precision."""
    with computing(request.param, gpu):
        yield request.param


@pytest.fixture
def single(gpu: torch.device) -> Iterator[None]:
    """Everything in float32."""
    with computing("float32", gpu):
        yield


def made(world: World, system: str, combination: int | None) -> Method:
    preset, options = world.preset, world.preset.systems.get(system, {})
    network, student, teacher = preset.network, preset.student, world.teacher
    return create_method(
        system, world.store, network, student, options, teacher, combination, 0, world.device
    )


def on_dev(world: World, network: Network, combination: int | None = None) -> NDArray[np.float32]:
    seen = range(7) if combination is None else (combination,)
    return predict_combinations(network, world.store.splits["dev"], 16, world.device, seen).outputs


def largest(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Difference between outputs that are missing at the same places."""
    assert np.array_equal(np.isnan(first), np.isnan(second))
    return float(np.nanmax(np.abs(first - second)))


@pytest.mark.parametrize(("system", "combination"), SYSTEMS)
def test_every_system_repeats_and_goes_on_with_the_same_bits(
    here: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    system: str,
    combination: int | None,
) -> None:
    del kind
    whole = train(here, system, None, combination)
    assert {weight.device.type for weight in whole.state.values()} == {here.device.type}
    assert same(train(here, system, None, combination), whole)
    killed_after(tmp_path, 3, monkeypatch, lambda where: train(here, system, where, combination))
    assert same(train(here, system, Place(tmp_path, "test"), combination), whole)
    # From what is done.
    assert same(train(here, system, Place(tmp_path, "test"), combination), whole)


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_the_teacher_repeats_and_goes_on_with_the_same_bits(
    here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, micro_batch: int | None
) -> None:
    del kind
    teacher = replace(here.preset.teacher, epochs=4, micro_batch=micro_batch)

    def run(where: Place | None) -> Fitted:
        return train_teacher(here.store, here.preset.network, teacher, 0, "test", here.device, where)

    whole = run(None)
    assert same(run(None), whole)
    killed_after(tmp_path, 2, monkeypatch, run)
    assert same(run(Place(tmp_path, "test")), whole)


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(("system", "combination"), SYSTEMS)
def test_the_same_weights_say_the_same_on_both(
    here: World, there: World, system: str, combination: int | None
) -> None:
    networks = [made(world, system, combination).network for world in (here, there)]
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(weight.cpu(), states[1][name]) for name, weight in states[0].items())
    outputs = [on_dev(*given, combination) for given in zip((here, there), networks, strict=True)]
    assert largest(*outputs) < 1e-5


@pytest.mark.usefixtures("single")
def test_dropped_frames_are_the_same_on_both(here: World, there: World) -> None:
    dev = here.store.splits["dev"]
    numbers = {m: frame_numbers(dev, m, 0) for m in MODALITIES}
    found = [predict_dropped(w.teacher, dev, 0.5, numbers, 16, w.device) for w in (here, there)]
    assert largest(*found) < 1e-5


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(("system", "combination"), SYSTEMS)
def test_a_training_without_dropout_is_near_that_on_a_cpu(
    here: World, there: World, system: str, combination: int | None
) -> None:
    logs, outputs = [], []
    for world in (here, there):
        # Warm for both epochs, so that no weight of MAR magnifies a difference.
        fitted = train(world, system, None, combination, dropout_off=True, epochs=2)
        logs.append(fitted.log)
        fitted = train(world, system, None, combination, dropout_off=True, epochs=1)
        network = made(world, system, combination).network
        network.load_state_dict(fitted.state)
        outputs.append(on_dev(world, network, combination))
    assert logs[0][0]["loss"] == pytest.approx(logs[1][0]["loss"], rel=1e-4)
    assert logs[0][1]["loss"] == pytest.approx(logs[1][1]["loss"], rel=1e-2)
    assert largest(*outputs) < 1e-3


@pytest.mark.usefixtures("single")
def test_a_teacher_without_dropout_is_near_that_of_a_cpu(here: World, there: World) -> None:
    network = replace(here.preset.network, transformer_dropout=0.0, fusion_dropout=0.0)
    teacher = here.preset.teacher
    found = [train_teacher(w.store, network, teacher, 0, "test", w.device) for w in (here, there)]
    for epoch, near in ((0, 1e-4), (1, 1e-2)):
        losses = [fitted.log[epoch]["loss"] for fitted in found]
        assert losses[0] == pytest.approx(losses[1], rel=near)


@pytest.mark.parametrize(("system", "combination"), SYSTEMS)
def test_bf16_is_near_float32(here: World, system: str, combination: int | None) -> None:
    losses = []
    for each in KINDS:
        with computing(each, here.device):
            losses.append(train(here, system, None, combination, epochs=1).log[0]["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=2**-6)


@pytest.mark.usefixtures("single")
def test_checkpoints_and_teacher_outputs_go_from_one_to_the_other(
    here: World, there: World, tmp_path: Path
) -> None:
    settings, store = here.preset.network, here.store
    for source, target in ((here, there), (there, here)):
        state = train(source, "cmad", None).state
        moved = {name: weight.to(target.device) for name, weight in state.items()}
        paths = [tmp_path / name / "seed-0.pt" for name in (source.device.type, "moved")]
        for path, weights in zip(paths, (state, moved), strict=True):
            save_network(path, weights, settings, store)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        networks = [load_network(paths[0], settings, store, world.device) for world in (source, target)]
        assert next(networks[1].parameters()).device.type == target.device.type
        assert largest(on_dev(source, networks[0]), on_dev(target, networks[1])) < 1e-5
        save_cache(tmp_path / "cache.npz", source.cache)
        loaded = load_cache(tmp_path / "cache.npz", target.device)
        assert loaded.outputs.device.type == target.device.type
        assert torch.equal(loaded.outputs.cpu().nan_to_num(), source.cache.outputs.cpu().nan_to_num())


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_a_language_encoder_is_fine_tuned(
    tmp_path: Path, gpu: torch.device, kind: str, micro_batch: int | None
) -> None:
    del kind
    pytest.importorskip("transformers", reason="the text extra is not installed")
    from tests.generators.tokens import TokenWorld

    world = TokenWorld(tmp_path, device=gpu)
    found = [world.train("cmad", micro_batch=micro_batch)[1] for _ in range(2)]
    assert same(*found)
    moved = [name for name in found[0].state if name.startswith("encoder.")]
    fresh = world.method("cmad").network.state_dict()
    assert any(not torch.equal(found[0].state[name], fresh[name]) for name in moved)


@pytest.mark.parametrize("each", KINDS)
def test_stages_train_on_the_gpu_by_either_name(here: World, room: Path, tmp_path: Path, each: str) -> None:
    preset, store, kept = here.preset, room / "demo_classes", Scratch(tmp_path / "scratch", 2**30)
    written = []
    for name in ("auto", "cuda"):
        own = tmp_path / name
        of_teacher = teachers.Recipe(preset.network, preset.teacher, (0, 1), 1, name, each)
        teachers.make_teachers(of_teacher, store, own / "teacher", "teacher", None)
        for what, weights, scratch in (("full", "full", kept), ("none", "none", None)):
            keep = Keep(weights, (0.5,), 0)  # type: ignore[arg-type]
            recipe = students.Recipe("cmad", {}, preset.network, preset.student, keep, (0, 1), 1, name, each)
            students.train_students(recipe, store, own / "teacher", own / what, False, scratch)
        files = [path for path in sorted(own.rglob("*")) if path.is_file()]
        written.append({path.relative_to(own): path.read_bytes() for path in files})
    assert len(written[0]) == 4 + 1 + 2 * (2 + 1)
    assert written[0] == written[1]
    assert len(list(kept.folder.iterdir())) == 2


@pytest.mark.parametrize("each", KINDS)
def test_the_pipeline_from_raw_data_to_the_report(tmp_path: Path, each: str) -> None:
    params: dict[str, Any] = small_params() | {"device": "cuda", "precision": each}
    params |= {"unified": ["mmanet"], "customised": ["umdf"]}
    write_params(tmp_path, params)
    shutil.copytree(ROOT / "data/raw/demo", tmp_path / "data/raw/demo")
    shutil.copytree(ROOT / "data/paper", tmp_path / "data/paper")
    (tmp_path / "reports").mkdir()
    commands = [
        "stages.preprocess demo",
        "stages.teacher demo",
        "stages.student demo tea",
        "stages.student demo cmad",
        "stages.system demo mmanet unified",
        "stages.system demo umdf customised",
        "stages.evaluate demo",
    ]
    # The report is drawn; nothing of it is computed on a GPU.
    commands += ["stages.report"] if importlib.util.find_spec("matplotlib") else []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CMAD_SCRATCH": str(tmp_path / "scratch")}
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}"
    scores = pd.read_csv(tmp_path / "data/runs/demo/evaluation/scores.csv")
    assert {"tea", "cmad", "mmanet_unified", "umdf_customised"} < set(scores["variant"])
    assert scores.loc[scores["metric"] == "f1", "value"].notna().all()


@pytest.mark.parametrize("each", KINDS)
def test_a_plan_is_made(tmp_path: Path, each: str) -> None:
    write_params(tmp_path, small_params() | {"device": "cuda", "precision": each, "unified": ["corrkd"]})
    found = plan(tmp_path / "params.yaml", tmp_path / "data")
    assert "cannot run" not in found
    assert found.count("a few steps on random batches") >= 3


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.75])
def test_dropout_keeps_as_many_as_it_should(gpu: torch.device, p: float, half: bool) -> None:
    count = 1_000_001
    inputs = torch.ones(count, device=gpu, dtype=torch.bfloat16 if half else torch.float32)
    with torch_seeded(0, "dropout"):
        outputs, _ = ReluDropout(p).forward(inputs)
    assert torch.unique(outputs).tolist() == [0, 1]
    share = float((outputs > 0).double().mean())
    assert abs(share - (1 - p)) < 4 * (p * (1 - p) / count) ** 0.5


def test_what_is_set_and_drawn_inside_is_forgotten_outside(gpu: torch.device) -> None:
    def settings() -> list[Any]:
        products: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
        deterministic = torch.are_deterministic_algorithms_enabled()
        return [deterministic, *(each.fp32_precision for each in products)]

    torch.rand(1, device=gpu)
    before, drawn = settings(), torch.cuda.get_rng_state()
    with repeatable(gpu), torch_seeded(0, "test"):
        assert settings() == [True, "ieee", "ieee"]
        first = torch.rand(9, device=gpu)
    with torch_seeded(0, "test"):
        assert torch.equal(torch.rand(9, device=gpu), first)
    assert settings() == before
    assert torch.equal(torch.cuda.get_rng_state(), drawn)
