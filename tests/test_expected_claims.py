"""Every claim of every table, judged on the numbers that the paper prints."""

from pathlib import Path

import numpy as np
import pytest

from avbalance.configuration.project import read_project
from avbalance.configuration.table_schema import Table
from avbalance.results.claims import Result, judge
from avbalance.results.columns.base import Header, find_column
from avbalance.results.measure import Measured

TABLES = read_project(Path(__file__).parents[1], {}).tables


def on_the_papers_numbers(table: Table) -> dict[str, Result]:
    """The claims' verdicts where every cell is the paper's number, or empty where it prints none."""
    values = {
        row: {column: _cell(table.expected.get(row, {}).get(column)) for column in table.columns}
        for row in [*table.rows, *table.combined]
    }
    headers = {
        name: Header(name, name, "", 3, 0) if table.compute else find_column(name).header for name in table.columns
    }
    claims = {name: claim.model_dump(exclude_none=True) for name, claim in table.claims.items()}
    results = judge(claims, values, headers, table.expected)  # type: ignore[arg-type]
    return {result.name: result for result in results}


def _cell(number: object) -> Measured:
    return Measured({0: np.array([number])} if number is not None else {}, 1, exact=True)


RESULTS = {
    f"{name}.{claim}": result
    for name, table in TABLES.items()
    for claim, result in on_the_papers_numbers(table).items()
}
WITHOUT_NUMBERS = {
    "avmnist_mmcosine": 4,
    "avmnist_optimizers": 2,
    "avmnist_resnet18": 1,
    "grid_balance": 6,
    "probes_inception": 2,
    "probes_skip": 3,
}
"""{table: number of its claims}: the paper prints no number of any row."""
OF_MANY_PAPERS = {name for name in TABLES if name.startswith("balance_")}
"""Tables whose claims are those of each method's own paper, on other data than theirs."""
WITH_NUMBERS = {
    "balance_cremad.mmcosine_beats_joint",
    "balance_cremad_three_frames.agm_beats_joint",
    "balance_cremad_three_frames.pmr_beats_joint",
    "balance_kinetics_sounds.opm_beats_joint",
    "balance_kinetics_sounds.valuation_beats_joint",
}
"""Their claims both sides of which have a published number."""
WITHOUT_A_SIDE = {
    "avmnist_table1.attention_trains_more_calmly",
    "avmnist_table1.audio_is_far_below_the_image",
    "contrastive_limits.nt_log_is_not_zero_for_a_positive_negative",
    "contrastive_limits.nt_xent_is_very_negative_for_small_tau",
    "gblend_table1.naive_training_accuracy_is_almost_always_higher",
    "gblend_table2.audio_overfits_more_than_naive",
    "gblend_table2.naive_overfits_more_than_rgb",
    "gblend_table2.online_always_beats_naive",
    "gblend_table2.online_ends_with_more_weight_on_visual_than_audio",
    "gblend_table2.online_ends_with_more_weight_on_visual_than_joint",
    "gblend_table5.naive_has_the_lower_training_error",
    "gblend_text.late_concat_has_more_parameters_than_rgb",
    "gblend_text.mid_concat_has_fewer_parameters",
    "gblend_text.uncertainty_prefers_the_joint_head_to_audio",
    "gblend_text.uncertainty_prefers_the_joint_head_to_visual",
    "mmcosine_table2.audio_dominates",
    "mmcosine_table2.audio_weights_grow_faster",
    "mmcosine_table2.mmcosine_has_more_compact_audio_angles",
    "mmcosine_table2.mmcosine_has_more_compact_visual_angles",
    "mmcosine_table2.mmcosine_has_smaller_audio_angles",
    "mmcosine_table2.mmcosine_has_smaller_visual_angles",
    "mmcosine_table3.balancing_makes_the_dominant_modality_worse",
    "mmcosine_table3.visual_dominates",
    "probes_mnist.random_features_help",
    "probes_mnist.the_error_falls_with_depth",
    "probes_mnist.the_first_relu_helps_most",
}
"""Claims no pair of which has two numbers in the paper: of figures, of other sets than its own, of words alone."""
IN_PART = {"gblend_text.other_regularisers_fall_short_of_rgb": 2}
"""{claim: how many of its pairs have}."""


def pairs_known(result: Result) -> list[float]:
    """The differences of the pairs of which the paper prints both sides."""
    return [pair["difference"] for pair in result.pairs if pair["difference"] is not None]


def test_which_claims_cannot_be_held_against_the_paper_s_numbers() -> None:
    assert {name: len(TABLES[name].claims) for name in WITHOUT_NUMBERS} == WITHOUT_NUMBERS
    assert not any(TABLES[name].expected for name in WITHOUT_NUMBERS)
    unknown = {name for name, result in RESULTS.items() if not pairs_known(result)}
    assert {name for name in unknown if name.split(".")[0] not in {*WITHOUT_NUMBERS, *OF_MANY_PAPERS}} == WITHOUT_A_SIDE
    assert {name for name in RESULTS.keys() - unknown if name.split(".")[0] in OF_MANY_PAPERS} == WITH_NUMBERS
    partly = {name: len(pairs_known(result)) for name, result in RESULTS.items()}
    assert {name: known for name, known in partly.items() if 0 < known < len(RESULTS[name].pairs)} == IN_PART


TESTABLE = sorted(name for name, result in RESULTS.items() if pairs_known(result) and name not in IN_PART)


@pytest.mark.parametrize("name", TESTABLE)
def test_a_claim_holds_on_the_paper_s_own_numbers(name: str) -> None:
    assert RESULTS[name].verdict == "holds"


@pytest.mark.parametrize("name", sorted(IN_PART))
def test_what_the_paper_prints_of_a_claim_is_on_its_side(name: str) -> None:
    sign = {">": 1, "<": -1}[RESULTS[name].relation]
    assert all(sign * difference > 0 for difference in pairs_known(RESULTS[name]))


@pytest.mark.parametrize("name", [name for name in TESTABLE if RESULTS[name].relation in "<>"])
def test_the_opposite_of_a_claim_fails_on_the_same_numbers(name: str) -> None:
    table, claim = name.split(".")
    said = TABLES[table].claims[claim]
    opposite = said.model_copy(update={"relation": "<" if said.relation == ">" else ">", "at_least": None})
    turned = TABLES[table].model_copy(update={"claims": {claim: opposite}})
    assert on_the_papers_numbers(turned)[claim].verdict == "fails"


def test_almost_monotonic_needs_its_exception() -> None:
    (claim,) = TABLES["probes_table4"].claims.values()
    strict = TABLES["probes_table4"].model_copy(
        update={"claims": {"all": claim.model_copy(update={"exceptions": None})}}
    )
    result = on_the_papers_numbers(strict)["all"]
    # Table 4a: 0.76 after add_7 and 0.77 after add_8.
    assert (result.verdict, result.left, result.right, result.difference) == ("fails", "add_7", "add_8", -1)
