"""Preprocess sections for data that a test wrote."""

from typing import Any

from cmad.config.schema import PerModality, Preprocess, Text

MINILM = Text(encoder="minilm", fine_tune=False, context=False)


def params(format_: Any, task: Any, **changes: Any) -> Preprocess:
    """A section for ``x.pkl``; ``changes`` are any other fields."""
    fields: dict[str, Any] = {
        "max_frames": PerModality(50, 50, 50),
        "standardise": (),
        "half": (),
        "text": None,
        "generator": None,
        "file": None if format_ in ("demo", "folder", "cherma") else "x.pkl",
        "skip_bad": False,
    }
    return Preprocess(format=format_, task=task, **(fields | changes))
