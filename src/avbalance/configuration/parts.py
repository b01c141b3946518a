"""The part of a table that a scale runs, and columns for every modality."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from pathlib import Path

from avbalance.configuration.checks import member
from avbalance.configuration.resolved import ResolvedRow
from avbalance.configuration.table_schema import Claim, Table


def matching(patterns: Sequence[str], rows: Mapping[str, object], path: Path, where: str) -> set[str]:
    """Names of the rows that patterns match, in which `*`, `?` and `[...]` mean the same as in the shell.

    A pattern that begins with `!` takes out again what it matches.

    Args:
        path, where: Place of the patterns, for errors.

    Raises:
        UserError: A pattern matches no row.
    """
    matched: set[str] = set()
    for pattern in patterns:
        found = {row for row in rows if fnmatchcase(row, pattern.removeprefix("!"))}
        if not found:
            member(path, where, "row", pattern.removeprefix("!"), rows)
        matched = matched - found if pattern.startswith("!") else matched | found
    return matched


def with_rows(table: Table, names: Set[str]) -> Table:
    """Table with some of its rows, and without what speaks of the others: expected numbers, claims, combined rows.

    What speaks of rows that the table never had stays, so that it is refused.
    """
    combined = {row: own for row, own in table.combined.items() if names >= set(own.rows)}
    left_out = {*table.rows, *table.combined} - {*names, *combined}
    return table.model_copy(
        update={
            "rows": {row: own for row, own in table.rows.items() if row in names},
            "combined": combined,
            "claims": {name: claim for name, claim in table.claims.items() if not left_out & _rows_of(claim)},
            "expected": {row: numbers for row, numbers in table.expected.items() if row not in left_out},
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
