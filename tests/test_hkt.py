"""The HKT pickle: an utterance after its context, one frame per word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmad.config.schema import Text
from cmad.errors import UserError
from cmad.raw.raw_data import RawData, Words
from cmad.raw.read import read
from tests.generators.hkt import AUDIO, VISION, make_hkt, write_hkt
from tests.generators.params import params

Content = dict[str, list[Any]]
Spoil = Callable[[Content], Any]
TEXT = Text(encoder="minilm", fine_tune=False, context=True)


def read_hkt(folder: Path, **changes: Any) -> RawData:
    return read(folder, params("hkt", "classes", text=TEXT, **changes))


def items(content: Content) -> list[Any]:
    return [item for split in ("train", "dev", "test") for item in content[split]]


def part(text: Any, rows: int, value: float = 1.0) -> tuple[Any, ...]:
    """One of the two parts of a sample; each cell of its rows tells its column."""
    visual, acoustic = (np.tile(np.arange(float(d)) + value, (rows, 1)) for d in (VISION, AUDIO))
    return (text, visual, acoustic, np.zeros((rows, 4)))


def put(split: str, i: int, own: Any, context: Any, label: Any = 1, name: Any = "x_1") -> Spoil:
    return lambda content: content[split].__setitem__(i, (own, context, name, label))


def test_reads_what_was_written(tmp_path: Path) -> None:
    content = make_hkt()
    write_hkt(tmp_path / "x.pkl", content)
    raw = read_hkt(tmp_path)
    assert raw.ids == [str(number) for _, _, number, _ in items(content)]
    assert raw.groups == [""] * len(raw.ids)
    assert raw.names == ("0", "1")
    assert raw.labels.tolist() == [int(np.asarray(label).item()) for *_, label in items(content)]
    assert raw.words is not None
    stripped = [(" ".join(w.context).replace(".", ""), " ".join(w.own).replace(".", "")) for w in raw.words]
    assert stripped == [
        (" ".join(" ".join(context[0]).split()), " ".join(own[0].split()))
        for own, context, _, _ in items(content)
    ]
    for m, place, columns in (("audio", 2, slice(0, 60)), ("vision", 1, slice(55, 91))):
        arrays = [np.concatenate([context[place], own[place]]) for own, context, _, _ in items(content)]
        np.testing.assert_array_equal(raw.streams[m].features, np.concatenate(arrays)[:, columns])
        assert raw.streams[m].lengths.tolist() == [len(w.context) + len(w.own) for w in raw.words]
    assert raw.streams["audio"].features.shape[1] == 60
    assert raw.streams["vision"].features.shape[1] == 36


def test_the_context_comes_first_with_full_stops_between_sentences(tmp_path: Path) -> None:
    content = make_hkt()
    context = part(["one two", "", " three\tfour? "], 4, value=100.0)
    put("train", 0, part(" five  six", 2), context)(content)
    write_hkt(tmp_path / "x.pkl", content)
    raw = read_hkt(tmp_path)
    assert raw.words is not None
    # As joined by ". " and ended by ".": the last sentence of the context has no stop of its own.
    assert raw.words[0] == Words(("one", "two.", "three", "four?"), ("five", "six."))
    first = raw.streams["vision"].features[:6, 0].tolist()
    assert first == [155.0] * 4 + [56.0] * 2
    assert raw.streams["audio"].features[:6, 59].tolist() == [159.0] * 4 + [60.0] * 2


def test_a_context_may_be_empty_or_in_pieces(tmp_path: Path) -> None:
    content = make_hkt()
    put("train", 0, part("a b", 2), ([], [], np.zeros((0, AUDIO)), []), name="e")(content)
    pieces = part(["one two", "three"], 3)
    split: tuple[Any, ...] = (pieces[0], [pieces[1][:2], pieces[1][2:]], [pieces[2][:2], pieces[2][2:]], [])
    put("train", 1, part("a", 1), split, label=0, name="p")(content)
    write_hkt(tmp_path / "x.pkl", content)
    raw = read_hkt(tmp_path)
    assert raw.words is not None
    assert raw.words[0] == Words((), ("a", "b."))
    assert raw.streams["vision"].lengths[:2].tolist() == [2, 4]


BAD: dict[str, tuple[Spoil, str]] = {
    "a word too many": (
        put("dev", 1, part("a b c", 2), part([], 0)),
        "audio of the utterance has 2 rows for 3 words",
    ),
    "a word too many in the context": (
        put("dev", 1, part("a", 1), part(["b c"], 1)),
        "audio of the context has 1 rows for 2 words",
    ),
    "context without rows": (
        put("dev", 1, part("a", 1), part(["b c"], 0)),
        "audio of the context has 0 rows for 2 words",
    ),
    "raw SDK width": (
        put("dev", 1, ("a", np.zeros((1, 371)), np.zeros((1, 81)), []), part([], 0)),
        "vision has 371 columns, HKT's files 91 (371 and 81 are the raw SDK release, another format)",
    ),
    "context of a number": (
        put("dev", 1, part("a", 1), (["b"], [np.array(1.0)], [np.array(1.0)], [])),
        "audio of the context is float64 [], not numbers [words, columns]",
    ),
    "context of a number and a row": (
        put("dev", 1, part("a", 1), (["b"], *([np.zeros(d), np.array(1.0)] for d in (VISION, AUDIO)), [])),
        "audio of the context is float64 [81], not numbers [words, columns]",
    ),
    "text among the context's rows": (
        put("dev", 1, part("a", 1), (["b c"], *([np.zeros((1, 1)), np.array([["x"]])],) * 2, [])),
        "audio of the context is <U1 [1, 1], not numbers [words, columns]",
    ),
    "label 2": (put("dev", 1, part("a", 1), part([], 0), label=2), "label 2 is neither 0 nor 1"),
    "label 0.5": (put("dev", 1, part("a", 1), part([], 0), label=0.5), "label 0.5 is neither 0 nor 1"),
    "white space alone": (put("dev", 1, part(" \n", 0), part([], 0)), "sample has no words"),
    "context of one string": (put("dev", 1, part("a", 1), part("b", 1)), "context is no list of sentences"),
    "text not UTF-8": (put("dev", 1, part(b"\xe9", 1), part([], 0)), "text is not UTF-8"),
    "three parts": (put("dev", 1, part("a", 1)[:3], part([], 0)), "sample has another form"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sample_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    spoil, problem = BAD[name]
    content = make_hkt()
    spoil(content)
    path = write_hkt(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_hkt(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: dev sample 1 (id x_1): {problem}; ")
    assert message.isprintable()
    raw = read_hkt(tmp_path, skip_bad=True)
    assert sum(raw.skipped.values()) == 1
    assert "x_1" not in raw.ids
    assert len(raw.ids) == len(items(content)) - 1


@pytest.mark.parametrize("name", [10**5000, -(10**200), ["x", 10**5000]], ids=["long", "negative", "part"])
def test_an_id_of_too_many_digits_is_a_bad_sample(tmp_path: Path, name: Any) -> None:
    content = make_hkt()
    put("dev", 1, part("a", 1), part([], 0), name=name)(content)
    path = write_hkt(tmp_path / "x.pkl", content)
    with pytest.raises(UserError) as caught:
        read_hkt(tmp_path)
    assert str(caught.value).startswith(f"{path}: dev sample 1: id is a number of more than 200 digits; ")
    raw = read_hkt(tmp_path, skip_bad=True)
    assert raw.skipped == {"id is too long": 1}
    assert len(raw.ids) == len(items(content)) - 1


def test_one_class_in_train_is_refused(tmp_path: Path) -> None:
    content = make_hkt()
    content["train"] = [(own, context, name, 1) for own, context, name, _ in content["train"]]
    write_hkt(tmp_path / "x.pkl", content)
    with pytest.raises(UserError, match="every train sample has the same label; give train two values"):
        read_hkt(tmp_path)
