"""Check every artifact that is here by sha256, and that the tables say what the runs say.

python -m avbalance.verify
"""

import argparse
from pathlib import Path

from rich.progress import track

from avbalance import cli, store


def main() -> None:
    """Command line of the check; ends with exit code 1 and one line a damaged file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the artifacts")
    arguments = parser.parse_args()
    manifests = sorted(arguments.results.glob(f"*/*/{store.MANIFEST}"))
    damaged = []
    for manifest in track(manifests, "verifying", transient=True):
        try:
            store.open_artifact(manifest.parent)
        except cli.UserError as error:
            damaged.append(str(error))
    if damaged:
        raise cli.UserError("\n".join(damaged))
    print(f"{len(manifests)} artifacts verified")


if __name__ == "__main__":
    cli.run(main)
