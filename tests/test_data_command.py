"""`python -m cmad data`: links, files and checksums, and what is present."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from cmad.config.load import load
from cmad.published.facts import DATASETS, Published, of_preset
from cmad.published.listing import listing, presence
from tests.project import ROOT

MMSA = next(form for form in DATASETS["mosei"].files if form.sha256)
MAG = DATASETS["mosei"].files[0]
CHERMA = DATASETS["cherma"].files[0]


def test_every_data_set_of_the_paper_is_listed_with_its_links(tmp_path: Path) -> None:
    text = listing(tmp_path)
    for name in ("mosei", "iemocap", "cherma", "mustard", "ur_funny"):
        assert f"## {name}: " in text
        for form in DATASETS[name].files:
            assert form.link[1] in text
            assert (form.sha256 or "") in text
    assert "matches" not in text
    assert text.count("**absent**") == sum(len(dataset.files) for dataset in DATASETS.values())


def test_a_published_checksum_is_compared(tmp_path: Path) -> None:
    path = tmp_path / MMSA.name
    path.write_bytes(b"half a download")
    assert presence(tmp_path, MMSA) == "differs from the published checksum"
    right = replace(MMSA, sha256=hashlib.sha256(b"half a download").hexdigest())
    assert presence(tmp_path, right) == "matches the published checksum"


def test_without_a_published_checksum_it_says_so(tmp_path: Path) -> None:
    assert presence(tmp_path, MAG) == "absent"
    (tmp_path / MAG.name).write_bytes(b"x")
    assert presence(tmp_path, MAG) == "present, no checksum is published"


def test_a_folder_names_what_it_lacks(tmp_path: Path) -> None:
    assert presence(tmp_path, CHERMA) == "absent"
    for part in ("train.json", "test.json"):
        (tmp_path / part).write_text("[]")
    assert presence(tmp_path, CHERMA) == "incomplete: no dev.json, text, audio, visual"
    for part in ("dev.json", "text", "audio", "visual"):
        (tmp_path / part).mkdir()
    assert presence(tmp_path, CHERMA) == "present, no checksum is published"


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "mosi"])
def test_facts_fit_the_preset(name: str) -> None:
    pre = load(ROOT / "params.yaml").presets[name].preprocess
    pair = of_preset(name, pre.format, pre.file)
    assert pair is not None
    assert pair[0] == DATASETS[name]
    form = pair[1]
    assert [each.preset for each in DATASETS[name].files] == [True] + [False] * (
        len(DATASETS[name].files) - 1
    )
    assert form == DATASETS[name].files[0]
    assert DATASETS[name].task == pre.task
    # Language comes as features exactly where the preset encodes nothing.
    assert ("language" in form.widths) == (pre.text is None)


@pytest.mark.parametrize("form", [form for dataset in DATASETS.values() for form in dataset.files])
def test_counts_add_up(form: Published) -> None:
    assert form.counts is None or sum(form.counts) == form.total
    assert form.sha256 is None or len(bytes.fromhex(form.sha256)) == 32
