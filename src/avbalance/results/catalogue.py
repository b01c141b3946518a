"""The catalogue of columns, docs/columns.md, from the columns' classes."""

import sys

from avbalance.results.columns import REGISTRY
from avbalance.results.columns.base import PLACEHOLDER, Column, class_of

BEGIN = """# Columns

Made by `avbalance docs` from the classes in `src/avbalance/results/columns/`: edit those. `columns` of a
table names columns, and so do the options `column` and `columns` of figures. A name that fits no row of the table is an
error before anything runs; a row that lacks a column has a dash there. Below each list: what a table's caption says.

`<modality>` stands for a modality of the row, `<head>` for a modality or `joint`, `<list>` for a list of trials, and
`<curve>` for a curve that the row's balancer or loss records. A column of your own is `mypackage.module:MyColumn`, a
subclass of `Column` ([base.py](../src/avbalance/results/columns/base.py)).
"""
BETTER = {1: "higher", -1: "lower", 0: ""}


def page() -> str:
    """The whole catalogue: a section for each file of columns."""
    modules: dict[str, list[str]] = {}
    for pattern in REGISTRY:
        modules.setdefault(class_of(pattern).__module__, []).append(pattern)
    parts = [BEGIN]
    for module, patterns in modules.items():
        title, _, rest = (sys.modules[module].__doc__ or "").strip().partition("\n")
        parts += [f"## {title.rstrip('.')}\n", *([f"{rest.strip()}\n"] if rest else [])]
        parts.append("| column | heading | unit | better | datasets | meaning |\n|---|---|---|---|---|---|")
        parts += [_line(pattern) for pattern in patterns]
        captions = dict.fromkeys(sentence for pattern in patterns for sentence in class_of(pattern).captions)
        parts += ["", *(f"- {_escape(sentence)}" for sentence in captions), *([""] if captions else [])]
    return "\n".join(parts)


def _line(pattern: str) -> str:
    """One column as a line of the table."""
    column = class_of(pattern)(pattern, **{part: f"<{part}>" for part in PLACEHOLDER.findall(pattern)})
    tasks = "all" if column.tasks == Column.tasks else ", ".join(column.tasks).replace("_", " ")
    cells = [column.heading, column.unit, BETTER[column.better], tasks, type(column).__doc__ or ""]
    return f"| `{pattern}` | {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")
