"""Every YAML file under config/ passes the schema that its first line names, as an editor sees it."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from avbalance.configuration.checks import read_yaml
from avbalance.configuration.json_schemas import MODELS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config").rglob("*.yaml"))
KINDS = {folder: folder.removesuffix("s") for folder in ("config", "datasets", "models", "scales", "tables")}


def validator(file: Path) -> Draft202012Validator:
    """Of the schema that a file's first line names."""
    line = file.read_text(encoding="utf-8").partition("\n")[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", line)
    assert match, f"{file}: begins with {line!r}"
    schema = (file.parent / match[1]).resolve()
    assert schema == ROOT / "config" / "schemas" / f"{KINDS[file.parent.name]}.json"
    return Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_file_passes_its_schema(file: Path) -> None:
    validator(file).validate(json.loads(json.dumps(read_yaml(file))))


@pytest.mark.parametrize("name", MODELS)
def test_a_schema_is_valid_and_refuses_an_unknown_key(name: str) -> None:
    schema = json.loads((ROOT / f"config/schemas/{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    with pytest.raises(ValidationError, match="'titel' was unexpected"):
        Draft202012Validator({**schema, "required": []}).validate({"titel": "A table"})


def test_keys_are_explained_by_the_docstrings() -> None:
    schema = json.loads((ROOT / "config/schemas/dataset.json").read_text(encoding="utf-8"))
    described = schema["$defs"]["SourceFile"]["properties"]["list"]["description"]
    assert "sha256sum" in described
