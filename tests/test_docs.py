from pathlib import Path

import pytest

from avbalance import docs, registry

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def page() -> str:
    return docs.page()


def section(page: str, method: str) -> str:
    return page.split(f"\n### `{method}`\n")[1].split("\n##")[0]


def test_generated_files_are_current() -> None:
    outdated = [path for path, text in docs.files().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert outdated == [], "make them anew: avbalance docs"


def test_every_kind_of_method_is_in_the_catalogue() -> None:
    assert set(docs.KINDS) == set(registry.KINDS) - {"formula"}  # a formula is no class with options


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("balancer: ogm_ge", "| `alpha` | `Positive` | `0.8` | Strength of the modulation, > 0. |"),  # as OGM says
        ("balancer: ogm_ge", "Needs: two modalities or more; `single_label` or `verification` data; optimizer `sgd`."),
        ("balancer: ogm", "    k_m   = 1 - tanh(alpha rho_m) if rho_m > 1 else 1"),
        (
            "balancer: g_blend_online",
            "Needs: two modalities or more; loss `unimodal`; a fusion behind the encoders; `weight` of the loss at 1.",
        ),
        ("fusion: film", "Needs: exactly two modalities."),
        ("fusion: low_rank", "| `rank` | `Count` | `4` | R, number of terms. |"),
        ("fusion: mid_concat", "Owens and Efros, ECCV 2018; G-Blend (Wang et al., CVPR 2020), fig. 1 and section 3.3."),
        ("head: cosine", "Gives: logits that are a sum over streams."),
        ("encoder: resnet18", "`fc` fits. Importing them from there would cost four seconds."),  # its base's last line
        ("encoder: resnet101", "Otherwise as [`resnet18`](#encoder-resnet18)."),
        ("encoder: resnet101", "| `width` | `Count` | `64` | Channels of the first stage; 64 in the paper. |"),
        (
            "view: waveform",
            "| `sample_rate` | `Count` | required | Sample rate of the waves that `render` takes, Hz. |",
        ),
        ("view: waveform", "Needs: sound."),
        ("data: voxceleb", "    vox1/wav/<u>.wav, voxceleb_videos/mp4/<u>.mp4            test of VoxCeleb1"),
        ("figure: confusion", "Needs: `single_label` data; one row."),
    ],
)  # fmt: skip
def test_a_section_says_what_a_method_is_takes_needs_and_gives(page: str, method: str, line: str) -> None:
    assert line in section(page, method).splitlines()


def test_every_option_is_explained(page: str) -> None:
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_a_method_that_promises_no_split_is_not_said_to_have_one(page: str) -> None:
    assert "Gives" not in section(page, "head: mlp")
    assert "Gives" not in section(page, "fusion: film")


def test_prose_has_no_html_and_code_is_as_it_is() -> None:
    text = docs._escaped("a <u> b `<u>` c\n    x <- y")
    assert text == "a \\<u> b `<u>` c\n    x <- y"
