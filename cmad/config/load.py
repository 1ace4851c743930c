"""``params.yaml`` to a ``Config``, strictly: whatever the schema does not know is refused."""

from pathlib import Path
from typing import Any

from cmad.config.grid import check_grid
from cmad.config.overrides import check_overrides
from cmad.config.schema import Config
from cmad.config.values import check_value
from cmad.config.yaml12 import read_yaml
from cmad.errors import UserError


def load(path: Path) -> Config:
    """Read and check a parameter file.

    Returns:
        The configuration; mappings are read-only, lists are tuples.

    Raises:
        UserError: one line per problem, each with the file, the full dotted key, the value and
            what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give another path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    return check(read_yaml(text, str(path)), str(path))


def check(raw: Any, where: str) -> Config:
    """Check a parsed parameter file.

    Args:
        raw: what ``read_yaml`` gives.
        where: what error messages call the file.

    Raises:
        UserError: as ``load``.
    """
    problems: list[str] = []
    config = check_value(Config, {}, raw, "", problems)
    if isinstance(config, Config):
        problems += check_grid(config) + check_overrides(config)
    if problems:
        raise UserError("\n".join(f"{where}: {problem}" for problem in problems))
    assert isinstance(config, Config)
    return config
