"""The benchmark suite at sizes that take no time: what is compared agrees, and the report says it."""

import json
import mmap
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    against,
    gpu,
    gpu_demo,
    gpu_epochs,
    growth,
    growth_figure,
    imports,
    memory,
    parts,
    point,
    precision,
    rate,
    run,
    startup,
    suite,
    systems,
)
from benchmarks.axes import AXES, Axis
from benchmarks.clock import Seconds, median
from benchmarks.epochs import (
    Epoch,
    disagreement,
    fresh_network,
    padded,
    plain_epoch,
    prepare,
    project_epoch,
    steps,
    with_project_dropout,
)
from benchmarks.exponents import exponent, verdict
from benchmarks.machine import Machine, this_machine
from benchmarks.memory import peak_of
from benchmarks.overhead import write_small_params
from benchmarks.point import peak, seconds
from benchmarks.report import Entry, markdown, read_entries
from benchmarks.section import Measured, Options, Section, table
from benchmarks.shapes import Lengths, Shape, iemocap, minilm, mosei
from benchmarks.suite import Suite
from cmad.computing.randomness import torch_seeded
from cmad.config.load import load
from cmad.errors import UserError
from cmad.scores.bootstrap import Interval
from tests.test_frozen import MINILM

TINY = Options(repeats=1, threads=1)
SECONDS = {"float32": 1.0, "bf16": 2.0}
MACHINE = Machine("some processor", 2, 1, "2.0", "3.11", "Linux", "AVX2")
SHAPES = [mosei(), pytest.param(minilm(), marks=MINILM), iemocap()]


def tiny(shape: Shape) -> Shape:
    """Three batches, the last of them smaller, and few of everything else."""
    return replace(
        shape,
        network=replace(shape.network, width=16, heads=2, head_width=4, depth=1, fusion_feedforward=32),
        student=replace(shape.student, batch=8),
        widths=dict.fromkeys(shape.widths, 6),
        lengths=Lengths(7, 5.0, 2.0),
        train=20,
        dev=9,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_project_and_plain_agree(shape: Shape, tmp_path: Path) -> None:
    case = prepare(tiny(shape), tmp_path)
    student = with_project_dropout(fresh_network(case.shape, case.store, "student"))
    ours, theirs = project_epoch(case), plain_epoch(case, padded(case), student)
    assert disagreement(ours, theirs) <= 1e-5
    assert ours.outputs.shape == (7, 9, case.store.task.outputs)
    assert len(list(steps(case))) == 3
    assert set(ours.losses) == {"task", "cafd", "auxiliary"}


def test_a_training_that_differs_is_seen(tmp_path: Path) -> None:
    case = prepare(tiny(mosei()), tmp_path)
    settings = replace(case.shape.student, sigma=0.2)
    other = replace(case, shape=replace(case.shape, student=settings))
    student = with_project_dropout(fresh_network(case.shape, case.store, "student"))
    assert disagreement(project_epoch(case), plain_epoch(other, padded(case), student)) > 1e-5


def test_stock_dropout_draws_otherwise_and_means_the_same(tmp_path: Path) -> None:
    case = prepare(tiny(mosei()), tmp_path)
    student, shared = (fresh_network(case.shape, case.store, "student") for _ in range(2))
    with_project_dropout(shared)
    tokens = torch.linspace(-1, 1, 6 * 3 * case.shape.network.width).view(6, 3, -1)
    for training, alike in ((True, False), (False, True)):
        found = []
        for network, stock in ((student, False), (shared, True), (student, True)):
            fusion = network.train(training).fusion
            with torch_seeded(0, "dropout"):
                if stock:
                    found.append(fusion.dropout(fusion.linear(fusion.transformer(tokens).flatten(1))).relu())
                else:
                    found.append(fusion(tokens))
        assert torch.allclose(found[0], found[1], atol=1e-5)
        assert torch.allclose(found[0], found[2], atol=1e-5) == alike


def test_precision_is_told_in_words_and_numbers() -> None:
    f1 = {"float32": np.array([0.5, 0.7]), "bf16": np.array([0.6, 0.7])}
    rows = {"tea": precision.Row(f1, Interval(0.05, -0.01, 0.11), {"float32": 1.0, "bf16": 2.0})}
    epoch = Epoch(Seconds(3.0, 2.0), Seconds(1.0, 1.0), {}, np.zeros((7, 1, 1), np.float32))
    epochs = {"float32": [epoch], "bf16": [replace(epoch, training=Seconds(1.0, 1.0))]}
    text = precision.describe(rows, epochs)
    assert "| tea | 60.00 ± 14.14 | 65.00 ± 7.07 | +5.00 [-1.00, +11.00] | 1.0 | 2.0 |" in text
    assert "| **epoch** | 3.00 | 2.00 | 1.50 |" in text
    assert precision.figures(rows, epochs)["mosei_epoch_seconds"] == {"float32": 3.0, "bf16": 2.0}


def test_precision_is_left_out_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    assert "no arithmetic in bfloat16" in precision.measure(TINY).text


def test_shapes_are_the_presets() -> None:
    assert (mosei().network.width, mosei().network.depth, mosei().student.batch) == (96, 5, 128)
    assert (iemocap().network.width, iemocap().network.depth, iemocap().lengths.longest) == (30, 4, 20)
    assert minilm().tokens


def test_disagreement_is_refused_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "all_shapes", lambda: (tiny(mosei()),))
    monkeypatch.setattr(against, "disagreement", lambda *_: float("nan"))
    with pytest.raises(UserError, match="implementations differ"):
        suite.run(suite_of(tmp_path, [against.SECTION]), [against.SECTION], TINY, "command")
    assert not list(tmp_path.iterdir())


@MINILM
def test_comparison_tells_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = tuple(tiny(shape) for shape in (mosei(), minilm(), iemocap()))
    monkeypatch.setattr(against, "all_shapes", lambda: shapes)
    found = against.measure(TINY)
    assert all(shape.title in found.text for shape in shapes)
    assert all(found.figures[shape.name]["largest_difference"] <= 1e-5 for shape in shapes)
    json.dumps(found.figures)


def test_tokens_are_skipped_without_the_text_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "all_shapes", lambda: (tiny(iemocap()), tiny(minilm())))
    monkeypatch.setattr(against, "has_text_extra", lambda: False)
    found = against.measure(TINY)
    assert f"{minilm().title}: skipped, for the `text` extra is not installed" in found.text
    assert found.figures["minilm"] is None


def test_operations_are_those_of_the_plain_step(tmp_path: Path) -> None:
    """Twice the batch is twice the operations, but for CAFD's similarities."""
    counts = []
    for name, batch in (("one", 8), ("two", 16)):
        shape = replace(tiny(mosei()), lengths=Lengths(7, 7, 0.0))
        shape = replace(shape, student=replace(shape.student, batch=batch), train=16)
        counts.append(rate.dense_operations(prepare(shape, tmp_path / name)))
    width = shape.network.width
    # Two products B by D by B of the student and teacher, one of them with its gradient.
    similarities = [2 * batch**2 * width * 3 for batch in (8, 16)]
    assert counts[0] > 100 * similarities[0]
    assert counts[1] - similarities[1] == 2 * (counts[0] - similarities[0])


def test_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "all_shapes", lambda: (tiny(iemocap()),))
    monkeypatch.setattr(rate, "SIZES", (16, 32))
    monkeypatch.setattr(rate, "SECONDS", 0.01)
    found = rate.measure(TINY)
    assert found.figures["shapes"]["iemocap"]["gflops"] > 0
    assert set(found.figures["matmul_gflops"]) == {"16", "32"}
    assert iemocap().title in found.text


def test_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "mosei", lambda: tiny(mosei()))
    found = parts.measure(TINY)
    seconds = found.figures["part_seconds"]
    assert min(value for name, value in seconds.items() if name != "rest") > 0
    assert "`aten::" in found.text
    assert len(found.figures["operators"]) == parts.OPERATORS
    assert sum(each["share"] for each in found.figures["operators"]) <= 1


def test_systems_are_all_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    long_enough_for_prompts = replace(tiny(mosei()), lengths=Lengths(16, 6.0, 2.0))
    monkeypatch.setattr(systems, "half", lambda: long_enough_for_prompts)
    found = systems.measure(TINY)
    assert list(found.figures["seconds"]) == list(systems.SYSTEMS)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(power: float) -> None:
    sizes = [1, 2, 4, 8, 16]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_exponent_looks_at_the_upper_half() -> None:
    sizes = [1, 2, 4, 8, 16, 32]
    assert exponent(sizes, [32, 32, 32, *(size**2 for size in sizes[3:])]) == pytest.approx(2)
    # Of a constant and a linear part it finds no more than the linear one.
    assert exponent(sizes, [10 + size for size in sizes]) < 1


def test_verdict() -> None:
    assert verdict(0.9, 1) == "within"
    assert verdict(1.04, 1) == "within"
    assert verdict(1.2, 1) == "**worse, +0.20**"


def curves(power: float) -> list[growth.Curve]:
    return [
        growth.Curve(axis, [value**power for value in axis.values], [float(value) for value in axis.values])
        for axis in AXES.values()
    ]


def test_growth_says_plainly_what_is_worse() -> None:
    assert "No fitted exponent is more than 0.05 above" in growth.describe(curves(1.0), 5)
    text = growth.describe(curves(1.5), 5)
    assert "Faster than their formulas grow: time with samples (1.50 instead of 1)" in text
    assert "time with D" not in text


def test_growth_figure(tmp_path: Path) -> None:
    fitted = [(each.axis, each.seconds, each.of_time) for each in curves(1.0)]
    growth_figure.draw(fitted, fitted, tmp_path / "growth.svg")
    drawn = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert drawn.count("exponent 1.00") == 2 * len(AXES)
    assert list(tmp_path.iterdir()) == [tmp_path / "growth.svg"]


def test_points_are_measured() -> None:
    axis = replace(AXES["seeds"], values=(1, 2))
    once, twice = seconds(axis, repeats=1)
    assert 0 < once < twice
    assert 0 <= peak(axis, 1) < 500


def test_sizes_are_measured_in_turn_and_their_medians_count(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    # The second round meets a loud minute. A step of the batch axis is an eighth of a run.
    costs = iter([8.0, 16.0, 80.0, 160.0, 8.8, 17.6])
    clock = 0.0

    def training(_axis: Axis, value: int, _folder: Path) -> Callable[[], None]:
        def train() -> None:
            nonlocal clock
            taken.append(value)
            clock += next(costs)

        return train

    monkeypatch.setattr(point, "training", training)
    monkeypatch.setattr(point, "now", lambda: Seconds(0.0, clock))
    found = seconds(replace(AXES["batch"], values=(32, 64)), repeats=3)
    assert found == pytest.approx([1.1, 2.2])
    assert taken == [32, 64] * 3


def test_peak_sees_what_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    look, looks = memory._own, 0

    def counted() -> float | None:
        nonlocal looks
        seen = look()
        looks += 1
        return seen

    def work() -> None:
        # Not np.ones: what other tests gave back lies free in the process, and it would take that.
        size = 64 * 2**20
        held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1
        # On a busy machine the thread that looks comes late; of two more looks one began after this line.
        wanted, given_up = looks + 2, time.monotonic() + 60
        while looks < wanted and time.monotonic() < given_up:
            time.sleep(0.01)
        held.close()

    monkeypatch.setattr(memory, "_own", counted)
    assert 60 < peak_of(work) < 100


def test_report_stage_is_seen_to_import_what_it_needs() -> None:
    found = imports.imports("report", repeats=1)
    assert "matplotlib" in found.heavy
    assert found.superfluous == ()


def test_grid_that_is_not_there_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "ROOT", tmp_path)
    assert str(startup.no_op_repro()).startswith("skipped, for `data/runs` is not there")
    (tmp_path / "data/runs").mkdir(parents=True)
    monkeypatch.setattr(startup, "_dvc", lambda *command: int(command[0] == "status"))
    assert "not up to date" in str(startup.no_op_repro())
    monkeypatch.setattr(startup, "_dvc", lambda *_: 0)
    assert isinstance(startup.no_op_repro(), float)


def test_params_of_the_overhead_are_taken(tmp_path: Path) -> None:
    write_small_params(tmp_path)
    assert load(tmp_path / "params.yaml").datasets == ("demo",)


def entry(text: str, date: str = "2026-01-01 10:00", figures: Mapping[str, int] | None = None) -> Entry:
    return Entry(date, "command", 1.0, MACHINE, text, figures or {})


def test_report_holds_each_section_and_names_what_is_missing() -> None:
    sections = run.SUITE.sections
    entries = {section.name: entry(f"text of {section.name}") for section in sections}
    text = markdown("Title", sections, entries, "numbers.json")
    assert text.startswith("# Title\n")
    assert "[numbers.json](numbers.json)" in text
    for section in sections:
        assert f"## {section.title}\n\ntext of {section.name}\n" in text
    assert all(
        part in text for part in ("some processor", "torch 2.0", "1 thread(s)", "AVX2", "2026-01-01 10:00")
    )
    last = sections[-1]
    del entries[last.name]
    assert f"Not measured: {last.title}." in markdown("", sections, entries, "")


def test_one_section_leaves_the_others_with_the_machine_that_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = [
        Section("first", "First", lambda _: Measured("about first", {"value": 1})),
        Section("second", "Second", lambda _: Measured("about second", {"value": 2})),
    ]
    own = suite_of(tmp_path, sections)
    suite.run(own, sections[:1], TINY, "command")
    monkeypatch.setattr(suite, "this_machine", lambda *_: MACHINE)
    suite.run(own, sections[1:], TINY, "command")
    first, second = own.report.read_text(encoding="utf-8").split("about second")
    assert "about first" in first
    assert "some processor" not in first
    assert "some processor" in second
    found = read_entries(own.numbers)
    assert found["second"].machine == MACHINE
    assert found["first"].machine == this_machine(os.cpu_count() or 1, 1)


def test_what_cannot_be_measured_here_stays_as_another_machine_measured_it(tmp_path: Path) -> None:
    def run(found: Measured) -> str:
        own = suite_of(tmp_path, [Section("first", "First", lambda _: found)])
        suite.run(own, own.sections, TINY, "command")
        return own.report.read_text(encoding="utf-8")

    nothing = Measured("not here", {})
    assert "not here" in run(nothing)
    assert "about first" in run(Measured("about first", {"value": 1}))
    assert "about first" in run(nothing)
    assert "about it anew" in run(Measured("about it anew", {"value": 2}))


def suite_of(folder: Path, sections: list[Section]) -> Suite:
    return Suite("benchmarks.test", "Test", sections, folder / "report.md", folder / "numbers.json")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU in its place, with an emulated bfloat16."""
    for module in (gpu_epochs, gpu_demo):
        monkeypatch.setattr(module, "choose_device", lambda _: torch.device("cpu"))
        monkeypatch.setattr(module, "has_bf16", lambda _: True)
    monkeypatch.setattr("cmad.computing.precision.has_bf16", lambda _: True)


@pytest.mark.usefixtures("no_gpu")
def test_gpu_epochs_are_told_in_words_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, shape in (("mosei", mosei()), ("iemocap", iemocap()), ("large", gpu_epochs.large())):
        monkeypatch.setattr(gpu_epochs, name, lambda shape=shape: tiny(shape))
    found = gpu_epochs.measure(TINY)
    assert all(f"| {shape.title} | CPU, float32 |" in found.text for shape in (mosei(), iemocap()))
    assert "(bf16 than float32)" in found.text
    assert all(set(each["largest_difference"]) == {"plain", "CPU"} for each in found.figures.values())
    # Without dropout in the same place it is the same computation.
    assert found.figures["mosei"]["largest_difference"]["CPU"] == 0
    large = gpu_epochs.measure_large(TINY)
    assert "CPU, float32" not in large.text
    assert set(large.figures["large"]["times_as_fast"]) == {"bf16 than float32", "the project than plain"}
    json.dumps([found.figures, large.figures])


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_computes_something_else_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_epochs, "disagreement", lambda *_: float("nan"))
    with pytest.raises(UserError, match="the project on the GPU and plain differ"):
        gpu_epochs.compare(tiny(mosei()), 1, torch.device("cpu"), beside=True)


@pytest.mark.usefixtures("no_gpu")
def test_the_demo_set_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"tea": precision.Row({p: np.ones(3) for p in precision.PRECISIONS}, Interval(0, 0, 0), SECONDS)}
    monkeypatch.setattr(gpu_demo, "demo_rows", lambda *_: rows)
    found = gpu_demo.measure(TINY)
    assert "| tea | 100.00 ± 0.00 |" in found.text
    assert found.figures["demo"]["tea"]["seconds"] == SECONDS


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_suite_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gpu"])
        with pytest.raises(SystemExit) as caught:
            suite.main(gpu.SUITE)
    assert caught.value.code == "error: torch finds no GPU here, and it is a GPU that would be measured"
    assert capsys.readouterr().out == ""


def test_table_and_median() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    times = [Seconds(1, 9), Seconds(2, 8), Seconds(3, 1)]
    assert median(times) == Seconds(2, 8)


def test_matmul_rate_leaves_the_generator() -> None:
    before = torch.random.get_rng_state()
    assert rate.matmul_rate(16, seconds=0.01) > 0
    assert torch.equal(before, torch.random.get_rng_state())
