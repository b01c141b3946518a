"""A table and its claims as LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from avbalance.results import formats
from avbalance.results.columns.base import Header
from avbalance.results.escape import DEFINITION
from avbalance.results.escape import latex as escape

END = (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def to_latex(table: Mapping[str, Any], frame: pd.DataFrame, columns: Sequence[Header]) -> str:
    """A table environment, and one of the claims; the document needs \\usepackage{booktabs}."""
    paper = formats.has_paper(frame, columns)
    wrap = {"best": r"\textbf{{{}}}", "tied": r"\underline{{{}}}", "": "{}"}
    body = [
        [escape(line.label)]
        + [
            text
            for cell, has in zip(line.cells, paper, strict=True)
            for text in [wrap[cell.mark].format(escape(cell.text).replace(r" $\pm$ ", r"$\pm$"))]
            + [escape(cell.paper), escape(cell.difference)] * has
        ]
        for line in formats.lines(frame, columns)
    ]
    num_columns = sum(3 if has else 1 for has in paper)
    wide = num_columns > 6
    size = r"\footnotesize" if not wide else r"\scriptsize" if num_columns == 7 else r"\tiny"
    tex = "\n".join(
        [
            r"\begin{table}",
            rf"\centering{size}" + r"\setlength{\tabcolsep}{2pt}" * wide,
            rf"\caption{{{escape(table['title'])}. {escape(table['caption'])}}}",
            rf"\label{{tab:{table['table'].replace('_', '-')}}}",
            rf"\begin{{tabular}}{{{'p{6.5em}' if wide else 'l'}{'r' * num_columns}}}",
            r"\toprule",
            *_latex_head(columns, paper),
            r"\midrule",
            *(" & ".join(cells) + r" \\" for cells in body),
            *END,
            *(_tuning(table) if table["tuning"] else ()),
            *(_claims(table, frame, columns) if table["claims"] else ()),
            "",
        ]
    )
    definition = f"{DEFINITION}\n" if r"\unicodechar" in tex else ""
    return f"% {table['command']}\n{definition}{tex}"


def _tuning(table: Mapping[str, Any]) -> list[str]:
    """The lines of the table of trials."""
    body = []
    for row in table["tuning"]:
        trials = [escape(formats.trial(each)) for each in row["trials"]]
        trials[row["chosen"]] = rf"\textbf{{{trials[row['chosen']]}}}"
        body.append(f"{escape(row['label'])} & {'; '.join(trials)} \\\\")
    return [
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\caption{{{escape(table['title'])}: trials. {escape(table['tuning_caption'])}}}",
        rf"\label{{tab:{table['table'].replace('_', '-')}-trials}}",
        r"\begin{tabular}{p{10em}p{30em}}",
        r"\toprule",
        r"row & trials and their validation accuracy in \%; bold: chosen \\",
        r"\midrule",
        *body,
        *END,
    ]


def _claims(table: Mapping[str, Any], frame: pd.DataFrame, columns: Sequence[Header]) -> list[str]:
    """The lines of the claims' table."""
    labels = formats.labels_of(frame)
    body = [
        [
            f"{claim['text']} {formats.comparison(claim, labels, columns)}",
            formats.verdict(claim),
            *formats.interval(claim),
            formats.p_value(claim),
        ]
        for claim in table["claims"]
    ]
    return [
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\caption{{{escape(table['title'])}: claims of the paper. "
        rf"{escape(formats.tally(table['claims']))} {escape(table['claims_caption'])}}}",
        rf"\label{{tab:{table['table'].replace('_', '-')}-claims}}",
        r"\begin{tabular}{p{18em}lrrr}",
        r"\toprule",
        r"claim & verdict & difference & 95\,\% interval & adjusted $p$ \\",
        r"\midrule",
        *(" & ".join(map(escape, cells)) + r" \\" for cells in body),
        *END,
    ]


def _latex_head(columns: Sequence[Header], paper: Sequence[bool]) -> list[str]:
    """One line of headings, or two where a column has the paper's numbers beside it."""
    if not any(paper):
        stacked = (escape(formats.heading(column)).replace(" ", r"\\") for column in columns)
        return [" & ".join(["", *(rf"\shortstack[r]{{{text}}}" for text in stacked)]) + r" \\"]
    above, below, rules, place = [""], [""], "", 2
    for column, has in zip(columns, paper, strict=True):
        width = 3 if has else 1
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(formats.heading(column))}}}")
        below += ["obtained", "paper", r"$\Delta$"] if has else [""]
        rules += rf"\cmidrule(lr){{{place}-{place + width - 1}}}"
        place += width
    return [" & ".join(above) + r" \\", rules, " & ".join(below) + r" \\"]
