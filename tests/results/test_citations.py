import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from avbalance import registry
from avbalance.results import citations, page

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "avbalance"
KINDS = ["encoder", "fusion", "head", "loss", "balancer", "view", "detector", "formula"]
FOLKLORE = {
    ("balancer", "joint"),
    ("balancer", "masked_losses"),
    ("encoder", "identity"),
    ("encoder", "mlp"),
    ("view", "frames"),
    ("view", "waveform"),
    ("detector", "given"),
}
NAMES = r"(?:[A-Z][\w'-]+(?: [A-Z][\w-]+)*)"
# Written anew, of the form alone: names that end in "et al." or have an "and" before the last, up to the year.
CITATION = re.compile(rf"{NAMES}(?: et al\.|(?:, {NAMES})* (?:and|&) {NAMES})[,:][^();]{{1,120}}?\b(?:19|20)\d\d\b")


def docstrings() -> Iterator[tuple[str, str]]:
    """(where, text) of every docstring in the package."""
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield f"{file.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", text


def configured() -> Iterator[tuple[str, str]]:
    """(where, text) of every paper and citation in the configuration."""
    for file in sorted((ROOT / "config").glob("*/*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key in ("paper", "citation"):
            if key in content:
                yield f"{file.relative_to(ROOT)}: {key}", content[key]


def keys(text: str) -> list[str]:
    return [entry.key for entry in citations.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OGM (Peng et al., CVPR 2022, eqs. 5-9)", ["peng2022balanced"]),
        ("slowed down [peng2022balanced], eq. 5", ["peng2022balanced"]),
        ("Owens and Efros,\n    ECCV 2018; Wang et al., CVPR\n2020, fig. 1", ["owens2018audio", "wang2020makes"]),
        ("the non-local block (Wang et al., CVPR 2018, embedded Gaussian)", ["wang2018nonlocal"]),
        ("as it follows from CosFace (Wang et al., CVPR 2018)", ["wang2018cosface"]),
        ("Wang et al., CVPR 2018", []),  # two works have this short form
        ("Chen and others: VGGSound: A Large-scale Audio-visual Dataset, ICASSP", ["chen2020vggsound"]),  # the title
        ("Chen et al., ICML 2020, table 2", ["chen2020simclr"]),
        ("Chen et al., 2020", []),
        ("Arandjelovic & Zisserman, ICCV 2017", ["arandjelovic2017look"]),
        ("Farnebäck, SCIA 2003", ["farneback2003two"]),
        ("NORA.ai summer school exam, candidate 8: Table 1", ["candidate8"]),  # a name in the field `named`
        ("He et al., CVPR 2015", []),  # another year
        ("Zhe et al., CVPR 2016", []),  # another name that ends alike
    ],
)
def test_a_work_is_named_by_key_short_form_title_or_another_known_name(text: str, expected: list[str]) -> None:
    assert keys(text) == expected


def test_every_citation_leads_to_one_entry() -> None:
    said = []
    for where, text in [*docstrings(), *configured()]:
        line = " ".join(text.split())
        for match in CITATION.finditer(line):
            # What stands right before, such as "the non-local block (", tells two works of one author and year apart.
            before = line[max(0, match.start() - 30) : match.start()]
            said.append((where, match[0], set(keys(before + match[0])) - set(keys(before))))
    assert len(said) > 100
    assert [(where, citation) for where, citation, found in said if len(found) != 1] == []


def test_every_entry_is_named_somewhere() -> None:
    named = {key for _, text in [*docstrings(), *configured()] for key in keys(text)}
    assert named == {entry.key for entry in citations.entries()}


def test_every_data_set_model_and_table_names_its_source() -> None:
    assert [where for where, text in configured() if not keys(text)] == []


def test_every_method_but_the_fields_folklore_names_its_source() -> None:
    methods = [(kind, name) for kind in KINDS for name in registry.registered(kind)]
    assert {method for method in methods if not citations.of([method])} == FOLKLORE


def test_works_of_methods_and_texts_come_once_and_by_key() -> None:
    found = citations.of(
        [("balancer", "ogm_ge"), ("head", "cosine"), ("balancer", "ogm")], ["[cao2014cremad]", "Xu et al., ICASSP 2023"]
    )
    assert [entry.key for entry in found] == ["cao2014cremad", "peng2022balanced", "xu2023mmcosine"]


OUTSIDE = """
from avbalance.balancers.base import Balancer


class Mine(Balancer):
    \"\"\"A balancer that builds on Peng et al., CVPR 2022.\"\"\"

    bibtex = \"\"\"
@inproceedings{doe2026mine,
  author = {Doe, Jane and Roe, Richard},
  title = {Mine: A Balancer From Outside},
  booktitle = {Conference on Examples (CE)},
  year = {2026}
}
\"\"\"
"""


def test_a_class_from_outside_brings_its_own_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_balancer.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    works = page.cite([{"methods": {("balancer", "outside_balancer:Mine")}, "paper": "Mine: Table 1"}], [])
    assert [work.key for work in works] == ["doe2026mine", "peng2022balanced"]
    assert (works[0].short, works[0].title) == ("Doe and Roe, CE 2026", "Mine: A Balancer From Outside")
    assert works[0].bibtex.startswith("@inproceedings{doe2026mine,")


@pytest.mark.parametrize(
    ("key", "short"),
    [
        ("peng2022balanced", "Peng et al., CVPR 2022"),
        ("owens2018audio", "Owens and Efros, ECCV 2018"),
        ("farneback2003two", "Farnebäck, SCIA 2003"),
        ("soomro2012ucf101", "Soomro et al., arXiv 2012"),
        ("candidate8", "Candidate 8, NORA.ai Summer Research School"),
    ],
)
def test_the_short_form_is_what_texts_write(key: str, short: str) -> None:
    (entry,) = (entry for entry in citations.entries() if entry.key == key)
    assert entry.short == short
    assert keys(short) == [key]
    assert "named" not in entry.bibtex


def test_the_bibliography_is_whole() -> None:
    text = citations.BIBLIOGRAPHY.read_text(encoding="utf-8")
    entries = citations.entries()
    assert len(entries) == len({entry.key for entry in entries}) == text.count("\n@")
    for entry in entries:
        assert entry.bibtex.count("{") == entry.bibtex.count("}"), entry.key
        fields = re.findall(r"^  (\w+) = \{.+\},$", entry.bibtex, re.MULTILINE)
        assert len(fields) == entry.bibtex.count("\n") - 1, entry.key  # the parser skips nothing
        assert set(fields) >= {"author", "title"}, entry.key
        assert set(fields) & {"booktitle", "journal", "howpublished"}, entry.key
