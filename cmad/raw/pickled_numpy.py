"""What an admitted name of a pickle stands for: arrays, scalars and plain containers, made by us.

numpy's own ``__setstate__`` and ``dtype`` believe what a file tells them (a dtype whose flags hide that
it holds object pointers is enough to run code), so none of them ever sees a state of the file: types
are made here from their short codes, and sizes are compared before anything is allocated.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# b1, i4, u8, f4, c16, O, S5, U12: no structured, void or date types.
_CODE = re.compile(r"b1|[iu][1248]|f(2|4|8)|c(8|16)|O8?|[SU][0-9]{1,6}")
_MOST_AXES = 8
# numpy copies contents up to this size, and shares most of the larger ones.
_SMALL = 256
# A tuple is hashed anew each time that it is a key, and a pickle may refer to one again and again.
_LONGEST_KEY = 8


class RefusedError(Exception):
    """Something in a pickle that is not admitted, in words for the user."""


@dataclass
class Budget:
    """Bytes that a pickle may still make of its own; what it brings itself is bounded by its size.

    Attributes:
        left: bytes.
        longest: most entries of one axis, the bytes of the file.
    """

    left: int
    longest: int

    def spend(self, size: int) -> None:
        """Take ``size`` bytes off.

        Raises:
            RefusedError: there are not as many left.
        """
        self.left -= size
        if self.left < 0:
            raise RefusedError("unpacks to far more than the size of the file")


@dataclass(frozen=True)
class Name:
    """Something importable that a pickle mentions; it is never imported.

    Attributes:
        full: module and name.
        make: what calling it gives, from its arguments; None where it may be mentioned, not called.
    """

    full: str
    make: Callable[[tuple[Any, ...], Budget], Any] | None = None


class DtypeOf:
    """A ``numpy.dtype`` on its way: the code comes first, the byte order in a later state."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.fullmatch(text.lstrip("|<>=")):
            raise RefusedError(
                f"holds an array of type {shown(code)}, which is neither number, text nor object"
            )
        self.dtype = np.dtype(text)

    def set_state(self, state: Any) -> None:
        """Take the byte order; names, fields and sub-arrays are not admitted, flags are not looked at."""
        if not isinstance(state, tuple) or not 5 <= len(state) <= 9 or any(s is not None for s in state[2:5]):
            raise RefusedError("holds an array of a structured type")
        order: Any = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise RefusedError(f"holds an array of byte order {shown(order)}")
        # "|" leaves the order as it is.
        self.dtype = self.dtype.newbyteorder(order)


def set_array(array: NDArray[Any], state: Any, budget: Budget) -> None:
    """Give a pending array its shape and content.

    Args:
        array: as ``_reconstruct`` left it, without content; filled in place, since the pickle may
            refer to it already.
        state: of the file: (version, shape, type, column-major, content).
        budget: of the file.
    """
    if not isinstance(state, tuple) or len(state) not in (4, 5) or array.shape != (0,):
        raise RefusedError("holds an array with a state that numpy does not write")
    shape, of, columns_first, raw = state[-4:]
    if not isinstance(of, DtypeOf) or type(columns_first) not in (bool, int):
        raise RefusedError("holds an array with a state that numpy does not write")
    count = _count(shape, budget)
    dtype = of.dtype
    if dtype.hasobject:
        # What such an array holds came through the same gate; it is a container like a list.
        if type(raw) is not list or len(raw) != count:
            raise RefusedError(f"holds an object array of shape {list(shape)} without as many objects")
        budget.spend(8 * count)
        content: Any = raw
    else:
        # numpy puts the bytes in the machine's order, in a copy.
        copied = not dtype.isnative
        content = _content(raw, count * dtype.itemsize, f"{dtype} {list(shape)}", budget, copied)
    # mypy wants numpy's bool here, numpy itself Python's.
    array.__setstate__((1, shape, dtype, bool(columns_first), content))  # type: ignore[arg-type]


def shown(value: Any) -> str:
    """A short word of the file for a message: one line, printable, of bounded length."""
    if isinstance(value, str | bytes):
        word = value if isinstance(value, str) else value[:80].decode("latin1")
        return ascii(word[:80])[1:-1]
    return str(value) if type(value) in (bool, float, type(None)) else type(value).__name__


def _count(shape: Any, budget: Budget) -> int:
    if type(shape) is not tuple or len(shape) > _MOST_AXES or not all(type(n) is int for n in shape):
        raise RefusedError("holds an array whose shape is none")
    if not all(0 <= n <= budget.longest for n in shape):
        raise RefusedError("holds an array with a shape that its file cannot fill")
    return math.prod(shape)


def _content(raw: Any, size: int, what: str, budget: Budget, copied: bool = False) -> bytes:
    """The bytes of an array or scalar, which may stand in the file once and be referred to many times.

    Args:
        raw: of the file.
        size: bytes that it must have.
        what: for messages.
        budget: of the file.
        copied: whether numpy copies contents of any size, instead of sharing large ones.
    """
    # Strings of Python 2 that happen to be ASCII come as str.
    if isinstance(raw, str) and raw.isascii():
        budget.spend(len(raw))
        raw = raw.encode("ascii")
    if type(raw) is not bytes or len(raw) != size:
        given = f"{len(raw)} bytes" if isinstance(raw, bytes) else type(raw).__name__
        raise RefusedError(f"holds an array {what} with {given} of content instead of {size} bytes")
    if copied or size <= _SMALL:
        budget.spend(size)
    return raw


def _pending(args: tuple[Any, ...], _: Budget) -> NDArray[Any]:
    if not args or not isinstance(args[0], Name) or args[0].full != "numpy.ndarray":
        raise RefusedError("holds an array of another class than numpy.ndarray")
    return np.empty((0,), dtype=np.int8)


def _dtype(args: tuple[Any, ...], _: Budget) -> DtypeOf:
    if not 1 <= len(args) <= 3:
        raise RefusedError("holds an array type that numpy does not write")
    return DtypeOf(args[0])


def _scalar(args: tuple[Any, ...], budget: Budget) -> Any:
    if len(args) != 2 or not isinstance(args[0], DtypeOf) or args[0].dtype.hasobject:
        raise RefusedError("holds a scalar that numpy does not write")
    dtype = args[0].dtype
    raw = _content(args[1], dtype.itemsize, f"scalar {dtype}", budget, copied=True)
    return np.frombuffer(raw, dtype)[0] if dtype.itemsize else dtype.type()


def _from_buffer(args: tuple[Any, ...], budget: Budget) -> NDArray[Any]:
    if (
        len(args) != 4
        or not isinstance(args[1], DtypeOf)
        or args[1].dtype.hasobject
        or args[3] not in ("C", "F")
    ):
        raise RefusedError("holds an array with a state that numpy does not write")
    raw, of, shape, order = args
    count = _count(shape, budget)
    raw = _content(raw, count * of.dtype.itemsize, f"{of.dtype} {list(shape)}", budget)
    return np.frombuffer(raw, of.dtype).reshape(shape, order=order)


def _encoded(args: tuple[Any, ...], budget: Budget) -> bytes:
    """Bytes as Python 3 writes them for Python 2's protocols."""
    if len(args) != 2 or type(args[0]) is not str or args[1] not in ("latin1", "latin-1", b"latin1"):
        raise RefusedError("calls _codecs.encode otherwise than for bytes")
    budget.spend(len(args[0]))
    return args[0].encode("latin1")


def _empty_bytes(args: tuple[Any, ...], _: Budget) -> bytes:
    if args:
        raise RefusedError("calls bytes with arguments")
    return b""


def _set(args: tuple[Any, ...], budget: Budget) -> set[Any]:
    if len(args) != 1 or type(args[0]) is not list or not all(is_plain(each) for each in args[0]):
        raise RefusedError("holds a set of something else than texts and numbers")
    budget.spend(64 * len(args[0]))
    return set(args[0])


def _dict(args: tuple[Any, ...], budget: Budget) -> dict[Any, Any]:
    """An ordered or defaulting dictionary as a plain one; the default is dropped, never called."""
    if len(args) > 1 or (args and not isinstance(args[0], Name | list)):
        raise RefusedError("holds a dictionary that Python does not write")
    pairs = args[0] if args and isinstance(args[0], list) else []
    if not all(type(pair) in (list, tuple) and len(pair) == 2 and is_plain(pair[0]) for pair in pairs):
        raise RefusedError("holds a dictionary that Python does not write")
    budget.spend(128 * len(pairs))
    return dict(pairs)


def is_plain(key: Any) -> bool:
    """Whether hashing it is harmless: a deep tuple would overflow the stack, a long one takes long."""
    kind = type(key)
    if kind is tuple:
        return (
            len(key) <= _LONGEST_KEY
            and all(is_plain(each) for each in key if type(each) is not tuple)
            and not any(type(each) is tuple for each in key)
        )
    return kind in (str, bytes, int, float, bool, type(None)) or isinstance(key, np.generic)


def _names() -> dict[str, Name]:
    calls: dict[str, Callable[[tuple[Any, ...], Budget], Any]] = {
        "numpy.dtype": _dtype,
        "_codecs.encode": _encoded,
        "collections.OrderedDict": _dict,
        "collections.defaultdict": _dict,
    }
    # Before numpy 2 its inner package was called core.
    for core in ("numpy.core", "numpy._core"):
        calls[f"{core}.multiarray._reconstruct"] = _pending
        calls[f"{core}.multiarray.scalar"] = _scalar
        calls[f"{core}.numeric._frombuffer"] = _from_buffer
    # As Python 2 and 3 call them.
    for builtins in ("__builtin__", "builtins"):
        calls[f"{builtins}.bytes"] = _empty_bytes
        calls[f"{builtins}.set"] = _set
        calls[f"{builtins}.frozenset"] = _set
    found = {full: Name(full, make) for full, make in calls.items()}
    # Defaults of a defaultdict, among them what the owners' own script left behind.
    mentioned = ["__main__.return_unk", "numpy.ndarray"]
    for builtins in ("__builtin__", "builtins"):
        mentioned += [f"{builtins}.{kind}" for kind in ("int", "long", "float", "str", "list", "dict")]
    return found | {full: Name(full) for full in mentioned}


NAMES: Mapping[str, Name] = _names()
