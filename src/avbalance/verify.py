"""Check every artifact that is here by sha256, and that the tables say what their runs say.

python -m avbalance.verify
"""

import argparse
import json
from pathlib import Path

from rich.progress import track

from avbalance import cli, store
from avbalance.results import tables


def damaged_artifacts(manifests: list[Path]) -> list[str]:
    """One line for every artifact with a damaged file."""
    found = []
    for manifest in track(manifests, "verifying", transient=True):
        try:
            store.open_artifact(manifest.parent)
        except cli.UserError as error:
            found.append(str(error))
    return found


def differing_tables(stamps: list[Path]) -> list[str]:
    """One line for every file of a table that is not what its recipe makes of its runs."""
    found = []
    for stamp in stamps:
        recipe = json.loads(stamp.read_text(encoding="utf-8"))
        for suffix, content in tables.report(recipe["settings"]).items():
            file = stamp.with_name(f"{recipe['settings']['table']}{suffix}")
            if not file.exists() or file.read_text(encoding="utf-8") != content:
                found.append(f"{file} is not what its runs say; remove {stamp} and run 'snakemake --cores'")
    return found


def main() -> None:
    """Command line of the check; ends with exit code 1 and one line for each thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the artifacts")
    results = parser.parse_args().results
    manifests = sorted(results.glob(f"*/*/{store.MANIFEST}"))
    stamps = [
        stamp
        for stamp in sorted(results.glob("tables/*/*.key"))
        if all(
            (Path(path) / store.MANIFEST).exists()
            for path in json.loads(stamp.read_text(encoding="utf-8"))["inputs"].values()
        )
    ]
    wrong = damaged_artifacts(manifests) or differing_tables(stamps)
    if wrong:
        raise cli.UserError("\n".join(wrong))
    print(f"{len(manifests)} artifacts verified, {len(stamps)} tables are what their runs say")


if __name__ == "__main__":
    cli.run(main)
