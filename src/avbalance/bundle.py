"""Bundle the runs, ensembles, choices and probes that tables, figures and pages read, for `dvc push`.

avbalance bundle scale=laptop
"""

import argparse
import subprocess
import sys
from pathlib import Path

from avbalance import bundles, cli
from avbalance.errors import UserError
from avbalance.plan import make, parse_overrides
from avbalance.planning.artifacts import BUNDLED, Plan


def read_by_tables(plan: Plan) -> list[str]:
    """Folders of the artifacts that tables, figures and pages read; trials and members are not among them."""
    stamped = (artifact for artifact in plan.artifacts.values() if artifact.is_stamped)
    read = {source for artifact in stamped for source in plan.inputs_of(artifact) if source.kind in BUNDLED}
    return sorted(artifact.path for artifact in read)


def main() -> None:
    """Write the bundles and DVC's record of them.

    Raises:
        UserError: Some of the artifacts are in bundles that have not been pulled, or an artifact is damaged.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=laptop tables=[...]")
    root = Path()
    plan = make(root, parse_overrides(parser.parse_args().config))
    read = read_by_tables(plan)
    made = [folder for folder in read if plan.exists(plan.artifacts[folder].product)]
    if elsewhere := set(plan.bundled).intersection(read).difference(made):
        raise UserError(f"{len(elsewhere)} artifacts are in bundles that are not pulled; run 'dvc pull' first")
    written = bundles.write(root, made)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet", str(bundles.RECORD)], check=True)
    size = sum(file.stat().st_size for file in written)
    print(f"{len(made)} of {len(read)} artifacts that tables read are in {len(written)} bundles, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    cli.run(main)
