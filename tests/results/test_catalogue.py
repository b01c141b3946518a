from pathlib import Path

from avbalance.results import catalogue
from avbalance.results.columns import REGISTRY

PAGE = Path(__file__).parents[2] / "docs" / "columns.md"


def test_the_page_of_columns_is_what_their_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue.page(), "make it anew: python -m avbalance.docs"


def test_every_column_has_a_line_with_heading_unit_and_meaning() -> None:
    lines = catalogue.page().splitlines()
    assert sum(line.startswith("| `") for line in lines) == len(REGISTRY)
    masked = next(line for line in lines if line.startswith("| `acc_<modality>_masked` |"))
    assert [cell.strip() for cell in masked.split("|")][2:6] == ["\\<modality> masked", "%", "higher", "single label"]
    assert "Masked: the joint model's share of the logits that is this modality's." in catalogue.page()
