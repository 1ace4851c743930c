"""The parameter file: YAML 1.2 as DVC reads it, a strict schema, and what a stage may read."""

import copy
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass
from functools import cache, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cmad.config.load import PRESETS, load
from cmad.config.names import dotted, nearest, shown
from cmad.config.overrides import override
from cmad.config.schema import Config
from cmad.config.stages import (
    EvaluateAlsoParams,
    EvaluateParams,
    PreprocessParams,
    ReportParams,
    StudentParams,
    SweepParams,
    SystemParams,
    TeacherParams,
    keys,
    read,
)
from cmad.config.yaml12 import read_yaml
from cmad.errors import UserError
from tests.project import checked, committed_params, write_params

PARAMS = Path(__file__).parents[1] / "params.yaml"
KINDS = (
    PreprocessParams,
    TeacherParams,
    StudentParams,
    SweepParams,
    SystemParams,
    EvaluateParams,
    EvaluateAlsoParams,
    ReportParams,
)


def committed() -> Any:
    """A fresh copy of what the committed files hold."""
    return deepcopy(_data())


@cache
def _data() -> Any:
    return committed_params()


def small() -> Any:
    """A fresh copy of a part of them, for the many tests that need no more of it."""
    data = committed()
    data["variants"] = ["tea", "cmad", "cmad_w"]
    data["also"] = {"datasets": [], "variants": ["tea", "cmad"], "sweeps": ["phi"]}
    for section, names in (("definitions", data["variants"]), ("presets", ["demo", "mosi_folder"])):
        data[section] = {name: data[section][name] for name in names}
    return data


def plain(value: Any) -> Any:
    """A configuration as the dictionaries and lists that YAML knows."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def put(data: Any, key: str, value: Any) -> Any:
    """Set what stands at a dotted key; items of lists are numbers."""
    *way, last = (int(name) if name.isdigit() else name for name in key.split("."))
    reduce(lambda inner, name: inner[name], way, data)[last] = value
    return data


def drop(data: Any, key: str) -> Any:
    *way, last = key.split(".")
    del reduce(lambda inner, name: inner[name], way, data)[last]
    return data


def problems(data: Any) -> list[str]:
    """The lines of the error, each with the full dotted key in place of the file."""
    with pytest.raises(UserError) as caught:
        checked(data)
    return [placed(line) for line in str(caught.value).splitlines()]


def placed(line: str) -> str:
    """A line with its preset's name before the key, in place of the file."""
    where, _, problem = line.partition(": ")
    if where == "params.yaml":
        return problem
    found = re.fullmatch(r"data/presets/(.*)\.yaml", where)
    assert found, line
    return f"{dotted('presets', found[1])}.{problem}"


def outcome(attempt: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What an attempt gives, or the lines of its UserError; any other exception is the test's failure."""
    try:
        return attempt(), []
    except UserError as error:
        return None, str(error).splitlines()


# YAML 1.2

# Everything that both must read alike; "1e-05" is what `dvc exp run -S lr=0.00001` writes.
TRICKY = """\
rates: [1e-05, 1e5, 1E5, 1.0, .5, -.5, 5., 12e03, 0.1e+3, 1e5x, '1e5']
wholes: [0, -0, +1, 017, 0o17, 0xff, "0o17"]
minutes: 1:30
words: [yes, no, on, off, y, n, true, True, TRUE, false, 'true', tRue]
nothing: [null, Null, NULL, ~, 'null', '']
empty:
infinite: [.inf, -.INF, +.Inf, inf, nan]
nested: {list: [], section: {}, text: "a: b"}
date: '2024-01-01'
"""


@pytest.fixture
def dvc_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """What DVC makes of a text in params.yaml."""
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    import dvc.api
    from dvc.repo import Repo

    Repo.init(str(tmp_path), no_scm=True).close()

    def shows(text: str) -> Any:
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return dvc.api.params_show(repo=str(tmp_path))

    return shows


def test_dvc_reads_the_same(dvc_shows: Callable[[str], Any]) -> None:
    ours = read_yaml(TRICKY, "params.yaml")
    # repr tells 1 from 1.0 and from True.
    assert repr(ours) == repr(dvc_shows(TRICKY))
    for file, text in _texts().items():
        assert repr(read_yaml(text, file)) == repr(dvc_shows(text))


def test_core_schema() -> None:
    assert read_yaml("[1e-05, 1E5, .5, 017, 0o17, 0xff, -12]", "") == [1e-05, 100000.0, 0.5, 17, 15, 255, -12]
    assert read_yaml("[yes, no, on, off, 1:30]", "") == ["yes", "no", "on", "off", "1:30"]
    assert read_yaml("[true, FALSE, null, ~, '']", "") == [True, False, None, None, ""]
    assert read_yaml("[.inf, -.inf]", "") == [math.inf, -math.inf]
    assert math.isnan(read_yaml(".nan", ""))
    assert read_yaml("", "") is None


@pytest.mark.parametrize("text", ["2024-01-01", "1_000", "0b11", "-0xff", "<<", "="])
def test_what_only_yaml_1_1_knows_is_a_text(text: str) -> None:
    assert read_yaml(text, "") == text


@given(st.text("0123456789.+-_eExoabinf~ul", min_size=1, max_size=8))
def test_dvc_never_reads_another_number(text: str) -> None:
    from dvc.utils.serialize import YAMLError, parse_yaml

    document = f"a: {text}"
    try:
        ours, theirs = read_yaml(document, "")["a"], parse_yaml(document, "")["a"]
    except (UserError, YAMLError, ValueError):
        return  # ValueError: theirs chokes on e.g. "0o_".
    numbers = (int, float)
    if type(ours) in numbers and type(theirs) in numbers:
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "p.yaml, line 3: not valid YAML: the key 'a' stands twice; mend this line"),
        ("a: {x: 1, x: 1}", "p.yaml, line 1: not valid YAML: the key 'x' stands twice; mend this line"),
        ("a:\n- [1\nb: 2\n", "p.yaml, line 3: not valid YAML: "),
        ("a: 1\n\tb: 2\n", "p.yaml, line 2: not valid YAML: "),
        ("a: 1\n--- \nb: 1", "p.yaml, line 2: not valid YAML: but found another document; mend this line"),
        ("a: 1\nb: \x00", "p.yaml, line 2: not valid YAML: the character 0x0 is not allowed; mend this line"),
        ("a: !!int x", "p.yaml, line 1: not valid YAML: 'x' is no tag:yaml.org,2002:int; mend this line"),
        ("a: !!map [x]", "p.yaml, line 1: not valid YAML: this is no tag:yaml.org,2002:map; mend this line"),
        ("!!python/name:os.system ''", "p.yaml, line 1: not valid YAML: the tag tag:yaml.org,2002:python"),
        ("a: !!timestamp x", "p.yaml, line 1: not valid YAML: the tag tag:yaml.org,2002:timestamp is not"),
        ("[a]: 1", "p.yaml, line 1: not valid YAML: a key must be a plain word; mend this line"),
        ("a: &a [*a]", "p.yaml, line 1: not valid YAML: found unconstructable recursive node"),
        ("a: *b", "p.yaml, line 1: not valid YAML: found undefined alias 'b'; mend this line"),
        ("a: " + "9" * 5000, "p.yaml, line 1: not valid YAML: a whole number of more than 64 bits; mend"),
        ("a: 9223372036854775808", "p.yaml, line 1: not valid YAML: a whole number of more than 64 bits"),
        ("[" * 1000, "p.yaml: not valid YAML: nested too deeply; flatten it"),
    ],
)
def test_bad_yaml(text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}") as caught:
        read_yaml(text, "p.yaml")
    assert len(str(caught.value).splitlines()) == 1


@given(st.text(max_size=40) | st.text(":-[]{},\"'#&*!|>%@\n \ta1.", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    _, lines = outcome(lambda: read_yaml(text, "p.yaml"))
    assert len(lines) <= 1


# The schema


def test_committed_file_loads() -> None:
    config = load(PARAMS)
    assert "cmad" in config.definitions
    assert set(config.datasets) <= set(config.presets)


def test_round_trip() -> None:
    config = load(PARAMS)
    again = checked(read_yaml(yaml.safe_dump(plain(config), sort_keys=False), "again"))
    assert again == config
    # repr tells 1 from 1.0.
    assert repr(again) == repr(config)


def test_nothing_can_be_changed() -> None:
    data = put(small(), "definitions.cmad_w.student.optimiser", {"milestones": [3]})
    config = checked(data)
    assert isinstance(config.seeds, tuple)
    assert isinstance(config.presets, MappingProxyType)
    changes = config.definitions["cmad_w"].student
    assert isinstance(changes, MappingProxyType)
    assert isinstance(changes["optimiser"], MappingProxyType)
    assert changes["optimiser"]["milestones"] == (3,)
    with pytest.raises(FrozenInstanceError):
        config.threads = 2  # type: ignore[misc]
    data["definitions"]["cmad_w"]["student"]["optimiser"]["milestones"].append(4)
    assert changes["optimiser"]["milestones"] == (3,)


def test_a_whole_number_serves_as_a_float() -> None:
    sigma = checked(put(small(), "presets.demo.student.sigma", 2)).presets["demo"].student.sigma
    assert type(sigma) is float
    assert sigma == 2.0


D = "presets.demo"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # Wrong types.
        ("threads", True, "threads = true: must be a whole number from 1 to 4096"),
        ("threads", 1.0, "threads = 1.0: must be a whole number from 1 to 4096"),
        ("threads", "1", 'threads = "1": must be a whole number from 1 to 4096'),
        ("threads", None, "threads = null: must be a whole number from 1 to 4096"),
        (f"{D}.student.sigma", False, f"{D}.student.sigma = false: must be a finite number at least 0"),
        (f"{D}.student.sigma", "1e-05", f'{D}.student.sigma = "1e-05": must be a finite number at least 0'),
        (f"{D}.student.dropout_off", "yes", f'{D}.student.dropout_off = "yes": must be true or false'),
        (f"{D}.student.dropout_off", 0, f"{D}.student.dropout_off = 0: must be true or false"),
        (
            "datasets.0",
            3,
            "datasets[0] = 3: must be a text",
        ),
        # Out of range.
        # More than torch takes would end a stage after its work began.
        ("threads", 2**31, "threads = 2147483648: must be a whole number from 1 to 4096"),
        (f"{D}.student.sigma", -0.1, f"{D}.student.sigma = -0.1: must be a finite number at least 0"),
        (f"{D}.student.sigma", math.inf, f"{D}.student.sigma = Infinity: must be a finite number at least 0"),
        (f"{D}.student.alpha", math.nan, f"{D}.student.alpha = NaN: must be a finite number from 0 to 1"),
        (f"{D}.student.alpha", 1.5, f"{D}.student.alpha = 1.5: must be a finite number from 0 to 1"),
        (f"{D}.student.tau", 0, f"{D}.student.tau = 0: must be a finite number above 0"),
        (
            f"{D}.student.optimiser.clip",
            0,
            f"{D}.student.optimiser.clip = 0: must be a finite number above 0 or null",
        ),
        ("seeds.1", -1, "seeds[1] = -1: must be a whole number at least 0"),
        (
            f"{D}.teacher.optimiser.milestones",
            [3, -1],
            f"{D}.teacher.optimiser.milestones[1] = -1: must be a whole number at least 0",
        ),
        (
            f"{D}.evaluate.drop_ratios",
            [0, 0.5],
            f"{D}.evaluate.drop_ratios[0] = 0: must be a finite number above 0 and at most 1",
        ),
        # Not among the literals.
        (
            f"{D}.student.weigh",
            "boht",
            f'{D}.student.weigh = "boht": must be one of both, task, auxiliary, none; did you mean both?',
        ),
        ("device", "CPU", 'device = "CPU": must be one of auto, cpu, cuda; did you mean cpu?'),
        ("precision", "fp16", 'precision = "fp16": must be one of float32, bf16; did you mean bf16?'),
        ("precision", None, "precision = null: must be one of float32, bf16; known: float32, bf16"),
        ("device", "tpu7", 'device = "tpu7": must be one of auto, cpu, cuda; known: auto, cpu, cuda'),
        (
            f"{D}.preprocess.standardise.2",
            "video",
            f'{D}.preprocess.standardise[2] = "video": must be one of language, audio, vision; '
            "known: language, audio, vision",
        ),
        # Wrong containers.
        ("seeds", 3, "seeds = 3: must be a list, each item a whole number at least 0"),
        ("seeds", {"a": 1}, 'seeds = {"a": 1}: must be a list, each item a whole number at least 0'),
        ("definitions", [], "definitions = []: must be a section"),
        (
            f"{D}.network.kernels",
            3,
            f"{D}.network.kernels = 3: must be a section with language, audio, vision",
        ),
        (
            "presets.mosi_folder.preprocess.text",
            "minilm",
            'presets.mosi_folder.preprocess.text = "minilm": must be a section with encoder, fine_tune, '
            "context or null",
        ),
        (
            "definitions.tea",
            None,
            "definitions.tea = null: must be a section with method, student",
        ),
        ("definitions.tea.student", None, "definitions.tea.student = null: must be a section"),
        # Unknown keys.
        (f"{D}.student.sigam", 0.1, f"{D}.student.sigam = 0.1: unknown key; did you mean sigma?"),
        ("thread", 2, "thread = 2: unknown key; did you mean threads?"),
        (
            f"{D}.network.kernels.zzz",
            "x" * 100,
            f'{D}.network.kernels.zzz = "{"x" * 56}...: unknown key; known: language, audio, vision',
        ),
        # The grid.
        ("datasets.0", "dmeo", 'datasets[0] = "dmeo": there is no such preset; did you mean demo?'),
        ("variants.2", "cmda", 'variants[2] = "cmda": there is no such definition; did you mean cmad?'),
        ("datasets", [], "datasets = []: must not be empty"),
        ("variants", [], "variants = []: must not be empty"),
        ("seeds", [], "seeds = []: must not be empty"),
        ("datasets", ["demo", "demo"], 'datasets = ["demo", "demo"]: "demo" stands more than once'),
        ("variants", ["tea", "tea"], 'variants = ["tea", "tea"]: "tea" stands more than once'),
        ("seeds", [0, 1, 0], "seeds = [0, 1, 0]: 0 stands more than once"),
        # Rules of a section.
        (
            f"{D}.preprocess.standardise",
            ["audio", "vision", "audio"],
            f'{D}.preprocess.standardise = ["audio", "vision", "audio"]: "audio" stands more than once',
        ),
        (f"{D}.evaluate.drop_ratios", [], f"{D}.evaluate.drop_ratios = []: must not be empty"),
        (f"{D}.network.heads", 3, f"{D}.network.width = 16: must be a multiple of heads = 3"),
        (f"{D}.network.kernels.audio", 2, f"{D}.network.kernels.audio = 2: must be odd"),
        (
            f"{D}.network.perceiver_dropout",
            0.1,
            f"{D}.network.perceiver_dropout = 0.1: must be 0; a sample's absent modality is one shared"
            " token; dropout inside the Perceiver would make that untrue",
        ),
        (
            f"{D}.preprocess.generator",
            None,
            f"{D}.preprocess.generator = null: format demo needs a section with seed, train, dev, test, "
            "missing_audio, missing_vision",
        ),
        (
            f"{D}.preprocess.text",
            {"encoder": "minilm", "fine_tune": False, "context": False},
            f"{D}.preprocess.text: must be null for format demo, whose language comes as features",
        ),
        (
            f"{D}.preprocess.half",
            ["audio", "audio"],
            f'{D}.preprocess.half = ["audio", "audio"]: "audio" stands more than once',
        ),
        (
            "presets.mosi_folder.preprocess.text.encoder",
            " ",
            'presets.mosi_folder.preprocess.text.encoder = " ": must name a model, a folder or minilm',
        ),
        (
            "presets.mosi_folder.preprocess.text.fine_tune",
            True,
            "presets.mosi_folder.preprocess.standardise: must not hold language where text.fine_tune is "
            "true: the store has its token ids",
        ),
        (
            f"{D}.preprocess.format",
            "folder",
            f"{D}.preprocess.generator: must be null for format folder, which generates nothing",
        ),
        (
            f"{D}.evaluate.drop_ratios",
            [0.5, 0.1],
            f"{D}.evaluate.drop_ratios = [0.5, 0.1]: must be sorted, each ratio once",
        ),
        (
            f"{D}.evaluate.drop_ratios",
            [0.5, 0.5],
            f"{D}.evaluate.drop_ratios = [0.5, 0.5]: must be sorted, each ratio once",
        ),
        # Definitions: reported under the definition, once, though it fails with every preset.
        (
            "definitions.tea.student",
            {"sigam": 0},
            "definitions.tea.student.sigam = 0: unknown key; did you mean sigma?",
        ),
        (
            "definitions.tea.student",
            {"sigma": "a"},
            'definitions.tea.student.sigma = "a": must be a finite number at least 0',
        ),
        (
            "definitions.tea.student",
            {"optimiser": {"clip": -1}},
            "definitions.tea.student.optimiser.clip = -1: must be a finite number above 0 or null",
        ),
        (
            "definitions.tea.student",
            {"optimiser": {"milestones": [-1]}},
            "definitions.tea.student.optimiser.milestones[0] = -1: must be a whole number at least 0",
        ),
        # Names.
        # Sweeps and the second grid.
        (
            "sweeps",
            ["sigme"],
            'sweeps[0] = "sigme": sweep_values has no values of it; did you mean sigma?',
        ),
        (
            "sweeps",
            ["sigma", "sigma"],
            'sweeps = ["sigma", "sigma"]: "sigma" stands more than once',
        ),
        ("sweeps", [3], "sweeps[0] = 3: must be a text"),
        (
            "also.sweeps",
            ["tau"],
            'also.sweeps[0] = "tau": sweep_values has no values of it; known: sigma, gamma, rho, phi, alpha',
        ),
        (
            "sweep_values.sigme",
            [0.1],
            "sweep_values.sigme: the student section has no such number; did you mean sigma?",
        ),
        ("sweep_values.alpha", [2], "sweep_values.alpha[0] = 2.0: must be a finite number from 0 to 1"),
        ("sweep_values.warmup", [1.5], "sweep_values.warmup[0] = 1.5: must be a whole number at least 1"),
        ("sweep_values.rho", [5, 5.0], "sweep_values.rho[1] = 5.0: the same value as before; take one out"),
        (
            "sweep_values.rho",
            [],
            "sweep_values.rho = []: must hold at least one value; take the knob out of the sweeps instead",
        ),
        ("sweep_values.phi", ["x"], 'sweep_values.phi[0] = "x": must be a finite number'),
        (
            "also.datasets",
            ["demo"],
            'also.datasets[0] = "demo": stands in datasets too; take it out of one of the two',
        ),
        (
            "also.datasets",
            ["demo2"],
            'also.datasets[0] = "demo2": there is no such preset; did you mean demo?',
        ),
        (
            "also.variants",
            ["caad"],
            'also.variants[0] = "caad": there is no such definition; did you mean cmad?',
        ),
        ("also.variants", [], "also.variants = []: must not be empty"),
        (
            "definitions.constant",
            {"method": "tea", "student": {}},
            "definitions.constant: this name is reserved; choose another",
        ),
        (
            "definitions.ceiling",
            {"method": "tea", "student": {}},
            "definitions.ceiling: this name is reserved; choose another",
        ),
        (
            "definitions.Tea-1",
            {"method": "tea", "student": {}},
            "definitions.Tea-1: this name becomes a folder's; it must be a text of a-z, 0-9 and _ alone",
        ),
    ],
)
def test_one_problem(key: str, value: Any, message: str) -> None:
    assert problems(put(small(), key, value)) == [message]


def test_a_key_with_a_line_break_stays_on_one_line() -> None:
    known = "preprocess, network, teacher, student, keep, evaluate, systems"
    data = put(small(), f"{D}.a\nb", 1)
    assert problems(data) == [f'{D}."a\\nb" = 1: unknown key; known: {known}']


OPTIMISER = "a section with name, learning_rate, weight_decay, milestones, clip, renew_each_epoch"
EVALUATE = "a section with drop_ratios, seed, batch, resamples, confidence"


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("threads", "a whole number from 1 to 4096"),
        (f"{D}.student.optimiser.clip", "a finite number above 0 or null"),
        (f"{D}.student.optimiser", OPTIMISER),
        (f"{D}.evaluate", EVALUATE),
        ("definitions.tea.method", "one of tea, dropout, cmad"),
        ("definitions", "a section"),
    ],
)
def test_missing_key(key: str, allowed: str) -> None:
    assert problems(drop(small(), key)) == [f"{key}: missing; must be {allowed}"]


def test_a_rule_across_sections_steps_over_refused_items() -> None:
    for section in ("keep", "evaluate"):
        data = put(small(), f"{D}.keep.weights", "none")
        put(data, f"{D}.keep.drop_ratios", [0.5, 1.0])
        put(data, f"{D}.evaluate.drop_ratios", [0.5, 1.0])
        put(data, f"{D}.{section}.drop_ratios.0", -1)
        key = f"{D}.{section}.drop_ratios[0]"
        assert problems(data) == [f"{key} = -1: must be a finite number above 0 and at most 1"]


def test_a_student_needs_a_loss() -> None:
    none = "task_weight, sigma and gamma are all 0, which leaves no loss; raise one"
    data = put(put(small(), f"{D}.student.sigma", 0.0), f"{D}.student.gamma", 0)
    checked(data)
    assert problems(put(data, f"{D}.student.task_weight", 0.0)) == [f"{D}.student: {none}"]
    # What a definition takes away counts, too.
    assert any(none in line for line in problems(put(data, "definitions.cmad.student", {"task_weight": 0.0})))


def test_a_swept_value_must_fit_the_section() -> None:
    data = put(put(small(), f"{D}.student.epochs", 6), f"{D}.student.warmup", 2)
    data = put(data, "sweep_values.warmup", [5, 6])
    checked(data)
    told = "sweep_values.warmup = 6: must be below epochs = 6; weigh: none does without MAR"
    assert problems(put(data, "sweeps", ["warmup"])) == [told]
    # On top of what the variant that is swept changes itself.
    checked(put(data, "definitions.cmad.student", {"epochs": 90}))
    # The second grid has other data sets.
    data = put(put(data, "definitions.cmad.student", {}), "sweeps", [])
    data = put(data, "presets.other", copy.deepcopy(data["presets"]["demo"]))
    data = put(put(data, "also.datasets", ["other"]), "also.sweeps", ["warmup"])
    assert problems(data) == [told]
    checked(put(data, "presets.other.student.epochs", 9))


def test_a_preset_that_is_wrong_in_itself_is_not_told_again_for_each_definition() -> None:
    (line,) = problems(put(small(), f"{D}.student.warmup", 999))
    assert line.startswith(f"{D}.student.warmup = 999: must be below epochs")
    # What a definition adds to it still is, here for each preset by the epochs that it has.
    data = put(small(), f"{D}.student.warmup", 999)
    lines = problems(put(data, "definitions.tea.student", {"warmup": 1000}))
    told = {line.split(" = ")[0] for line in lines}
    assert told == {f"{D}.student.warmup", "definitions.tea.student.warmup"}


def test_names_must_serve_as_folders() -> None:
    data = small()
    data["presets"]["Demo 1"] = data["presets"]["demo"]
    data["definitions"][7] = data["definitions"]["tea"]
    data["definitions"]["a\nb"] = data["definitions"]["tea"]
    put(data, f"{D}.systems.A", {})
    with pytest.raises(UserError) as caught:
        checked(data)
    rule = "this name becomes a folder's; it must be a text of a-z, 0-9 and _ alone"
    assert str(caught.value).splitlines() == [
        f"data/presets/demo.yaml: systems.A: {rule}",
        f'data/presets/"Demo 1".yaml: "Demo 1": {rule}',
        f'data/presets/"Demo 1".yaml: systems.A: {rule}',
        f"params.yaml: definitions.7: {rule}",
        f'params.yaml: definitions."a\\nb": {rule}',
    ]


def test_all_problems_at_once() -> None:
    data = committed()
    put(data, "threads", 0)
    put(data, "datasets", ["dmeo", 3])
    put(data, "presets.demo.network.kernels", {"language": 2, "audio": "x"})
    put(data, "presets.demo.network.depht", 2)
    put(data, "presets.mosi_folder.student.optimiser", 1)
    put(data, "definitions.no_mar.student", {"optimiser": {"clip": 0}, "weigh": "noone"})
    assert problems(data) == [
        "datasets[1] = 3: must be a text",
        "threads = 0: must be a whole number from 1 to 4096",
        "presets.demo.network.depht = 2: unknown key; did you mean depth?",
        'presets.demo.network.kernels.audio = "x": must be a whole number at least 1',
        "presets.demo.network.kernels.vision: missing; must be a whole number at least 1",
        "presets.demo.network.kernels.language = 2: must be odd",
        f"presets.mosi_folder.student.optimiser = 1: must be {OPTIMISER}",
        'datasets[0] = "dmeo": there is no such preset; did you mean demo?',
        "definitions.no_mar.student.optimiser.clip = 0: must be a finite number above 0 or null",
        'definitions.no_mar.student.weigh = "noone": must be one of both, task, auxiliary, none; '
        "did you mean none?",
    ]


@pytest.mark.parametrize("data", [None, [], "text", 3, {}])
def test_no_parameters_at_all(data: Any) -> None:
    section = "datasets, variants, unified, customised, sweeps, sweep_values, also, seeds, threads, device, "
    section += "precision, definitions"
    if data == {}:
        assert [line.split(":")[0] for line in problems(data)] == section.split(", ")
    else:
        (line,) = problems(data)
        assert re.fullmatch(rf"the file = .*: must be a section with {section}", line)


def test_unreadable_files(tmp_path: Path) -> None:
    absent = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"params\.yaml: cannot be read \(No such file or directory\)"):
        load(absent)
    absent.write_bytes(b"threads: \xff")
    with pytest.raises(UserError, match=r"params\.yaml: not UTF-8 text; save it as UTF-8$"):
        load(absent)
    absent.write_text("threads: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml, line 1: not valid YAML"):
        load(absent)


def leaves(data: Any, key: str = "") -> list[str]:
    """Dotted keys of all values that are no containers, and of empty containers."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(data, dict | list):
        inner = list(data.items() if isinstance(data, dict) else enumerate(data))
    if not inner:
        return [key]
    return [leaf for name, each in inner for leaf in leaves(each, f"{key}.{name}" if key else str(name))]


@cache
def _leaves() -> list[str]:
    return leaves(committed())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(["demo", "tea", "cmad", "folder", "language", "all", "cpu", ""])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=4,
)


@hypothesis_settings(deadline=None)
@given(st.data(), VALUES)
def test_any_changed_leaf_is_accepted_or_refused(data: st.DataObject, value: Any) -> None:
    key = data.draw(st.sampled_from(_leaves()))
    changed = put(committed(), key, value)
    config, lines = outcome(lambda: checked(changed))
    if config:
        assert plain(config) == changed
        return
    # The reader is led to the section that was changed.
    section = key.rpartition(".")[0]
    assert any(placed(line).startswith(section) for line in lines)


@cache
def _texts() -> dict[str, str]:
    """The committed files, by their names from the project's folder."""
    root = PARAMS.parent
    files = (PARAMS, *(root / PRESETS).glob("*.yaml"))
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in files}


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.data(), st.text(max_size=12) | st.text(":-[]{}\"'#&*!|> a1.e", max_size=12))
def test_any_changed_line_is_accepted_or_refused(data: st.DataObject, value: str) -> None:
    texts = _texts()
    file = data.draw(st.sampled_from(sorted(texts)))
    lines = texts[file].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    name, colon, _ = lines[number].partition(":")
    lines[number] = f"{name}{colon} {value}"
    changed = texts | {file: "\n".join(lines)}
    with TemporaryDirectory() as folder:
        for each, text in changed.items():
            (Path(folder) / each).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / each).write_text(text, encoding="utf-8")
        config, refused = outcome(lambda: load(Path(folder) / "params.yaml"))
    assert isinstance(config, Config) or refused
    # A preset may also be at odds with the grid.
    assert all(file in line or f"{folder}/params.yaml" in line for line in refused)


# Overrides


def test_override_changes_only_what_it_names() -> None:
    student = load(PARAMS).presets["demo"].student
    changed = override(student, {"sigma": 0, "optimiser": {"clip": None}})
    expected = asdict(student)
    expected["sigma"] = 0.0
    expected["optimiser"]["clip"] = None
    assert asdict(changed) == expected
    assert type(changed.sigma) is float
    assert override(student, {}) == student


def test_override_refuses() -> None:
    student = load(PARAMS).presets["demo"].student
    with pytest.raises(UserError) as caught:
        override(student, {"tua": 1, "rho": 0})
    assert str(caught.value).splitlines() == [
        "student.tua = 1: unknown key; did you mean tau?",
        "student.rho = 0: must be a finite number above 0",
    ]


def test_a_refused_section_of_a_system_is_shown_as_it_stands() -> None:
    """The options of a system are checked long after the file, when its mappings are read-only."""
    assert shown(MappingProxyType({"a": MappingProxyType({"b": 1})})) == '{"a": {"b": 1}}'


def test_nearest() -> None:
    assert nearest("Demo", ["demo", "mosi"]) == "did you mean demo?"
    assert nearest("zzz", ["demo", "mosi"]) == "known: demo, mosi"
    assert nearest("zzz", []) == "known: none"
    assert nearest("zzz", ["a\nb"]) == 'known: "a\\nb"'


# Stages


def test_keys_of_each_stage() -> None:
    assert keys(PreprocessParams, dataset="demo") == ["data/presets/demo.yaml:preprocess"]
    assert keys(TeacherParams, dataset="demo") == [
        "data/presets/demo.yaml:network",
        "data/presets/demo.yaml:teacher",
        "seeds",
        "threads",
        "device",
        "precision",
    ]
    assert keys(StudentParams, dataset="demo", variant="tea") == [
        "definitions.tea",
        "data/presets/demo.yaml:network",
        "data/presets/demo.yaml:student",
        "data/presets/demo.yaml:keep",
        "seeds",
        "threads",
        "device",
        "precision",
    ]
    assert keys(EvaluateParams, dataset="demo") == [
        "data/presets/demo.yaml:network",
        "data/presets/demo.yaml:student",
        "data/presets/demo.yaml:evaluate",
        "data/presets/demo.yaml:systems",
        "variants",
        "unified",
        "customised",
        "seeds",
        "threads",
        "device",
        "precision",
    ]
    assert keys(SweepParams, dataset="demo", parameter="sigma") == [
        "sweep_values.sigma",
        "data/presets/demo.yaml:network",
        "definitions.cmad",
        "data/presets/demo.yaml:student",
        "seeds",
        "threads",
        "device",
        "precision",
    ]
    assert "also.variants" in keys(EvaluateAlsoParams, dataset="demo")
    grid = ["datasets", "variants", "unified", "customised", "sweeps", "sweep_values", "also"]
    assert keys(ReportParams) == [*grid, "seeds", "threads"]


def test_keys_of_a_comparison_system() -> None:
    assert keys(SystemParams, dataset="demo", system="umdf") == [
        "data/presets/demo.yaml:network",
        "data/presets/demo.yaml:student",
        "data/presets/demo.yaml:keep",
        "data/presets/demo.yaml:systems.umdf",
        "seeds",
        "threads",
        "device",
        "precision",
    ]


def test_stages_get_what_the_file_says() -> None:
    config = load(PARAMS)
    preset = config.presets["demo"]
    assert read(PARAMS, PreprocessParams, dataset="demo").preprocess == preset.preprocess
    assert read(PARAMS, TeacherParams, dataset="demo").teacher == preset.teacher
    evaluate = read(PARAMS, EvaluateParams, dataset="demo")
    assert (evaluate.evaluate, evaluate.student) == (preset.evaluate, preset.student)
    assert read(PARAMS, ReportParams).datasets == config.datasets
    student = read(PARAMS, StudentParams, dataset="demo", variant="cmad_w")
    assert student.method == "cmad"
    assert student.student == override(preset.student, {"weights": "weakest"})
    assert (student.seeds, student.threads, student.device) == (config.seeds, config.threads, config.device)


def written(folder: Path, data: Any) -> Path:
    write_params(folder, data)
    return folder / "params.yaml"


NAMES = {"dataset": "demo", "variant": "cmad_w", "system": "mmanet", "parameter": "sigma"}

# One valid change of each part of the file.
CHANGES = {
    "datasets": ["demo", "mosi_folder"],
    "variants": ["tea"],
    "unified": ["mmanet"],
    "customised": ["umdf"],
    "sweeps": ["rho"],
    "sweep_values.sigma": [0.3],
    "also.datasets": ["mosi_folder"],
    "also.variants": ["cmad"],
    "also.sweeps": [],
    "definitions.cmad.student.sigma": 0.2,
    "seeds": [7],
    "threads": 3,
    "device": "cpu",
    "precision": "bf16",
    "definitions.tea.method": "dropout",
    "definitions.cmad_w.student.weights": "all",
    "presets.demo.preprocess.max_frames.audio": 19,
    "presets.demo.network.depth": 2,
    "presets.demo.teacher.epochs": 3,
    "presets.demo.student.tau": 0.7,
    "presets.demo.evaluate.seed": 5,
    "presets.demo.systems.mmanet.mad": 1.0,
    "presets.demo.systems.umdf.feature": 2.0,
    "presets.mosi_folder.student.tau": 0.7,
}


def dotted_key(key: str) -> str:
    """As in ``CHANGES``, of a key with its file before it."""
    file, colon, own = key.partition(":")
    return f"presets.{Path(file).stem}.{own}" if colon else key


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_sees_a_change_only_if_it_declares_the_key(tmp_path: Path, kind: Any) -> None:
    before: Any = read(written(tmp_path, small()), kind, **NAMES)
    own = [dotted_key(key) for key in keys(kind, **NAMES)]
    seen = {
        key
        for key, value in CHANGES.items()
        if read(written(tmp_path, put(small(), key, value)), kind, **NAMES) != before
    }
    assert seen == {key for key in CHANGES if any(f"{key}.".startswith(f"{each}.") for each in own)}


@pytest.mark.parametrize(
    ("kind", "dataset", "variant", "message"),
    [
        (StudentParams, "dmeo", "tea", "there is no data set 'dmeo' in data/presets; did you mean demo?"),
        (StudentParams, "", "tea", "there is no data set '' in data/presets; known: cherma, demo, "),
        (StudentParams, "demo", "cmda", "there is no variant 'cmda' in definitions; did you mean cmad?"),
        (StudentParams, "demo.network", "tea", "there is no data set 'demo.network' in data/presets; "),
    ],
)
def test_unknown_names_on_the_command_line(kind: Any, dataset: str, variant: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"params.yaml: {message}")) as caught:
        read(PARAMS, kind, dataset=dataset, variant=variant)
    assert len(str(caught.value).splitlines()) == 1


def test_a_stage_refuses_a_file_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, put(small(), "presets.mosi_folder.teacher.epochs", 0))
    with pytest.raises(UserError, match=r"^data/presets/mosi_folder\.yaml: teacher\.epochs = 0: must be"):
        read(path, ReportParams)


def test_configuration_does_not_import_torch() -> None:
    code = "import sys, cmad.config.stages; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PARAMS.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_without_networks_evaluation_asks_for_no_more_than_was_kept() -> None:
    data = put(small(), f"{D}.keep.weights", "none")
    assert checked(data).presets["demo"].keep.weights == "none"
    data = put(put(data, f"{D}.keep.drop_ratios", [0.1, 1.0]), f"{D}.evaluate.drop_ratios", [0.1, 0.25])
    assert problems(put(data, f"{D}.evaluate.seed", 4)) == [
        f"{D}.evaluate.drop_ratios: [0.25] is not in keep.drop_ratios, and with keep.weights none"
        " there is no network to run; add it there, or take it out here",
        f"{D}.evaluate.seed = 4: must be keep.seed = 0 with keep.weights none",
    ]
    checked(put(data, f"{D}.keep.weights", "difference"))


def test_kept_ratios_are_sorted_and_a_checksum_is_one() -> None:
    data = put(small(), f"{D}.keep.drop_ratios", [0.5, 0.1])
    data = put(data, f"{D}.teacher.checkpoint", {"path": "teacher.pt", "sha256": "ABC"})
    assert sorted(problems(data)) == [
        f"{D}.keep.drop_ratios = [0.5, 0.1]: must be sorted, each ratio once",
        f'{D}.teacher.checkpoint.sha256 = "ABC": must be 64 digits of 0-9 and a-f, as sha256sum prints them',
    ]
    data = put(small(), f"{D}.teacher.checkpoint", {"path": "teacher.pt", "sha256": "0" * 64})
    assert checked(data).presets["demo"].teacher.checkpoint is not None


@pytest.mark.parametrize("section", ["teacher", "student"])
def test_a_micro_batch_is_null_or_at_least_one(section: str) -> None:
    key = f"{D}.{section}.micro_batch"
    assert problems(put(small(), key, 0)) == [f"{key} = 0: must be a whole number at least 1 or null"]
    checked(put(small(), key, 1))
