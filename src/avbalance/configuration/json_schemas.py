"""JSON schemas of the YAML files under `config/`, by which editors complete and check them."""

import json
import re
from typing import Any

from avbalance.configuration.schema import Dataset, Scale, Settings, Strict, Weights
from avbalance.configuration.table_schema import Table

MODELS: dict[str, type[Strict]] = {
    "config": Settings,
    "dataset": Dataset,
    "model": Weights,
    "scale": Scale,
    "table": Table,
}
"""{name of the schema: model of the file}."""


def texts() -> dict[str, str]:
    """{name: JSON text} of all schemas."""
    options: dict[str, Any] = {"indent": 1, "ensure_ascii": False}
    return {name: json.dumps(_schema(model), allow_nan=False, **options) + "\n" for name, model in MODELS.items()}


def _schema(model: type[Strict]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        description, *sections = part.get("description", "").split("\n\nAttributes:\n")
        part["description"] = " ".join(description.split())
        for item in re.split(r"^    (?=\S)", sections[0].split("\n\n")[0], flags=re.MULTILINE) if sections else ():
            names, _, text = item.partition(": ")
            for name in names.split(", ") if text else ():
                part["properties"][name]["description"] = " ".join(text.split())
    return schema
