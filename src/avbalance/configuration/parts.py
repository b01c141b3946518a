"""The part of a table that a scale runs, and columns for every modality."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from avbalance.configuration.checks import member
from avbalance.configuration.resolved import ResolvedRow
from avbalance.configuration.table_schema import Claim, Table


def part_of(table: Table, patterns: list[str], path: Path, where: str) -> Table:
    """Table with some of its rows, and without what speaks of the others: expected numbers, claims, combined rows.

    Args:
        patterns: Names of rows, in which `*`, `?` and `[...]` match as in the shell.
        path, where: Place of the patterns, for errors.

    Raises:
        UserError: A pattern matches no row.
    """
    for pattern in patterns:
        if not any(fnmatchcase(row, pattern) for row in table.rows):
            member(path, where, "row", pattern, table.rows)
    rows = {row: own for row, own in table.rows.items() if any(fnmatchcase(row, each) for each in patterns)}
    combined = {row: own for row, own in table.combined.items() if set(own.rows) <= set(rows)}
    known = {*rows, *combined}
    return table.model_copy(
        update={
            "rows": rows,
            "combined": combined,
            "claims": {name: claim for name, claim in table.claims.items() if known.issuperset(_rows_of(claim))},
            "expected": {row: numbers for row, numbers in table.expected.items() if table.each or row in known},
        }
    )


def _rows_of(claim: Claim) -> set[str]:
    return {row for side in (claim.left, claim.right) for row in ([side] if isinstance(side, str) else side) if row}


def write_out_columns(table: Table, rows: Mapping[str, ResolvedRow]) -> Table:
    """Table in which a column with `*` is written out for every modality of the rows: `acc_*_alone`."""
    modalities = list(dict.fromkeys(modality for row in rows.values() for modality in row.modalities))
    columns = [column for each in table.columns for column in _write_out(each, modalities)]
    return table.model_copy(update={"columns": columns})


def _write_out(column: str, modalities: Collection[str]) -> Iterable[str]:
    return [column.replace("*", modality) for modality in modalities] if "*" in column else [column]
