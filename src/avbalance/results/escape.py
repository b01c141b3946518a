"""Text escaped for Markdown and LaTeX, anywhere: in a cell, a heading, a caption."""

import re
import unicodedata

MARKDOWN = re.compile(r"[\\`*_\[\]<>#|~&$]")
BLOCKS = re.compile(r"^(\d*)([-+=.)])(?=[-=\s]|$)")
"""Characters that begin a list or underline a heading."""

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    '"': r"\texttt{\char34}",
    "|": r"\textbar{}",
    "<": r"$<$",
    ">": r"$>$",
    "[": "{[}",  # behind \\ and \midrule it would begin an option
    "*": "{*}",  # behind \\ it would belong to the command
    "–": "--",
    "—": "---",
    "\N{NO-BREAK SPACE}": "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
    "\N{THIN SPACE}": r"\,",
}
GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon "
    "varphi chi psi omega"
)
MATHS = {
    **{chr(0x3B1 + place): rf"\{name}" for place, name in enumerate(GREEK.split()) if name != "o"},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True)),
    **{"Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi"},
    **{"Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega", "ϕ": r"\phi", "ϵ": r"\epsilon"},
    **{"±": r"\pm", "−": "-", "×": r"\times", "÷": r"\div", "·": r"\cdot", "⋅": r"\cdot", "∘": r"\circ"},
    **{"≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "∝": r"\propto"},
    **{"≪": r"\ll", "≫": r"\gg", "∈": r"\in", "∉": r"\notin", "⊂": r"\subset", "⊆": r"\subseteq", "∪": r"\cup"},
    **{"∩": r"\cap", "∅": r"\emptyset", "∀": r"\forall", "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee"},
    **{"√": r"\surd", "∞": r"\infty", "∂": r"\partial", "∇": r"\nabla", "∑": r"\sum", "∏": r"\prod", "∫": r"\int"},
    **{"→": r"\rightarrow", "←": r"\leftarrow", "↔": r"\leftrightarrow", "↑": r"\uparrow", "↓": r"\downarrow"},
    **{"⇒": r"\Rightarrow", "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow", "↦": r"\mapsto", "′": "'", "‖": r"\|"},
    **{"⊕": r"\oplus", "⊗": r"\otimes", "⊙": r"\odot", "⟨": r"\langle", "⟩": r"\rangle", "ℓ": r"\ell", "⁻": "^-"},
    **{"⁺": "^+", "₊": "_+", "₋": "_-"},
    **{digit: f"^{place}" for place, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{digit: f"_{place}" for place, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}
KNOWN = set(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x180)])) | set("‘’“”†‡•…€™")
KNOWN -= set("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ\N{SOFT HYPHEN}")
"""Characters that pdflatex typesets in its default encoding, OT1, without a package."""
DEFINITION = (
    r"\providecommand{\unicodechar}[2]{\texttt{U+#1}} % where the font has these characters, as with lualatex, first: "
    r"\newcommand{\unicodechar}[2]{#2}"
)


def markdown(text: str) -> str:
    """CommonMark, with GitHub's tables, that shows the text; a line break becomes a blank."""
    line = " ".join(text.splitlines()).strip(" \t")
    return BLOCKS.sub(r"\1\\\2", MARKDOWN.sub(r"\\\g<0>", line))


def latex(text: str) -> str:
    r"""LaTeX that prints the text with any engine; a line break becomes a blank.

    A character that LaTeX's own fonts lack becomes an argument of \unicodechar, see `DEFINITION`.
    """
    line = unicodedata.normalize("NFC", " ".join(text.splitlines()))
    apart = re.sub(r"([-',])(?=\1)", "\\1\N{WORD JOINER}", line)  # no ligature
    return "".join(map(_latex, apart))


def _latex(character: str) -> str:
    if character in LATEX:
        return LATEX[character]
    if character in MATHS:
        return f"${MATHS[character]}$"
    if character in KNOWN:
        return character
    category = unicodedata.category(character)
    if category == "Cf" or "VARIATION SELECTOR" in unicodedata.name(character, ""):
        return "{}"  # invisible
    if category == "Zs" or character == "\t":
        return " "
    return rf"\unicodechar{{{ord(character):04X}}}{{{character}}}"
