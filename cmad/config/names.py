"""How error messages name the keys and values of a parameter file: each on one line."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any


def dotted(key: str, name: object) -> str:
    """The full key of what stands under a name in the section ``key``; "" is the file itself."""
    # Quoted keys may hold anything, line breaks and dots too.
    text = str(name)
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        text = json.dumps(text)
    return f"{key}.{text}" if key else text


def shown(value: Any) -> str:
    """A value on one line, cut to a length that can be read."""
    text = json.dumps(value, default=_plain)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any) -> Any:
    """What JSON does not know: a checked file's mappings are read-only ones."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def check_folder_names(key: str, section: Any) -> list[str]:
    """A problem for each name of a section that cannot serve as a folder; none for a refused section.

    Args:
        key: full dotted key of the section.
        section: a mapping, or ``INVALID``.
    """
    if not isinstance(section, Mapping):
        return []
    return [
        f"{dotted(key, name)}: this name becomes a folder's; it must be a text of a-z, 0-9 and _ alone"
        for name in section
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_]+", name)
    ]


def nearest(name: object, known: Iterable[object]) -> str:
    """The hint of an error message about an unknown name: the known one most like it, or all."""
    names = [dotted("", each) for each in known]
    close = difflib.get_close_matches(str(name).lower(), names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names) or 'none'}"
