"""The restricted unpickler: data come back whole, everything else is refused before it runs."""

import collections
import io
import os
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmad.errors import UserError
from cmad.raw.pickles import load
from tests.generators.mag import make_mag
from tests.generators.mult import make_mult
from tests.generators.publish import write_python2

ARRAYS = {
    "float64": np.arange(6.0).reshape(2, 3),
    "float32, column-major": np.asfortranarray(np.arange(600, dtype=np.float32).reshape(20, 30)),
    "big-endian": np.arange(5, dtype=">f4"),
    "int8": np.arange(3, dtype=np.int8),
    "bool": np.array([True, False]),
    "complex": np.array([1j]),
    "text": np.array(["ab", "é"]),
    "bytes": np.array([b"ab", b"c"]),
    "empty": np.zeros((0, 35)),
    "no axis": np.array(3.0),
    "objects": np.array(["x", None, 3], dtype=object),
}


def return_unk() -> int:
    return 0


def through(tmp_path: Path, content: Any, protocol: int) -> Any:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return load(path)


def refusal(tmp_path: Path, raw: bytes) -> str:
    """The message of the one line."""
    path = tmp_path / "x.pkl"
    path.write_bytes(raw)
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(tmp_path: Path, name: str, protocol: int) -> None:
    array = ARRAYS[name]
    back = through(tmp_path, array, protocol)
    assert type(back) is np.ndarray
    assert back.shape == array.shape
    assert back.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_come_back(tmp_path: Path, protocol: int) -> None:
    content = {
        "a": [1, -1, 10**30, 2.5, None, True, "é😀", b"\xff\0", b"", ()],
        ("x", 3): {"set": {1, "b"}, "frozen": frozenset("ab")},
        "scalars": [np.float32(3), np.int64(2), np.bool_(True), np.str_("hi"), np.str_("")],
    }
    assert through(tmp_path, content, protocol) == content


def test_large_arrays_of_either_byte_order_come_back(tmp_path: Path) -> None:
    # More than any file may make beyond its size.
    array = np.arange(3_000_000, dtype=">f8")
    swapped, native = through(tmp_path, [array, array.astype("<f8")], 4)
    np.testing.assert_array_equal(swapped, array)
    np.testing.assert_array_equal(native, array)


def test_references_to_one_content_that_numpy_shares_are_no_copies(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(references("<f8", 40, scalars=False))
    arrays = load(path)
    assert len({array.__array_interface__["data"][0] for array in arrays}) == 1


@pytest.mark.parametrize("protocol", range(6))
def test_an_array_met_twice_is_one(tmp_path: Path, protocol: int) -> None:
    array = np.arange(100.0)
    first, second = through(tmp_path, [array, array], protocol)
    assert first is second


def test_dictionaries_that_default_or_keep_order_become_plain(tmp_path: Path) -> None:
    content = [collections.OrderedDict(a=1), collections.defaultdict(int, b=2)]
    back = through(tmp_path, content, 2)
    assert back == [{"a": 1}, {"b": 2}]
    assert [type(each) for each in back] == [dict, dict]


def test_what_the_owners_script_left_behind_is_inert(tmp_path: Path) -> None:
    raw = pickle.dumps(collections.defaultdict(return_unk, word=3), 2)
    raw = raw.replace(f"c{__name__}\nreturn_unk\n".encode(), b"c__main__\nreturn_unk\n")
    path = tmp_path / "x.pkl"
    path.write_bytes(raw)
    back = load(path)
    assert back == {"word": 3}
    with pytest.raises(KeyError):
        back["absent"]
    assert "calls __main__.return_unk" in refusal(tmp_path, b"c__main__\nreturn_unk\n(tR.")


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    array = np.arange(300.0)
    content = {"text": "é", "id": b"abc", "raw": b"\xff\xfe", "array": array, "ascii": np.zeros(3)}
    back = load(write_python2(tmp_path / "x.pkl", content))
    # Python 2 does not tell text from bytes: what is not ASCII comes as bytes.
    assert back["text"] == "é".encode()
    assert back["id"] == "abc"
    assert back["raw"] == b"\xff\xfe"
    np.testing.assert_array_equal(back["array"], array)
    np.testing.assert_array_equal(back["ascii"], np.zeros(3))


def test_names_of_numpy_before_and_after_2(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    raw = pickle.dumps(np.arange(3), 2)
    assert b"numpy._core." in raw
    for each in (raw, raw.replace(b"numpy._core.", b"numpy.core.")):
        path.write_bytes(each)
        np.testing.assert_array_equal(load(path), np.arange(3))


class Reduce:
    """Pickles as a call."""

    def __init__(self, call: Any, *args: Any, state: Any = None) -> None:
        self.call, self.args, self.state = call, args, state

    def __reduce__(self) -> Any:
        return (self.call, self.args) if self.state is None else (self.call, self.args, self.state)


def references(dtype: str, count: int, scalars: bool) -> bytes:
    """A pickle of many arrays or scalars of one type, all of whose content is one string of bytes."""
    of = np.dtype(dtype)
    raw = ("😀".encode("utf-32-le") * (1 << 18))[: of.itemsize if scalars else None]
    if scalars:
        scalar = np.float64(1).__reduce__()[0]
        return pickle.dumps([Reduce(scalar, of, raw) for _ in range(count)])
    pending = np.zeros(1).__reduce__()[0]
    state = (1, (len(raw) // of.itemsize,), of, False, raw)
    return pickle.dumps([Reduce(pending, np.ndarray, (0,), b"b", state=state) for _ in range(count)])


class Plain:
    """Pickles as a class and its attributes."""

    def __init__(self) -> None:
        self.x = 1


def array_program(shape: bytes, dtype: bytes = b"f8", raw: bytes = b"B\x08\0\0\0" + b"\0" * 8) -> bytes:
    """A pickle of one array, written by hand."""
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR"
        b"(K\x01" + shape + b"cnumpy\ndtype\n(X" + struct.pack("<I", len(dtype)) + dtype + b"K\0K\x01tR"
        b"(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89" + raw + b"tb."
    )


def long(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little")


MARKER = "ran"
PROGRAMS: dict[str, tuple[bytes, str]] = {
    "os.system": (
        pickle.dumps(Reduce(os.system, f"touch {MARKER}")),
        f"asks for {os.system.__module__}.system",
    ),
    "protocol 0": (f"cos\nsystem\n(S'touch {MARKER}'\ntR.".encode(), "asks for os.system"),
    "eval": (pickle.dumps(Reduce(eval, "1")), "asks for builtins.eval"),
    "exec in Python 2": (b"c__builtin__\nexec\n(S'1'\ntR.", "asks for __builtin__.exec"),
    "getattr": (pickle.dumps(Reduce(getattr, [], "append")), "asks for builtins.getattr"),
    "numpy.load": (pickle.dumps(Reduce(np.load, "x.npy")), "asks for numpy.load"),
    "numpy.ndarray as a call": (b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.", "calls numpy.ndarray"),
    "dotted name": (
        b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93.",
        "asks for numpy.ndarray.__reduce__",
    ),
    "dotted builtins": (
        b"\x80\x04\x8c\x08builtins\x8c\x0cint.__init__\x93.",
        "asks for builtins.int.__init__",
    ),
    "name with a line break": (b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", "asks for a\\nb.c"),
    "name of bytes": (b"\x80\x04C\x02osC\x06system\x93.", "not a whole pickle"),
    "object of a class": (pickle.dumps(Plain(), 2), f"asks for {__name__}.Plain"),
    "object of protocol 0": (pickle.dumps(Plain(), 0), "asks for copy_reg._reconstructor"),
    "instance": (b"(ios\nsystem\n.", "asks for os.system"),
    "instance of an admitted name": (b"(icollections\nOrderedDict\n.", "makes an object"),
    "object by mark": (b"(cnumpy\nndarray\no.", "makes an object"),
    "new object": (b"\x80\x02cnumpy\nndarray\n)\x81.", "makes an object"),
    "new object with keywords": (b"\x80\x04cnumpy\nndarray\n)}\x92.", "makes an object"),
    "extension": (b"\x80\x02\x82\x01.", "registered extension"),
    "extension of four bytes": (b"\x80\x02\x84\x01\0\0\0.", "registered extension"),
    "persistent id": (b"Pos.system\n.", "outside of it"),
    "persistent id of an object": (b"N\x51.", "outside of it"),
    "buffer elsewhere": (b"\x80\x05\x97.", "outside of it"),
    "state of a list": (b"]}b.", "sets the inner state of list"),
    "state of a name": (b"cnumpy.core.multiarray\n_reconstruct\n}b.", "sets the inner state of numpy.core"),
    "state of a function": (
        b"c_codecs\nencode\n}S'__code__'\nNsb.",
        "sets the inner state of _codecs.encode",
    ),
    "call of a text": (b"S'x'\n)R.", "calls x"),
    "call of a result": (pickle.dumps(np.float64(1))[:-1] + b")R.", "calls float64"),
    "encode as rot13": (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "calls _codecs.encode"),
    "many bytes": (b"cbuiltins\nbytes\n(J\xff\xff\xff\x7ftR.", "calls bytes with arguments"),
    "subclass of ndarray": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nlist\n(K\0tC\x01btR.",
        "another class than numpy.ndarray",
    ),
    "payload in an object array": (
        pickle.dumps(np.array([Reduce(os.system, f"touch {MARKER}")], dtype=object)),
        f"asks for {os.system.__module__}.system",
    ),
    "object pointers from bytes": (array_program(b"K\x01\x85", b"O8"), "without as many objects"),
    "list for numbers": (array_program(b"K\x01\x85", raw=b"]"), "with list of content"),
    "structured type": (pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "O")])), "array of type V16"),
    "type from a name": (array_program(b"K\x01\x85", b"os.system"), "array of type os.system"),
    "type of fields": (array_program(b"K\x01\x85", b"f8,O"), "array of type f8,O"),
    "absurd shape": (array_program(b"\x8a\x08" + b"\0" * 7 + b"\x40\x85"), "that its file cannot fill"),
    "absurd shape of size 0": (array_program(long(1 << 62) + b"K\0\x86", raw=b"C\0"), "its file cannot fill"),
    "negative shape": (array_program(b"J\xff\xff\xff\xff\x85"), "its file cannot fill"),
    "shape of texts": (array_program(b"Vx\n\x85"), "whose shape is none"),
    "more axes than any": (array_program(b"(" + b"K\x01" * 40 + b"t"), "whose shape is none"),
    "content too short": (array_program(b"K\x02\x85"), "8 bytes of content instead of 16"),
    "endless text": (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends too early"),
    "endless bytes": (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", "ends too early"),
    "endless frame": (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x00.", "ends too early"),
    "endless bytearray": (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.", "ends too early"),
    "endless number": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "ends too early"),
    "number of many digits": (b"I" + b"9" * 10_000 + b"\n.", "not a whole pickle"),
    "text that is not UTF-8": (b"\x80\x04\x8c\x02\xff\xfe.", "text that is not UTF-8"),
    "deep tuple as a key": (b"}" + b"N" + b"\x85" * 200_000 + b"Ns.", "keys are neither"),
    "deep tuple in a set": (b"\x80\x04\x8f(N" + b"\x85" * 200_000 + b"\x90.", "set of something else"),
    "long tuple as a key": (b"}(" + b"K\x01" * 9 + b"tNs.", "keys are neither"),
    "long tuple as a key of an ordered one": (
        b"ccollections\nOrderedDict\n(]]((" + b"K\x01" * 9 + b"tNeatR.",
        "holds a dictionary that Python does not write",
    ),
    "long tuple in a set": (b"\x80\x04\x8f((" + b"K\x01" * 9 + b"t\x90.", "set of something else"),
    "long tuple in a frozen set": (b"\x80\x04((" + b"K\x01" * 9 + b"t\x91.", "set of something else"),
    "long tuple in a set of Python 2": (
        b"c__builtin__\nset\n(](" + b"K\x01" * 9 + b"tatR.",
        "set of something else",
    ),
    "list as a key": (b"}]Ns.", "keys are neither"),
    "append to a text": (b"S'x'\nNa.", "treats x as a list"),
    "copies without end": (
        # A megabyte is encoded again and again, five bytes a time.
        b"\x80\x02(c_codecs\nencode\nq\x00(X\x00\x00\x10\x00"
        + b"a" * (1 << 20)
        + b"X\x06\0\0\0latin1tq\x01"
        + b"h\0h\1R" * 1000
        + b"l.",
        "unpacks to far more",
    ),
    # A megabyte that stands in the file once, and that numpy copies each time.
    "byte-swapped arrays without end": (references(">f8", 40, scalars=False), "unpacks to far more"),
    "byte-swapped texts without end": (references(">U4", 40, scalars=False), "unpacks to far more"),
    "scalars of bytes without end": (references("S999999", 40, scalars=True), "unpacks to far more"),
    "scalars of text without end": (references("U250000", 40, scalars=True), "unpacks to far more"),
    "containers without end": (b"(" + b"}" * 3_000_000 + b"l.", "unpacks to far more"),
    "no stop": (b"]", "ends too early"),
    "unknown instruction": (b"\xff.", "not a whole pickle"),
    "unknown protocol": (b"\x80\x63].", "not a whole pickle"),
    "empty stack": (b".", "not a whole pickle"),
    "mark without end": (b"t.", "not a whole pickle"),
    "memo without entry": (b"h\x07.", "not a whole pickle"),
    "empty file": (b"", "is empty"),
    "gzip bomb": (b"\x1f\x8b\x08" + b"\0" * 20, "gzip-compressed; unpack it first"),
    "zip of torch": (b"PK\x03\x04" + b"\0" * 20, "zip archive"),
    "web page instead": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    raw, problem = PROGRAMS[name]
    message = refusal(tmp_path, raw)
    assert problem in message
    assert "; " in message
    assert [each.name for each in tmp_path.iterdir()] == ["x.pkl"]


def test_a_program_that_would_run_does_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files above are no duds."""
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "payload in an object array", "protocol 0"):
        pickle.loads(PROGRAMS[name][0])
        assert (tmp_path / MARKER).exists(), name
        (tmp_path / MARKER).unlink()


def test_nothing_is_imported(tmp_path: Path) -> None:
    sys.modules.pop("this", None)
    assert "asks for this.s" in refusal(tmp_path, b"cthis\ns\n.")
    assert "this" not in sys.modules


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "x.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for many examples."""
    return tmp_path_factory.mktemp("pickles")


def pickled(content: Any, protocol: int) -> bytes:
    buffer = io.BytesIO()
    pickle.dump(content, buffer, protocol)
    return buffer.getvalue()


WHOLE = [pickled(make_mag((4, 4, 4)), protocol) for protocol in (2, 3, 4, 5)]
WHOLE.append(pickled(make_mult("iemocap", sizes=(5, 5, 5)), 3))


@given(st.integers(0, len(WHOLE) - 1), st.floats(0, 1, exclude_max=True))
@example(1, 0.00390625)  # Within the name of a module.
@settings(max_examples=150)
def test_a_half_downloaded_file_is_one_line(spot: Path, which: int, share: float) -> None:
    raw = WHOLE[which]
    message = refusal(spot, raw[: int(share * len(raw))])
    assert "download it again" in message


@given(st.integers(0, len(WHOLE) - 1), st.data())
@settings(max_examples=300)
def test_damage_gives_data_or_one_line(spot: Path, which: int, data: st.DataObject) -> None:
    raw = bytearray(WHOLE[which])
    for _ in range(data.draw(st.integers(1, 5))):
        # Most of the bytes are content of arrays; the instructions stand at the start and the end.
        place = data.draw(st.one_of(st.integers(0, 600), st.integers(0, len(raw) - 1)))
        raw[place] = data.draw(st.integers(0, 255))
    any_outcome(spot / "x.pkl", bytes(raw))


@given(st.binary(max_size=200))
@example(b"\x80\x04\x95")
@settings(max_examples=300)
def test_noise_gives_data_or_one_line(spot: Path, raw: bytes) -> None:
    any_outcome(spot / "x.pkl", raw)


INSTRUCTIONS = b"().0123NKMJGXUT]}tlpqrhjgsuaebRcio\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x93\x94\x95"
PIECES = [bytes([each]) for each in INSTRUCTIONS] + [
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy.core.numeric\n_frombuffer\n",
    b"ccollections\ndefaultdict\n",
    b"cbuiltins\nset\n",
    b"c_codecs\nencode\n",
    b"Vf8\n",
    b"VO\n",
    b"VU3\n",
    b"V<\n",
    b"Vlatin1\n",
    b"K\x00",
    b"K\x01",
    b"C\x01b",
    b"C\x08abcdefgh",
    b"q\x00",
    b"h\x00",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
@settings(max_examples=500)
def test_random_programs_give_data_or_one_line(spot: Path, pieces: list[bytes]) -> None:
    any_outcome(spot / "x.pkl", b"\x80\x03" + b"".join(pieces) + b".")


def any_outcome(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    said: list[str] = []
    try:
        load(path)
    except UserError as error:
        said = str(error).splitlines()
    assert len(said) <= 1
