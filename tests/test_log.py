"""The log of trainings is the file that pandas would write."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cmad.training.log import Logged, write_log

LATE = [{"epoch": 0, "loss": 1 / 3}, {"epoch": 1, "loss": 1e-05, "loss_mad": 1e300}]
GAPS = [{"epoch": 0, "loss": math.nan}, {"epoch": 1, "loss": -0.0}]
CASES: dict[str, list[Logged]] = {
    "a column that comes in a later epoch": [Logged(LATE, {"seed": 0, "combination": ""})],
    "a column that another model has": [Logged(GAPS, {"seed": 0}), Logged(LATE, {"seed": 1})],
    "nothing trained": [Logged([], {"seed": 0, "combination": ""})],
    "a comma in a name": [Logged([{"epoch": 0, "of a, b": 0.1}], {"seed": 3, "combination": "L"})],
}


@pytest.mark.parametrize("case", CASES)
def test_log_is_what_pandas_would_write(tmp_path: Path, case: str) -> None:
    write_log(tmp_path / "ours.csv", CASES[case])
    frames = [pd.DataFrame(list(each.rows)).assign(**plain(each)) for each in CASES[case]]
    pd.concat(frames).to_csv(tmp_path / "theirs.csv", index=False)
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def plain(logged: Logged) -> dict[str, Any]:
    return dict(logged.model)
