"""Works that methods, tables and datasets come from, as BibTeX.

A text names a work of `references.bib` by its key in brackets, `[peng2022balanced]`, by its short form, such as "Peng
et al., CVPR 2022", by its title, or by a name in the entry's field `named`. A class from outside brings its own works
in a class attribute `bibtex`.
"""

import ast
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avbalance.registry import locate
from avbalance.source import tree_of

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ENTRY = re.compile(r"^@\w+\{([\w:-]+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^ *(\w+) *= *\{(.*)\},?$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One work.

    Attributes:
        key: Key of the BibTeX entry, such as `peng2022balanced`.
        short: Authors, venue and year, such as "Peng et al., CVPR 2022".
        title: Title without BibTeX's braces.
        bibtex: The entry as it stands in the file, without the field `named`.
        named: Other names that texts use.
    """

    key: str
    short: str
    title: str
    bibtex: str
    named: tuple[str, ...]


@cache
def entries() -> tuple[Entry, ...]:
    """Every work in the bibliography, by key."""
    return tuple(sorted(parse(BIBLIOGRAPHY.read_text(encoding="utf-8")), key=lambda entry: entry.key))


def parse(bibtex: str) -> list[Entry]:
    """Entries of a text, with one field a line; a venue's short form stands in parentheses at its end."""
    found = []
    for match in ENTRY.finditer(bibtex):
        fields = {name.lower(): value for name, value in FIELD.findall(match[2])}
        last_names = [name.partition(", ")[0].strip("{}") for name in fields["author"].split(" and ")]
        venue = fields.get("booktitle") or fields.get("journal") or fields.get("howpublished", "")
        short_venue = short[1] if (short := re.search(r"\((.+)\)$", venue)) else venue.partition(":")[0]
        others = {1: "", 2: f" and {last_names[-1]}"}.get(len(last_names), " et al.")
        found.append(
            Entry(
                key=match[1],
                short=f"{last_names[0]}{others}, {short_venue} {fields.get('year', '')}".strip(),
                title=fields["title"].replace("{", "").replace("}", ""),
                bibtex=re.sub(r"^ *named = .*\n", "", match[0], flags=re.MULTILINE),
                named=tuple(filter(None, fields.get("named", "").split("; "))),
            )
        )
    return found


def of(methods: Iterable[tuple[str, str]], texts: Iterable[str] = ()) -> list[Entry]:
    """Works that registered or outside methods and some texts name, each once, by key.

    Args:
        methods: (kind, name), such as ("balancer", "ogm_ge").
        texts: Such as a table's `paper` or a dataset's `citation`.
    """
    works = {entry for text in texts for entry in find(text)}
    for kind, name in methods:
        docstrings, own = _source(kind, name)
        works |= {*find(docstrings), *parse(own)}
    return sorted(works, key=lambda entry: entry.key)


def find(text: str) -> list[Entry]:
    """Works that a text names, in its order."""
    names = _names()
    return list(dict.fromkeys(names[match[0]] for match in _pattern().finditer(_plain(text))))


@cache
def _names() -> dict[str, Entry]:
    """{plain name: work}; a short form that two works share names neither."""
    shorts = Counter(entry.short for entry in entries())
    return {
        _plain(name): entry
        for entry in entries()
        for name in (f"[{entry.key}]", entry.title, *entry.named, *([entry.short] if shorts[entry.short] == 1 else []))
    }


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_names(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")


def _plain(text: str) -> str:
    """The text in one line of small letters, without accents and with `and` for `&`."""
    decomposed = unicodedata.normalize("NFKD", " ".join(text.split()).replace("&", "and"))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def _source(kind: str, name: str) -> tuple[str, str]:
    """Docstrings of a method's module and of its class or function, and the class attribute `bibtex`."""
    module, defined = locate(kind, name)
    tree = tree_of(module)
    nodes = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == defined]
    own = [
        str(ast.literal_eval(statement.value))
        for node in nodes
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "bibtex"
    ]
    docstrings = [text for node in [tree, *nodes] if (text := ast.get_docstring(node))]
    return "\n\n".join(docstrings), "\n".join(own)
