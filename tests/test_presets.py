"""The presets of the paper's data sets hold what supplement and code say, each value with its source."""

import re
from pathlib import Path

import pytest

from cmad.config.load import load, preset_file
from cmad.config.schema import Preset

PARAMS = Path(__file__).parents[1] / "params.yaml"
PAPERS = ("mosei", "iemocap", "cherma", "mustard", "ur_funny")

# Supplement 6.1 and 6.2: what is chosen per data set.
SUPPLEMENT = {
    # data set: width, depth, optimiser, learning rate, batch, G, sigma, gamma, alpha
    "mosei": (96, 5, "adamw", 2e-5, 128, 20, 0.1, 1.0, None),
    "iemocap": (30, 4, "adam", 1e-3, 120, 10, 1.0, 0.7, 0.9),
    "cherma": (1024, 4, "adam", 2e-5, 400, 5, 1.0, 1.0, 0.7),
    "mustard": (64, 3, "adamw", 2e-5, 64, 40, 0.1, 1.0, 0.9),
    "ur_funny": (64, 6, "adamw", 2e-5, 96, 20, 0.1, 1.0, 0.8),
}
LAYOUT = {
    "mosei": ("mag", "mosei.pkl", "regression", "bert-base-uncased"),
    "iemocap": ("mult", "iemocap_data.pkl", "binary", None),
    "cherma": ("cherma", None, "classes", None),
    "mustard": ("hkt", "mustard.pkl", "classes", "bert-base-uncased"),
    "ur_funny": ("hkt", "ur_funny.pkl", "classes", "bert-base-uncased"),
}


def preset(name: str) -> Preset:
    return load(PARAMS).presets[name]


@pytest.mark.parametrize("name", PAPERS)
def test_what_the_supplement_says(name: str) -> None:
    found = preset(name)
    width, depth, optimiser, rate, batch, warmup, sigma, gamma, alpha = SUPPLEMENT[name]
    assert (found.network.width, found.network.depth, found.network.fusion_layers) == (width, depth, 2)
    assert found.student.optimiser.name == found.teacher.optimiser.name == optimiser
    assert found.student.optimiser.learning_rate == found.teacher.optimiser.learning_rate == rate
    assert (found.student.batch, found.student.warmup) == (batch, warmup)
    assert (found.student.sigma, found.student.gamma) == (sigma, gamma)
    assert alpha is None or found.student.alpha == alpha
    assert set(vars(found.preprocess.max_frames).values()) == {50}
    assert (found.evaluate.drop_ratios, found.keep.drop_ratios) == (
        (tuple(i / 10 for i in range(1, 11)),) * 2
    )


@pytest.mark.parametrize("name", PAPERS)
def test_what_the_code_says(name: str) -> None:
    found = preset(name)
    heads = 5 if name == "iemocap" else 16
    assert (found.network.heads, found.network.head_width, found.network.latents) == (heads, heads, 5)
    assert found.network.fusion_feedforward == 2048
    dropouts = (found.network.transformer_dropout, found.network.fusion_dropout)
    assert dropouts == (0.1, 0.3)
    kernels = (3, 1, 1) if name == "mosei" else (3, 3, 3)
    assert tuple(vars(found.network.kernels).values()) == kernels
    assert (found.student.rho, found.student.temperature, found.student.tau) == (20, 2, 0.2)
    decay = 0.0 if found.student.optimiser.name == "adam" else 1e-4
    assert found.student.optimiser.weight_decay == found.teacher.optimiser.weight_decay == decay


@pytest.mark.parametrize("name", PAPERS)
def test_layout_and_language(name: str) -> None:
    pre = preset(name).preprocess
    layout, file, task, encoder = LAYOUT[name]
    assert (pre.format, pre.file, pre.task) == (layout, file, task)
    assert (pre.text.encoder if pre.text else None) == encoder
    if pre.text:
        # Token ids cannot be scaled, and the words that audio and vision stand by are needed.
        assert pre.text.fine_tune
        assert "language" not in pre.standardise
    assert not pre.skip_bad


def test_every_system_is_there() -> None:
    known = set(preset("demo").systems)
    assert all(set(preset(name).systems) == known for name in PAPERS)
    assert preset("iemocap").systems["corrkd"]["margin"] == 1.4


@pytest.mark.parametrize("name", PAPERS)
def test_every_chosen_value_has_its_source(name: str) -> None:
    ours = (PARAMS.parent / preset_file(name)).read_text(encoding="utf-8").splitlines()
    # What the data set itself decides, and switches that are at rest.
    plain = {"format", "file", "skip_bad", "task", "generator", "checkpoint"}
    values = [line.strip() for line in ours if re.match(r" {2,}\w+: +\S", line)]
    bare = [
        line
        for line in values
        if line.partition(":")[0] not in plain
        and not line.startswith("text:")
        and not re.search(r"  # ([SRCPO]\b|without effect|recalled from the paper)", line)
    ]
    assert len(values) > 50
    assert bare == []
