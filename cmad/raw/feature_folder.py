"""The feature folder, the project's own input format (``data/README.md``)."""

from pathlib import Path
from typing import Literal

from cmad.errors import UserError
from cmad.files import sha256
from cmad.raw.check import check
from cmad.raw.labels import read_labels
from cmad.raw.raw_data import RawData
from cmad.raw.samples import Samples, read_samples
from cmad.raw.streams import read_stream
from cmad.task import Kind


def read(folder: Path, kind: Kind, language: Literal["text", "features"]) -> RawData:
    """Read and check a feature folder.

    Args:
        folder: holds ``samples.csv``, ``audio.npz``, ``vision.npz`` and, for features,
            ``language.npz``.
        kind: of the task; binary labels stand in columns ``label.<name>``.
        language: "text" takes the column of that name, to be encoded later; "features" takes
            ``language.npz``. Whichever is not asked for is left alone.

    Raises:
        UserError: anything missing or wrong, with file, field and remedy.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; put the feature folder there, see data/README.md")
    path = folder / "samples.csv"
    samples = read_samples(path)
    _check_language(folder, samples, language)
    labels, names = read_labels(samples, kind)
    files = {m: folder / f"{m}.npz" for m in ("audio", "vision")}
    if language == "features":
        files = {"language": folder / "language.npz", **files}
    raw = RawData(
        ids=samples.columns["id"],
        splits=samples.columns["split"],
        groups=samples.columns["group"],
        labels=labels,
        names=names,
        streams={m: read_stream(file, len(samples.lines)) for m, file in files.items()},
        texts=_texts(samples) if language == "text" else None,
        checksums={file.name: sha256(file) for file in (path, *files.values())},
    )
    check(raw, str(folder))
    return raw


def _check_language(folder: Path, samples: Samples, language: Literal["text", "features"]) -> None:
    if language == "text" and "text" not in samples.columns:
        raise UserError(
            f"{samples.path}: column text is absent; add it, or for language.npz set the preset's "
            "preprocess.text to null"
        )
    if language == "features" and not (folder / "language.npz").exists():
        hint = "; to encode the column text instead set the preset's preprocess.text"
        raise UserError(
            f"{folder / 'language.npz'}: no such file; add it{hint if 'text' in samples.columns else ''}"
        )


def _texts(samples: Samples) -> list[tuple[str, str]]:
    texts = samples.columns["text"]
    return list(zip(samples.columns.get("context", [""] * len(texts)), texts, strict=True))
