"""Rows that tables take from other tables by `rows_of`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avbalance.configuration.checks import member, validate
from avbalance.configuration.parts import matching, with_rows
from avbalance.configuration.table_schema import Table, merge
from avbalance.errors import UserError


def take_rows(
    tables: Mapping[str, Table], files: Mapping[str, Path], part: Callable[[str, Table], Table]
) -> dict[str, Table]:
    """Write out the rows that tables take from others; a table comes after those of which it takes rows.

    A row that is taken has the fields of the taking table's row of that name; then its own; then the taking table's
    defaults; then the defaults of its table. A table that takes all rows of one table and has neither columns nor a
    figure takes columns and claims as well.

    Args:
        files: {table: its YAML file}, for errors.
        part: Returns the part of a table, given with its name, that is wanted; others take rows of that part.

    Raises:
        UserError: A table or a row does not exist, tables take rows of each other, or a table of runs takes rows of a
            computed one or the reverse.
    """
    complete: dict[str, Table] = {}
    for name in tables:
        _complete(name, tables, files, part, [], complete)
    return complete


def _complete(
    name: str,
    tables: Mapping[str, Table],
    files: Mapping[str, Path],
    part: Callable[[str, Table], Table],
    takers: list[str],
    complete: dict[str, Table],
) -> None:
    """Enter a table, and before it the tables of which it takes rows, into `complete`."""
    if name in complete:
        return
    table, path, chain = tables[name], files[name], [*takers, name]
    if table.rows_of is None:
        complete[name] = part(name, table)
        return
    chosen = {table.rows_of: "all"} if isinstance(table.rows_of, str) else table.rows_of
    for source in chosen:
        member(path, "rows_of", "table", source, tables)
        if source in chain:
            circle = " takes rows of ".join([*chain[chain.index(source) :], source])
            raise UserError(f"{path}: rows_of: {circle}; write out the rows of one of them")
        _complete(source, tables, files, part, chain, complete)
        if (complete[source].compute is None) != (table.compute is None):
            raise UserError(f"{path}: rows_of: rows of runs and rows of formulas differ; take rows of another table")
    if len(chosen) == 1:
        ((source, names),) = chosen.items()
        taken = complete[source]
        rows = _choose(taken, names, path, source)
        own: dict[str, Any] = {"defaults": merge(taken.defaults, table.defaults), "each": table.each or taken.each}
        if not table.columns and table.figure is None:
            own["columns"], own["claims"] = taken.columns, {**taken.claims, **table.claims}
    else:
        rows, own = {}, {}
        for source, names in chosen.items():
            taken = complete[source].spread()
            for row, fields in _choose(taken, names, path, source).items():
                rows[f"{source}_{row}"] = merge(merge(taken.defaults, table.defaults), fields)
    left_out = matching(table.without, rows, path, "without")
    for row, fields in table.rows.items():
        rows[row] = merge(rows.get(row, {}), fields)
    content = table.model_dump(exclude_none=True, exclude={"rows_of", "without"})
    whole = validate(Table, {**content, **own, "rows": rows}, path)
    complete[name] = part(name, with_rows(whole, rows.keys() - left_out) if left_out else whole)


def _choose(table: Table, names: str | list[str], path: Path, source: str) -> dict[str, dict[str, Any]]:
    """All or some of a table's rows."""
    for row in names if names != "all" else ():
        member(path, f"rows_of.{source}", "row", row, table.rows)
    return {row: table.rows[row] for row in (table.rows if names == "all" else names)}
