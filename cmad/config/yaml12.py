"""YAML as DVC reads it: the core schema of YAML 1.2.

PyYAML alone follows YAML 1.1, where ``1e-05`` is a text, ``017`` is 15 and ``no`` is false, while
DVC, which writes ``1e-05`` into ``params.yaml`` for ``-S lr=0.00001``, follows YAML 1.2.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from cmad.errors import UserError


def read_yaml(text: str, where: str) -> Any:
    """Parse one YAML document.

    Args:
        text: the document.
        where: what error messages call it, usually the path of its file.

    Returns:
        Dictionaries, lists, texts, numbers, booleans and None; None for an empty document.

    Raises:
        UserError: bad syntax, a key that stands twice in one mapping, a whole number beyond 64
            bits, or a tag outside the core schema.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(where, line, f"the character {error.character:#x} is not allowed") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(where, mark.line + 1 if mark else 1, error.problem or error.context or "") from None
    except RecursionError:
        raise UserError(f"{where}: not valid YAML: nested too deeply; flatten it") from None


def _refused(where: str, line: int, problem: str) -> UserError:
    return UserError(f"{where}, line {line}: not valid YAML: {' '.join(problem.split())}; mend this line")


class _Loader(yaml.SafeLoader):
    """PyYAML's syntax; ``_register`` puts the core schema in place of its 1.1 scalars."""


def _integer(text: str) -> int:
    number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _real(text: str) -> float:
    # Python writes infinity and "not a number" without YAML's dot.
    return float(re.sub(r"\.(?=[in])", "", text.lower()))


# tag: pattern, first characters (PyYAML looks patterns up by them), conversion.
# https://yaml.org/spec/1.2.2/#1032-tag-resolution; the first fit counts.
_SCALARS: dict[str, tuple[str, list[str], Callable[[str], Any]]] = {
    "null": (r"null|Null|NULL|~|", ["n", "N", "~", ""], lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF"), lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789"), _integer),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
        _real,
    ),
}


def _scalar(pattern: re.Pattern[str], convert: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    """A constructor of PyYAML; it checks the pattern again, for tags that the file itself gives."""

    def construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        if not pattern.match(text):
            raise ConstructorError(None, None, f"{text!r} is no {node.tag}", node.start_mark)
        try:
            return convert(text)
        except ValueError:
            problem = "a whole number of more than 64 bits"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    return construct


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return loader.construct_scalar(node)


def _list(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _mapping(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    """A dictionary, refusing what PyYAML lets pass: a key that stands twice (the last one won)."""
    if not isinstance(node, yaml.MappingNode):
        raise ConstructorError(None, None, f"this is no {node.tag}", node.start_mark)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, dict | list):
            raise ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
        if key in result:
            raise ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


def _other(_: yaml.SafeLoader, node: yaml.Node) -> Any:
    raise ConstructorError(None, None, f"the tag {node.tag} is not allowed", node.start_mark)


def _register() -> None:
    _Loader.yaml_implicit_resolvers = {}
    _Loader.yaml_constructors = {}
    for name, (regex, first, convert) in _SCALARS.items():
        pattern = re.compile(rf"(?:{regex})\Z")
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", pattern, first)
        _Loader.add_constructor(f"tag:yaml.org,2002:{name}", _scalar(pattern, convert))
    _Loader.add_constructor("tag:yaml.org,2002:str", _text)
    _Loader.add_constructor("tag:yaml.org,2002:seq", _list)
    _Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
    _Loader.add_constructor(None, _other)


_register()
