"""Lists of datasets: text files of fields, with or without a byte order mark, with any line breaks."""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from avbalance.errors import UserError


def read_rows(path: Path, num_fields: int, delimiter: str = ",", comment: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the fields of every line that is not empty.

    Args:
        path: A UTF-8 file; fields may be quoted, and a blank may follow the delimiter.
        num_fields: Number of fields of every line.
        delimiter: Character between two fields.
        comment: Start of the lines to skip.

    Raises:
        UserError: The file is absent or malformed; the message names file and line.
    """
    for line, fields in _parse(path, delimiter):
        if comment and fields[0].startswith(comment):
            continue
        _check(path, line, fields, num_fields)
        yield line, fields


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the {column: value} of every line after the header.

    Args:
        path: As in `read_rows`, comma-separated.
        columns: Columns that the header must have, among others, in any order.

    Raises:
        UserError: The file is absent or malformed; the message names file and line.
    """
    lines = _parse(path, ",")
    _, header = next(lines, (1, []))
    if missing := [column for column in columns if column not in header]:
        raise UserError(f"{path}: line 1 has no column {missing[0]!r}; check that this is the right list")
    for line, fields in lines:
        _check(path, line, fields, len(header))
        yield line, dict(zip(header, fields, strict=True))


def read_checksums(path: Path, sha256: str | None = None) -> dict[str, str]:
    """Read {file: sha256} from a list in the format of sha256sum.

    Args:
        path: The list.
        sha256: Expected checksum of the list itself.

    Raises:
        UserError: The list is absent or has other bytes, or a line has another form.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such list of checksums; give the path of a list as sha256sum writes it")
    with path.open("rb") as file:
        if sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise UserError(f"{path}: was changed after the work was planned; run the same snakemake command again")
    entries = {}
    with path.open(encoding="utf-8-sig", newline="\n") as lines:  # names may hold other line ends
        for number, line in enumerate(lines, start=1):
            match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S.*?)\s*", line)
            if match is None and line.strip():
                raise UserError(f"{path}: line {number}: expected a sha256 and a path, as sha256sum writes them")
            if match is not None:
                entries[match[2]] = match[1]
    return entries


def write_rows(
    path: Path,
    rows: Iterable[Sequence[object]],
    delimiter: str = ",",
    end: str = "\n",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> None:
    """Write a list, header included; make its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding, errors=errors) as file:
        csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(rows)


def _parse(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    if not path.is_file():
        raise UserError(f"{path}: this list does not exist; put it there, or fetch the raw files again")
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        try:
            for fields in lines:
                if fields:
                    yield lines.line_num, fields
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: line {lines.line_num + 1} cannot be read ({error}); fetch it again") from error


def _check(path: Path, line: int, fields: list[str], num_fields: int) -> None:
    if len(fields) != num_fields:
        raise UserError(f"{path}: line {line} has {len(fields)} fields instead of {num_fields}; fetch it again")
