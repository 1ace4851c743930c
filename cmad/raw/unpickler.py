"""A pickle machine that can make arrays, numbers, texts and plain containers, and nothing else.

A pickle is a program. This one runs with Python's own machine (``pickle._Unpickler``, the variant in
Python, whose instructions can be replaced one by one), of which only the harmless instructions are
kept. No name is ever imported: each is looked up in ``cmad.raw.pickled_numpy.NAMES``, and calls make
what is written there.
"""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import numpy as np

from cmad.raw.pickled_numpy import NAMES, Budget, DtypeOf, Name, RefusedError, is_plain, set_array, shown

# Bytes that an empty container takes, by and large; a mark makes one too.
_CONTAINER = 64
_SET = 216
_BASE: dict[int, Callable[[Any], None]] = getattr(pickle, "_Unpickler").dispatch  # noqa: B009

_KEPT = """
    PROTO FRAME STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4
    FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES BINBYTES8 SHORT_BINBYTES UNICODE BINUNICODE
    BINUNICODE8 SHORT_BINUNICODE EMPTY_TUPLE GLOBAL STACK_GLOBAL
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
"""
# What each refused instruction would do.
_REFUSED = {
    "NEWOBJ": "makes an object of a class",
    "NEWOBJ_EX": "makes an object of a class",
    "OBJ": "makes an object of a class",
    "INST": "makes an object of a class",
    "EXT1": "calls on a registered extension",
    "EXT2": "calls on a registered extension",
    "EXT4": "calls on a registered extension",
    "PERSID": "refers to an object outside of it",
    "BINPERSID": "refers to an object outside of it",
    "NEXT_BUFFER": "refers to a buffer outside of it",
}
Instruction = Callable[["Unpickler"], None]


class BoundedFile:
    """A file that never allocates more than it holds."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes.

        Raises:
            EOFError: there are not as many.
        """
        # A large count is compared first: reading would allocate all of it.
        if count > 1 << 16 and count > self._size - self._file.tell():
            raise EOFError
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def readline(self) -> bytes:
        """A whole line.

        Raises:
            EOFError: the file ends within it.
        """
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class Unpickler(pickle._Unpickler):
    """The machine; ``load()`` gives the object, see ``cmad.raw.pickles.load``."""

    dispatch: ClassVar[dict[int, Instruction]]  # type: ignore[assignment]
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BoundedFile, budget: Budget) -> None:
        super().__init__(file, fix_imports=False, encoding="bytes")
        self.budget = budget

    def find_class(self, module: str, name: str) -> Name:
        """The stand-in of an admitted name.

        Raises:
            RefusedError: any other name.
        """
        full = f"{module}.{name}"
        if full not in NAMES:
            raise RefusedError(f"asks for {shown(full)}")
        return NAMES[full]

    def _decode_string(self, value: bytes) -> str | bytes:
        # Python 2 wrote names and contents of arrays alike; what is not ASCII stays bytes.
        return value.decode("ascii") if value.isascii() else value


def _reduce(machine: Unpickler) -> None:
    args = machine.stack.pop()
    name = machine.stack.pop()
    if not isinstance(name, Name) or type(args) is not tuple or name.make is None:
        called = name.full if isinstance(name, Name) else shown(name)
        raise RefusedError(f"calls {called}")
    machine.budget.spend(2 * _CONTAINER)
    machine.append(name.make(args, machine.budget))


def _build(machine: Unpickler) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, np.ndarray):
        set_array(target, state, machine.budget)
    elif isinstance(target, DtypeOf):
        target.set_state(state)
    else:
        called = target.full if isinstance(target, Name) else type(target).__name__
        raise RefusedError(f"sets the inner state of {called}")


def _mark(machine: Unpickler) -> None:
    machine.budget.spend(_CONTAINER)
    _BASE[pickle.MARK[0]](machine)


def _empty_list(machine: Unpickler) -> None:
    machine.budget.spend(_CONTAINER)
    machine.append([])


def _empty_dict(machine: Unpickler) -> None:
    machine.budget.spend(_CONTAINER)
    machine.append({})


def _empty_set(machine: Unpickler) -> None:
    machine.budget.spend(_SET)
    machine.append(set())


def _list(machine: Unpickler) -> None:
    items = machine.pop_mark()
    machine.append(items)


def _tuple(machine: Unpickler) -> None:
    items = machine.pop_mark()
    machine.append(tuple(items))


def _short_tuple(size: int) -> Instruction:
    def instruction(machine: Unpickler) -> None:
        machine.budget.spend(_CONTAINER)
        items = machine.stack[-size:]
        if len(items) < size:
            raise IndexError
        machine.stack[-size:] = [tuple(items)]

    return instruction


def _append(machine: Unpickler) -> None:
    value = machine.stack.pop()
    _top(machine, list).append(value)


def _appends(machine: Unpickler) -> None:
    items = machine.pop_mark()
    _top(machine, list).extend(items)


def _set_item(machine: Unpickler) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(_top(machine, dict), [key, value])


def _set_items(machine: Unpickler) -> None:
    items = machine.pop_mark()
    _fill(_top(machine, dict), items)


def _dict(machine: Unpickler) -> None:
    items = machine.pop_mark()
    machine.append({})
    _fill(machine.stack[-1], items)


def _add_items(machine: Unpickler) -> None:
    items = machine.pop_mark()
    if not all(map(is_plain, items)):
        raise RefusedError("holds a set of something else than texts and numbers")
    _top(machine, set).update(items)


def _frozen_set(machine: Unpickler) -> None:
    machine.budget.spend(_SET)
    items = machine.pop_mark()
    machine.append(set())
    if not all(map(is_plain, items)):
        raise RefusedError("holds a set of something else than texts and numbers")
    machine.stack[-1].update(items)


def _byte_array(machine: Unpickler) -> None:
    machine.append(machine.read(int.from_bytes(machine.read(8), "little")))


def _nothing(machine: Unpickler) -> None:
    """Mark a buffer as read-only, which bytes are anyway."""


def _fill(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise IndexError
    keys = items[::2]
    if not all(map(is_plain, keys)):
        raise RefusedError("holds a dictionary whose keys are neither texts nor numbers")
    target.update(zip(keys, items[1::2], strict=True))


def _top(machine: Unpickler, kind: type) -> Any:
    target = machine.stack[-1]
    if type(target) is not kind:
        raise RefusedError(f"treats {shown(target)} as a {kind.__name__}")
    return target


def _refuse(instruction: str) -> Instruction:
    def refuse(_: Unpickler) -> None:
        raise RefusedError(f"{_REFUSED[instruction]} (instruction {instruction})")

    return refuse


def _inst(machine: Unpickler) -> None:
    # The names stand in the instruction; one that is not admitted is named.
    module, name = (machine.readline()[:-1].decode("utf-8") for _ in range(2))  # type: ignore[attr-defined]
    machine.find_class(module, name)
    _refuse("INST")(machine)


def _instructions() -> dict[int, Instruction]:
    own: dict[str, Instruction] = {name: _refuse(name) for name in _REFUSED}
    own |= {
        "REDUCE": _reduce,
        "BUILD": _build,
        "INST": _inst,
        "MARK": _mark,
        "LIST": _list,
        "TUPLE": _tuple,
        "TUPLE1": _short_tuple(1),
        "TUPLE2": _short_tuple(2),
        "TUPLE3": _short_tuple(3),
        "DICT": _dict,
        "EMPTY_LIST": _empty_list,
        "EMPTY_DICT": _empty_dict,
        "EMPTY_SET": _empty_set,
        "FROZENSET": _frozen_set,
        "APPEND": _append,
        "APPENDS": _appends,
        "SETITEM": _set_item,
        "SETITEMS": _set_items,
        "ADDITEMS": _add_items,
        "BYTEARRAY8": _byte_array,
        "READONLY_BUFFER": _nothing,
    }
    kept = {getattr(pickle, name)[0]: _BASE[getattr(pickle, name)[0]] for name in _KEPT.split()}
    return kept | {getattr(pickle, name)[0]: instruction for name, instruction in own.items()}


Unpickler.dispatch = _instructions()
