"""Write what is generated: pages and tables of docs from the code and the results, and schemas in config/schemas."""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from avbalance import cli, registry, requirements
from avbalance.configuration import json_schemas, signature
from avbalance.configuration.schema import Task
from avbalance.results import catalogue, citations, findings
from avbalance.source import source_of, tree_of

KINDS = {name: kind for name, kind in registry.KINDS.items() if kind.heading}
BEGIN = """# Methods

Made by `avbalance docs` from the methods' docstrings and signatures: edit those. A row of a table names a
method, `fusion: film`, or a method with options, `head: {cosine: {scale: 15}}`; whether methods fit is checked before
anything runs. How to add one: [adding.md](adding.md). [paper_and_code.md](paper_and_code.md) lists the differences
between papers and released code, [which_method.md](which_method.md) the needs and costs of balancers.

Numbers of type `Count` are 1, 2, ...; `Whole` 0, 1, 2, ...; `Sixteens` 16, 32, ...; `Positive` above 0; `NotNegative` 0
or above; `Share` 0 to 1; `Rate` 0 to 1 without 1; `Cosine` -1 to 1; `Real` any; `Names` are texts, each once.
"""
PAGES_WITH_TABLES = ("docs/paper_and_code.md", "docs/which_method.md")
"""Pages with tables between `<!-- avbalance docs: <table> -->` and `<!-- end -->`."""
ORIGINS = ("Paper", "Code", "Here")
"""Labels of lines in a docstring: what the paper says, what the released code does, and what this code does."""
NEEDS = {
    "modalities": {"two_modalities": "two", "several_modalities": "two or more"},
    "fusion": {
        "requires_fusion": "{}",
        "keeps_apart": "keeps modalities apart",
        "keeps_encoders_apart": "behind the encoders",
    },
    "loss": {"requires_loss": "{}"},
    "head": {"requires_head": "{}"},
    "optimiser": {"scales_gradients": "`sgd`"},
    "data": {"tasks": "{}"},
}
"""{column: {attribute of a class that declares a need: text}}; all other needs stand in the last column."""


def page() -> str:
    """The whole catalogue."""
    names = {kind: list(registry.registered(kind)) for kind in KINDS}
    toc = " · ".join(f"[{each.heading}](#{_anchor(each.heading)})" for each in KINDS.values())
    parts = [BEGIN, f"{toc} · [References](#references)\n"]
    stands_at: dict[str, str] = {}
    for kind, described in KINDS.items():
        parts += [f"## {described.heading}\n", f"{described.sentence}\n", "| name | what |\n|---|---|"]
        parts += [f"| [`{name}`](#{kind}-{name}) | {_cell(_title(kind, name))} |" for name in names[kind]]
        parts += ["", *(part for name in names[kind] for part in _section(kind, name, stands_at))]
    parts += ["## References\n", "As BibTeX: [references.bib](../src/avbalance/results/references.bib).\n"]
    cited = citations.of((kind, name) for kind in names for name in names[kind])
    parts += [f'- <a id="{entry.key}"></a>`{entry.key}` {entry.short}: {entry.title}' for entry in cited]
    return "\n".join(parts) + "\n"


def _section(kind: str, name: str, stands_at: dict[str, str]) -> Iterator[str]:
    """One method: what it is, its options, what it needs and gives, and where it comes from."""
    module, class_name = registry.locate(kind, name)
    line = [ast.get_docstring(node) or "" for node in signature.lineage(module, class_name)]
    yield f"### `{kind}: {name}`\n"
    description = _explained(kind, name, line, stands_at)
    description = re.sub(rf"^({'|'.join(ORIGINS)}):", r"- **\1:**", description, flags=re.MULTILINE)
    yield f"{_escaped(description)}\n"
    if options := signature.describe(kind, name).options:
        explained: dict[str, str] = {}
        for docstring in reversed(line):  # the nearest class has the last word
            explained |= _split(docstring)[1]
        yield "| option | type | default | what |\n|---|---|---|---|"
        for option, (annotation, default) in options.items():
            value = "required" if default is ... else f"`{default}`"
            yield f"| `{option}` | `{_type(annotation)}` | {value} | {_cell(explained.get(option, ''))} |"
        yield ""
    for verb, what in (("Needs", _needs(kind, name)), ("Gives", _gives(kind, name))):
        if listed := "; ".join(what):
            yield f"{verb}: {listed}.\n"
    file = source_of(module).relative_to(Path(__file__).parent)
    works = ["; ".join(f"[{entry.short}](#{entry.key})" for entry in citations.of([(kind, name)]))]
    yield ". ".join([*filter(None, works), f"Code: [{file}](../src/avbalance/{file})"]) + ".\n"


def _explained(kind: str, name: str, line: list[str], stands_at: dict[str, str]) -> str:
    """The module's title and the class's description; one of a single sentence is followed by a base's that says more.

    The description of a base stands once: `stands_at` is {description: method under which it stands}.
    """
    title, (own, *bases) = _title(kind, name), [_split(docstring)[0] for docstring in line]
    text = own if own.startswith(title) else f"**{title}** {own}"
    more = "" if "\n\n" in own else next((base for base in bases[:-1] if "\n\n" in base), "")
    if more:
        before = stands_at.setdefault(more, name)
        text += f"\n\n{more}" if before == name else f"\n\nOtherwise as [`{before}`](#{kind}-{before})."
    return text


def origins(kind: str, name: str) -> dict[str, str]:
    """Lines of a method's docstring on paper, released code, and this code, {label: text}; empty if it has none."""
    docstring = ast.get_docstring(signature.lineage(*registry.locate(kind, name))[0]) or ""
    lines = re.findall(rf"^({'|'.join(ORIGINS)}): (.*?)(?=\n\n|\n\w+: |\Z)", docstring, re.MULTILINE | re.DOTALL)
    return {label: " ".join(text.split()) for label, text in lines}


def _table_of_origins() -> Iterator[str]:
    """Lines of a table of paper and code, with every method whose docstring tells them apart."""
    yield "| method | paper | released code | here |\n|---|---|---|---|"
    for kind in KINDS:
        for name in registry.registered(kind):
            if texts := origins(kind, name):
                yield f"| {_link(kind, name)} | {' | '.join(_cell(texts.get(label, '–')) for label in ORIGINS)} |"


def _table_of_needs() -> Iterator[str]:
    """Lines of a table of what each balancer needs of its row."""
    yield f"| balancer | {' | '.join(NEEDS)} | also |\n|{'---|' * (len(NEEDS) + 2)}"
    attributes_of_columns = {attribute for texts in NEEDS.values() for attribute in texts}
    for name in registry.registered("balancer"):
        needs = {requirement.attribute: text for requirement, text in _requirements("balancer", name)}
        declared = signature.describe("balancer", name).attributes
        cells = []
        for texts in NEEDS.values():
            attribute = next((each for each in texts if each in needs), None)
            cells.append(texts[attribute].format(requirements.names(declared[attribute])) if attribute else "")
        others = [text for attribute, text in needs.items() if attribute not in attributes_of_columns]
        yield f"| {_link('balancer', name)} | {' | '.join(cells)} | {'; '.join(others)} |"


def _link(kind: str, name: str) -> str:
    return f"[`{name}`](methods.md#{kind}-{name})"


def _with_tables(page: Path) -> str:
    """The page, with its tables made anew."""
    tables = {"origins": _table_of_origins, "needs": _table_of_needs}
    return re.sub(
        r"(?<=<!-- avbalance docs: )(\w+) -->\n.*?(?=\n<!-- end -->)",
        lambda match: f"{match[1]} -->\n\n" + "\n".join(tables[match[1]]()) + "\n",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


def _requirements(kind: str, name: str) -> Iterator[tuple[requirements.Requirement, str]]:
    """Requirements of a method, without that of a task if it takes all, each with its text."""
    declared = signature.describe(kind, name).attributes
    is_for_any_data = len(declared.get("tasks", ())) == len(get_args(Task))
    for requirement, text in requirements.declared_by(declared):
        if not (requirement.attribute == "tasks" and is_for_any_data):
            yield requirement, text


def _needs(kind: str, name: str) -> Iterator[str]:
    """Needs of a method on data and on other methods, by what its class declares."""
    yield from (text for _, text in _requirements(kind, name))
    declared = signature.describe(kind, name).attributes
    if kind == "figure":
        yield "several rows" if declared["several_rows"] else "one row"
    if kind == "view":
        bases = {node.name for node in signature.lineage(*registry.locate(kind, name))}
        yield "pictures" if "VisualView" in bases else "sound"
    if model := declared.get("model"):
        yield f"the weights of [config/models/{model}.yaml](../config/models/{model}.yaml)"


def _gives(kind: str, name: str) -> Iterator[str]:
    """Properties of a method that other methods build on."""
    description = signature.describe(kind, name)
    if kind == "encoder" and (length := signature.feature_dim(name)):
        yield f"features of length {length} by default"
    if description.attributes.get("has_maps"):
        names = (_names("fusion", attribute, True) for attribute in ("joins_stages", "reads_maps"))
        yield f"feature maps, for {', '.join(names)}"
    if description.attributes.get("mixes") is False:
        yield "one stream a modality, so that heads which split their logits tell what each says"
    if kind == "head" and description.methods["split"] != "Head":
        yield "logits that are a sum over streams"


def _names(kind: str, attribute: str, value: bool) -> str:
    names = registry.registered(kind)
    return ", ".join(f"`{name}`" for name in names if signature.describe(kind, name).attributes.get(attribute) is value)


def _title(kind: str, name: str) -> str:
    """The first line of a method's module; of its class, where the module has several methods."""
    module, class_name = registry.locate(kind, name)
    places = registry.registered(kind).values()
    is_alone = sum(place.split(":")[0] == module.rpartition(".")[2] for place in places) == 1
    docstring = ast.get_docstring(tree_of(module) if is_alone else signature.lineage(module, class_name)[0])
    return (docstring or "").partition("\n")[0]


def _split(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring's description, and what its `Args` say of each name."""
    description, *sections = re.split(r"^(Args|Attributes|Returns|Raises):\n", docstring, flags=re.MULTILINE)
    explained: dict[str, str] = {}
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        if name == "Args":
            for item in re.split(r"^    (?=\S)", body, flags=re.MULTILINE)[1:]:
                names, _, text = item.partition(": ")
                if not text.startswith(("As of ", "See `")):  # a base tells
                    explained |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return description.strip(), explained


def _type(annotation: str) -> str:
    """An annotation as a table's cell."""
    literal = re.sub(r"Literal\[(.*)\]", lambda match: match[1].replace(", ", " or "), annotation)
    return literal.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Without HTML: `<` counts as it stands in indented lines and between backticks only."""
    return "\n".join(line if line.startswith("    ") else _outside_code(line) for line in text.splitlines())


def _outside_code(line: str) -> str:
    parts = line.split("`")
    return "`".join(part if index % 2 else part.replace("<", "\\<") for index, part in enumerate(parts))


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return heading.lower().replace(" ", "-")


def files() -> dict[Path, str]:
    """{path below the checkout: text} of every generated file; findings only where their tables are."""
    schemas = {Path("config/schemas", f"{name}.json"): text for name, text in json_schemas.texts().items()}
    with_tables = {Path(each): _with_tables(Path(each)) for each in PAGES_WITH_TABLES}
    return {
        Path("docs/methods.md"): page(),
        Path("docs/columns.md"): catalogue.page(),
        **_findings(),
        **with_tables,
        **schemas,
    }


def _findings() -> dict[Path, str]:
    template = Path("config/findings/laptop.md").read_text(encoding="utf-8")
    try:
        return {Path("docs/findings.md"): findings.render(template, findings.Facts("laptop"))}
    except findings.AbsentError as error:
        print(f"docs/findings.md stays as it is: {error}", file=sys.stderr)
        return {}


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
