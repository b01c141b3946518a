"""The works that methods and data come from: found in what docstrings and YAML files say, given as BibTeX.

A text says "Peng et al., CVPR 2022"; the entry of `references.bib` with first author Peng and the year 2022 is meant.
"""

import ast
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avbalance.registry import locate
from avbalance.source import tree_of

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ENTRY = re.compile(r"^@(\w+)\{(\w+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^ *(\w+) = \{(.*)\},$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One work.

    Attributes:
        key: Under which BibTeX knows it, such as `peng2022balanced`.
        short: As texts name it, such as "Peng et al., CVPR 2022".
        title: Without BibTeX's braces.
        bibtex: The entry as it stands in the file.
        author: Last name of the first author.
        year: Four digits, or nothing.
        words: Of title and venue, by which two works of one author and year are told apart.
    """

    key: str
    short: str
    title: str
    bibtex: str
    author: str
    year: str
    words: frozenset[str]


@cache
def entries() -> tuple[Entry, ...]:
    """Every work in the bibliography, by key."""
    found = map(_entry, ENTRY.finditer(BIBLIOGRAPHY.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda entry: entry.key))


def of(methods: Iterable[tuple[str, str]], texts: Iterable[str] = ()) -> list[Entry]:
    """The works that registered or outside methods and some texts name, each once, by key.

    Args:
        methods: (kind, name), such as ("balancer", "ogm_ge").
        texts: Such as a table's `paper` or a data set's `citation`.
    """
    named = {entry for text in [*(docstrings(*method) for method in methods), *texts] for entry in find(text)}
    return sorted(named, key=lambda entry: entry.key)


def docstrings(kind: str, name: str) -> str:
    """What a method's module and its class or function say."""
    module, defined = locate(kind, name)
    tree = tree_of(module)
    nodes = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == defined]
    return "\n\n".join(text for node in [tree, *nodes] if (text := ast.get_docstring(node)))


def find(text: str) -> list[Entry]:
    """The works that a text names, in its order: first author, then year, with no bracket or semicolon between."""
    text = " ".join(text.split())
    found = []
    for match in _pattern().finditer(_plain(text)):
        author, year = (match["author"] or match["undated"]).casefold(), match["year"] or ""
        meant = [entry for entry in entries() if (_plain(entry.author).casefold(), entry.year) == (author, year)]
        if len(meant) > 1:
            said = _words(_plain(text)[max(0, match.start() - 40) : match.end()])
            meant = sorted(meant, key=lambda entry: len(entry.words & said))[-1:]
        found += [entry for entry in meant if entry not in found]
    return found


@cache
def _pattern() -> re.Pattern[str]:
    """A known first author and the year that follows; one whose work has no year stands alone, in any case."""
    dated = "|".join(sorted({re.escape(_plain(entry.author)) for entry in entries() if entry.year}))
    undated = "|".join(re.escape(entry.author) for entry in entries() if not entry.year)
    with_year = rf"(?P<author>{dated})\b[^();]{{1,160}}?\b(?P<year>(?:19|20)\d\d)"
    return re.compile(rf"\b(?:{with_year}|(?P<undated>(?i:{undated})))\b")


def _entry(match: re.Match[str]) -> Entry:
    fields = dict(FIELD.findall(match[3]))
    last_names = [name.partition(", ")[0].strip("{}") for name in fields["author"].split(" and ")]
    venue = fields.get("booktitle") or fields.get("journal") or fields["howpublished"]
    short_venue = short[1] if (short := re.search(r"\((.+)\)$", venue)) else venue.partition(":")[0]
    others = {1: "", 2: f" and {last_names[-1]}"}.get(len(last_names), " et al.")
    return Entry(
        key=match[2],
        short=f"{last_names[0]}{others}, {short_venue} {fields.get('year', '')}".strip(),
        title=fields["title"].replace("{", "").replace("}", ""),
        bibtex=match[0],
        author=last_names[0],
        year=fields.get("year", ""),
        words=_words(f"{fields['title']} {venue}"),
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _plain(text: str) -> str:
    """Without accents: texts write Arandjelovic."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
