"""Every published layout is recognised, read and described without being told what it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from cmad.errors import UserError
from cmad.inspection.compare import nearest
from cmad.inspection.inspect import TEXT, inspect
from cmad.inspection.look import look
from cmad.inspection.markdown import gist
from cmad.inspection.opening import open_raw
from cmad.raw.layouts import TITLES, Layout
from cmad.task import Kind
from tests.generators.cherma import write_cherma
from tests.generators.hkt import make_hkt, write_hkt
from tests.generators.mag import make_mag, write_mag
from tests.generators.mmsa import make_mmsa, write_mmsa
from tests.generators.mult import make_mult, write_mult

Name = Literal["iemocap", "mosei"]
NAMES: tuple[Name, ...] = ("iemocap", "mosei")
Case = tuple[Layout, Kind, str, str, Callable[[Path], Path]]
CASES: dict[str, Case] = {
    "mosei": ("mag", "regression", "words", "CMU-MOSEI", lambda p: write_mag(p, make_mag())),
    "mosi": ("mag", "regression", "words", "CMU-MOSI", lambda p: write_mag(p, make_mag(vision=47))),
    "iemocap": ("mult", "binary", "frames", "IEMOCAP", lambda p: write_mult(p, make_mult())),
    "mosei_glove": ("mult", "regression", "frames", "CMU-MOSEI", lambda p: write_mult(p, make_mult("mosei"))),
    "aligned_50": ("mmsa", "regression", "frames", "CMU-MOSEI", lambda p: write_mmsa(p, make_mmsa())),
    "mustard": ("hkt", "classes", "words", "MUStARD", lambda p: write_hkt(p, make_hkt())),
    "cherma": ("cherma", "classes", "frames", "CHERMA", lambda p: write_cherma(p)),
}


@pytest.mark.parametrize("name", ["x.pkl", "x.P", "x.pickle"])
def test_the_one_pickle_of_a_folder_is_opened(tmp_path: Path, name: str) -> None:
    write_mag(tmp_path / name, make_mag())
    assert open_raw(tmp_path).layout == "mag"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_told_and_not_the_other_task(tmp_path: Path, name: Name) -> None:
    content = make_mult(name)
    content["train"]["audio"][:] = np.nan
    with pytest.raises(UserError, match="audio: features has no finite value in train"):
        open_raw(write_mult(tmp_path / "x.pkl", content))
    content["train"]["labels"] = content["train"]["labels"][:, :0]
    with pytest.raises(UserError, match="labels are "):
        open_raw(write_mult(tmp_path / "x.pkl", content))


def test_ids_that_stand_more_than_once_are_told(tmp_path: Path) -> None:
    mag, hkt, mult, mmsa = make_mag(), make_hkt(), make_mult(), make_mmsa()
    for i in (1, 2):
        mag["train"][i] = (*mag["train"][i][:2], mag["train"][0][2])
        mult["train"]["id"][i] = mult["train"]["id"][0]
        mmsa["train"]["id"][i] = mmsa["train"]["id"][0]
    write_mag(tmp_path / "mag.pkl", mag)
    write_mult(tmp_path / "mult.pkl", mult)
    write_mmsa(tmp_path / "mmsa.pkl", mmsa)
    for name in ("mag", "mult", "mmsa"):
        opened = open_raw(tmp_path / f"{name}.pkl")
        found = look(opened.raw, opened.kind)
        assert found.repeated_ids == 1
        assert "1 ids stand more than once" in gist(found, opened.layout, None)
    # Ids that are absent are no repetition.
    write_hkt(tmp_path / "hkt.pkl", hkt)
    assert open_raw(tmp_path / "hkt.pkl").raw.repeated_ids == 0
    folder = write_cherma(tmp_path / "cherma", widths={"text": 2, "audio": 2, "visual": 2})
    records = json.loads((folder / "dev.json").read_text(encoding="utf-8"))
    (folder / "dev.json").write_text(json.dumps([*records, records[0]]), encoding="utf-8")
    assert open_raw(folder).raw.repeated_ids == 1


@pytest.mark.parametrize(
    ("name", "kind", "possible"),
    [
        ("mosei", "classes", "regression"),
        ("mosei", "binary", "regression"),
        ("iemocap", "classes", "regression or binary"),
        ("aligned_50", "binary", "regression or classes"),
        ("mustard", "regression", "classes"),
        ("mustard", "binary", "classes"),
        ("cherma", "regression", "classes"),
        ("cherma", "binary", "classes"),
    ],
)
def test_a_task_that_the_layout_never_has_is_refused(
    tmp_path: Path, name: str, kind: Kind, possible: str
) -> None:
    path = tmp_path / "x.pkl"
    layout, *_, write = CASES[name]
    write(path)
    with pytest.raises(UserError) as caught:
        open_raw(path, kind=kind)
    message = str(caught.value)
    assert message.startswith(f"{path}: the labels of {TITLES[layout]} are never of a {kind} task; ")
    assert message.endswith(f"give --task {possible}, or leave it out")
    assert message.isprintable()


def test_a_less_likely_task_is_opened_where_it_is_asked_for(tmp_path: Path) -> None:
    opened = open_raw(write_mmsa(tmp_path / "x.pkl", make_mmsa()), kind="classes")
    assert look(opened.raw, opened.kind).names == ("Negative", "Neutral", "Positive")


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_recognised_and_described(tmp_path: Path, name: str) -> None:
    layout, kind, unit, title, write = CASES[name]
    path = tmp_path / (name if layout == "cherma" else f"{name}.pkl")
    write(path)
    opened = open_raw(path)
    assert (opened.layout, opened.kind) == (layout, kind)
    found = look(opened.raw, opened.kind)
    assert found.counts() == (12, 6, 6)
    assert found.language_unit == unit
    pair = nearest(found, layout, path.name)
    assert pair is not None
    assert pair[0].title == title
    # The generators put -inf into audio, but for CHERMA.
    assert (sum(found.non_finite["audio"].values()) > 0) == (layout != "cherma")
    said = inspect(path, None, None, tmp_path / "out")
    assert f"layout {layout}, 24 samples: train 12, dev 6, test 6" in said
    assert (tmp_path / "out" / TEXT).read_text(encoding="utf-8").startswith(f"# {path.name}\n")
