"""A table in LaTeX, with the rules of booktabs."""

import re
from collections.abc import Sequence

from cmad.report.table import Table, best_cells, cell_text, heads, paired

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
    lines = [[name] for name in row_names(table)]
    for each in (table, *beside):
        for line, texts in zip(lines, cell_texts(each), strict=True):
            line += texts
    return tabular(lines, heads(table))


def latex_pairs(first: Table, second: Table) -> str:
    """Two tables with the same rows and columns as one tabular, "86.1 / 86.0" in each field."""
    texts = paired(cell_texts(first), cell_texts(second), heads(first))
    lines = [[name, *line] for name, line in zip(row_names(first), texts, strict=True)]
    return tabular(lines, heads(first))


def row_names(table: Table) -> list[str]:
    """The first field of every line: the axis, n where the table has counts, the rows."""
    first = [table.axes[0], *(["n"] if table.counts else [])]
    return [_escaped(name) for name in (*first, *(row.name + row.mark for row in table.rows))]


def cell_texts(table: Table) -> list[list[str]]:
    """The other fields of every line: column names, counts where the table has them, cells, the best bold."""
    best = best_cells(table)
    lines = [[_escaped(column) for column in table.columns]]
    if table.counts:
        lines.append(["" if count is None else str(count) for count in table.counts])
    for i, row in enumerate(table.rows):
        texts = [_MINUS.sub("$-$", cell_text(cell, row.shown)) for cell in row.cells]
        lines.append([rf"\textbf{{{text}}}" if (i, j) in best else text for j, text in enumerate(texts)])
    return lines


def tabular(lines: Sequence[Sequence[str]], heads: int, left: int = 1) -> str:
    """Fields as a tabular, to be included in a document.

    Args:
        lines: the heads first, all of the same length; special characters of LaTeX mean what they say.
        heads: how many lines stand above the middle rule.
        left: how many of the first columns are aligned to the left, not to the right.
    """
    columns = "l" * left + "r" * (len(lines[0]) - left)
    rows = [_plain(" & ".join(line)) + r" \\" for line in lines]
    body = [r"\toprule", *rows[:heads], r"\midrule", *rows[heads:], r"\bottomrule"]
    return "\n".join([rf"{_HEADER}\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]) + "\n"


def _escaped(text: str) -> str:
    # After the end of a line [ and * would be arguments of it.
    guard = "{}" if text.startswith(("[", "*")) else ""
    return guard + "".join(_SPECIAL.get(sign, sign) for sign in text)


def _plain(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in text)
