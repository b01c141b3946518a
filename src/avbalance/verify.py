"""Check the sha256 of every bundle, artifact, table, figure, audit and page, and compare tables with their runs.

A table made by older code is checked by sha256 alone, because today's code would write other files.

avbalance verify
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import track

from avbalance import bundles, cli, stamps, store
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.planning import artifacts, keys
from avbalance.planning.tables import code_of_table
from avbalance.results import tables


def problems(paths: Iterable[Path], read: Callable[[Path], Any]) -> list[str]:
    """One line for every artifact or stamp that cannot be read."""
    lines = []
    for path in paths:
        try:
            read(path)
        except UserError as error:
            lines.append(str(error))
    return lines


def check_artifact(folder: Path) -> None:
    """Read all files of an artifact again, of raw files also those that lie in archives.

    Raises:
        UserError: A file is missing or has other bytes.
    """
    listed = store.open_artifact(folder, read_again=True)["files"]
    raw = RawFiles(folder)
    for name in raw.checksums:
        if name not in listed:
            raw.check(name)


def check_table(stamp: Path) -> None:
    """Compare the files of a table with what its recipe makes of its runs.

    Raises:
        UserError: A file differs, or a run is damaged.
    """
    settings = stamps.read(stamp)["settings"]
    for suffix, content in tables.report(settings).items():
        file = stamp.with_name(f"{settings['table']}{suffix}")
        if file.read_bytes() != content.encode():
            raise UserError(f"{file} does not agree with its runs; remove {stamp} and run 'snakemake --cores all'")


def is_current(recipe: Mapping[str, Any]) -> bool:
    """True if today's code would make a table of this recipe."""
    try:
        spec = recipe["settings"]["spec"]
        return bool(recipe["code"] == keys.code_of(code_of_table(spec.get("compute"), spec.get("columns", []))))
    except UserError:  # the formula or a column no longer exists
        return False


def main() -> None:
    """Command line; ends with exit code 1 and one line for each error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the artifacts")
    results = parser.parse_args().results
    wrong = problems(sorted(results.glob("bundles/*.tar.xz")), bundles.read)
    if not wrong:
        bundles.unpack(results.parent)
    folders = [
        path
        for kind in artifacts.FOLDERS
        for path in sorted(results.glob(f"{kind}/[!.]*/"))
        if any(path.iterdir())  # Snakemake leaves an empty folder where a step failed
    ]
    stamp_files = sorted(stamp for kind in artifacts.STAMPED for stamp in results.glob(f"{kind}/**/*.key"))
    wrong += problems(track(folders, "verifying", transient=True), check_artifact) + problems(stamp_files, stamps.read)
    whole: list[Path] = []
    older = 0
    if not wrong:
        recipes = {stamp: stamps.read(stamp) for stamp in stamp_files if stamp.parts[len(results.parts)] == "tables"}
        whole = [
            stamp
            for stamp, recipe in recipes.items()
            if is_current(recipe) and all((Path(path) / store.MANIFEST).exists() for path in recipe["inputs"].values())
        ]
        older = sum(not is_current(recipe) for recipe in recipes.values())
        wrong = problems(whole, check_table)
    if wrong:
        raise UserError("\n".join(wrong))
    print(
        f"{len(folders)} artifacts and {len(stamp_files)} tables, figures, audits and pages verified; "
        f"{len(whole)} tables are what their runs say"
        + f", {older} of older code were not compared with them"
        * bool(older)
    )


if __name__ == "__main__":
    cli.run(main)
