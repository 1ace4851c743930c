"""A table in LaTeX, with the rules of booktabs."""

import re

from cmad.report.grid import Field, Grid, Line, pairs, side_by_side
from cmad.report.table import Table

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
# Other signs in the fonts that LaTeX starts with.
_SPECIAL |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%#_{}"}
# Dollar and daggers of mathematics: those of text need more fonts.
_SPECIAL |= {"$": r"$\$$"}
# What the report writes beyond ASCII.
_SIGNS = {"\N{EN DASH}": "--", "±": r"$\pm$", "†": r"$\dagger$", "‡": r"$\ddagger$"}
# A hyphen before a number is a minus; one inside a name is not.
_MINUS = re.compile(r"(?<![\w.)-])-(?=\d)")
_HEADER = "% Needs \\usepackage{booktabs}; where it is too wide: \\resizebox{\\textwidth}{!}{\\input{...}}\n"


def latex(table: Table, *beside: Table) -> str:
    """A tabular, the best cells bold; right of it the columns of others with the same rows."""
    return tabular(side_by_side(table, *beside))


def latex_pairs(first: Table, second: Table) -> str:
    """Two tables with the same rows and columns as one tabular, "86.1 / 86.0" in each field."""
    return tabular(pairs(first, second))


def tabular(grid: Grid) -> str:
    """A grid as a tabular, to be included in a document; LaTeX's special characters mean what they say."""
    heads = [[_escaped(text) for text in head] for head in grid.heads]
    lines = [_line(grid, line) for line in grid.lines]
    columns = "l" * grid.names + "r" * (len(heads[0]) - grid.names)
    above, below = ([_plain(" & ".join(line)) + r" \\" for line in part] for part in (heads, lines))
    body = [r"\toprule", *above, r"\midrule", *below, r"\bottomrule"]
    return "\n".join([rf"{_HEADER}\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]) + "\n"


def _line(grid: Grid, line: Line) -> list[str]:
    names = ["".join(part.text for part in field) for field in line.fields[: grid.names]]
    names[-1] += line.mark
    return [*map(_escaped, names), *map(_field, line.fields[grid.names :])]


def _field(field: Field) -> str:
    texts = ((_MINUS.sub("$-$", part.whole), part.best) for part in field)
    return " / ".join(rf"\textbf{{{text}}}" if best else text for text, best in texts)


def _escaped(text: str) -> str:
    # After the end of a line [ and * would be arguments of it.
    guard = "{}" if text.startswith(("[", "*")) else ""
    return guard + "".join(_SPECIAL.get(sign, sign) for sign in text)


def _plain(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in text)
