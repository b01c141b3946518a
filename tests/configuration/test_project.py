import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from avbalance import plan
from avbalance.configuration.project import Project
from avbalance.configuration.signature import describe
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
TABLE = """
title: Two rows
paper: ours
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}, training: {optimizer: sgd}}
rows:
  concat: {}
  film: {fusion: film, head: {cosine: {scale: 12.0}}, balancer: {ogm_ge: {alpha: 0.5}}}
columns: [accuracy, acc_audio_probe]
expected: {concat: {accuracy: 90.0}}
claims:
  film_wins: {left: film, right: concat, metric: accuracy, relation: ">", text: FiLM wins}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's configuration with one table of its own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "tables" / "mine.yaml").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def message(project: Path) -> Callable[..., str]:
    """The error after replacing a text in a file of the configuration."""

    def edit(old: str, new: str, file: str = "tables/mine.yaml", **overrides: Any) -> str:  # noqa: ANN401
        path = project / "config" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UserError) as error:
            plan.make(project, {"tables": "mine", **overrides})
        said = str(error.value)
        assert "\n" not in said
        return said.removeprefix(f"{project}/config/")

    return edit


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("fusion:", "fusoin:", "rows.film.fusoin: is not a key here; did you mean 'fusion'?"),
        ("ogm_ge", "ogm-ge", "rows.film.balancer: 'ogm-ge' is not a balancer; did you mean 'ogm_ge'?"),
        ("conv2net", "conv3net", "defaults.encoder.visual: 'conv3net' is not an encoder; did you mean 'conv2net'?"),
        ("scale:", "sclae:", "rows.film.head: 'cosine' has no option 'sclae'; did you mean 'scale'?"),
        ("12.0", "high", "rows.film.head: cosine.scale: found 'high'; input should be a valid number"),
        ("title: Two rows", "title: [1]", "title: found [1]; input should be a valid string"),
        ("dataset: avmnist", "dataset: avmnits", "defaults.dataset: 'avmnits' is not a dataset; did you mean 'avmnist'?"),
        ("  film:", "  concat:", "line 7: key 'concat' occurs twice; rename one of them"),
        ("acc_audio_probe", "acc_sound_probe", "columns: 'acc_sound_probe' is not a column; did you mean 'acc_audio_probe'?"),
        ("expected: {concat", "expected: {conct", "expected.conct: 'conct' is not a row; did you mean 'concat'?"),
        ("right: concat", "right: cat", "claims.film_wins.right: 'cat' is not a row; did you mean 'concat'?"),
        ('relation: ">"', "relation: beats", "claims.film_wins.relation: found 'beats'; input should be"),
        ('relation: ">"', "relation: falls", "claims.film_wins: falls has no right; it may have exceptions, left"),
        ("title: Two rows", "title: [", "line 4: invalid YAML: "),
        ("concat: {}", "concat: {modalities: [smell]}", "rows.concat.modalities: 'smell' is not a modality; allowed: audio"),
        ("concat: {}", "concat: {probe: {modality: visual, layers: [cONV1]}}", "rows.concat.probe.layers: 'cONV1' is not a layer of the encoder; did you mean 'conv1'?"),
        ("concat: {}", "concat: {probe: {modality: visual, layers: ['cnov*']}}", "rows.concat.probe.layers: 'cnov*' is not a layer of the encoder; did you mean 'conv2'?"),
        ("concat: {}", "concat: {training: {epochs: -1}}", "rows.concat.training.epochs: found -1; input should be greater than or equal to 0"),
        ("concat: {}", "concat: {training: {epoch: 1}}", "rows.concat.training.epoch: is not a key here; did you mean 'epochs'?"),
        ("concat: {}", "concat: {{head: linear}}", "line 6: {'head': 'linear'} cannot be a key; remove one pair of braces"),
        ("concat: {}", "concat: {encoder: {visual: conv2net}}", "rows.concat.encoder: no encoder for 'audio'"),
        ("concat: {}", "'': {}", "rows.: '' is not a valid name; use letters (A to z), digits, '_' and '-'"),
        ("concat: {}", "'$(touch x)': {}", "rows.$(touch x): '$(touch x)' is not a valid name; use letters (A to z)"),
        ("film_wins:", "'film;wins':", "claims.film;wins: 'film;wins' is not a valid name; use letters (A to z)"),
        ("concat: {}", "concat: {balancer: 'nowhere.here:It'}", "rows.concat.balancer: module 'nowhere.here' cannot be found"),
    ],
)  # fmt: skip
def test_an_error_names_file_key_value_and_what_is_allowed(
    message: Callable[..., str], old: str, new: str, expected: str
) -> None:
    assert message(old, new).startswith(f"tables/mine.yaml: {expected}")


def test_a_fusion_that_needs_equal_lengths_is_refused_unequal_ones(message: Callable[..., str]) -> None:
    said = message(
        "concat: {}", "concat: {fusion: addition, encoder: {visual: {resnet18: {width: 8}}, audio: conv1net}}"
    )
    assert said.startswith("tables/mine.yaml: rows.concat.fusion: 'addition' needs ")
    assert "one feature length, found audio 128, visual 64" in said


def test_a_fusion_of_two_modalities_is_refused_one(message: Callable[..., str]) -> None:
    said = message("concat: {}", "concat: {fusion: film, modalities: [audio]}")
    assert said.startswith("tables/mine.yaml: rows.concat.fusion: 'film' needs exactly two modalities, found audio; ")


def test_a_balancer_without_its_loss_is_refused(
    message: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text(
        "from avbalance.balancers.base import Balancer\nclass Needy(Balancer):\n    requires_loss = ('unimodal',)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = message("concat: {}", "concat: {balancer: 'needy:Needy'}")
    assert said.startswith("tables/mine.yaml: rows.concat.balancer: 'needy:Needy' needs loss `unimodal`, found 'joint'")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("scales/miniature.yaml", "seeds: [0]", "seeds: []", "scales/miniature.yaml: seeds: is empty"),
        ("scales/miniature.yaml", "source: generated", "source: generatd", "scales/miniature.yaml: datasets.avmnist.source: 'generatd' is not a source; did you mean 'generated'?"),
        ("scales/miniature.yaml", "num_train: 400", "num_trian: 400", "scales/miniature.yaml: datasets.avmnist.reader: 'avmnist' has no option 'num_trian'; did you mean 'num_train'?"),
        ("datasets/avmnist.yaml", "num_classes: 10", "num_classes: ten", "datasets/avmnist.yaml: num_classes: found 'ten'; input should be a valid integer"),
        ("datasets/avmnist.yaml", "licence:", "license:", "datasets/avmnist.yaml: license: is not a key here; did you mean 'licence'?"),
        ("datasets/avmnist.yaml", "size:", "bytes:", "datasets/avmnist.yaml: sources.official.files.0.bytes: is not a key here; allowed: contents, index, list, md5, package, path, request, sha256, size, unpack, urls"),
        ("datasets/grid_digit.yaml", "log_mel:", "log_mal:", "datasets/grid_digit.yaml: prepare.views.audio: 'log_mal' is not a view; did you mean 'log_mel'?"),
        ("datasets/grid_digit.yaml", "num_mels:", "num_mel:", "datasets/grid_digit.yaml: prepare.views.audio: 'log_mel' has no option 'num_mel'; did you mean 'num_mels'?"),
        ("datasets/grid_digit.yaml", "detector: yunet", "detector: yunit", "datasets/grid_digit.yaml: prepare.views.visual: 'yunit' is not a detector; did you mean 'yunet'?"),
        ("datasets/grid_digit.yaml", "modalities: [audio, flow, visual]", "modalities: [audio, visual]", "datasets/grid_digit.yaml: modalities are ['audio', 'visual'], but prepare.views has ['audio', 'flow', 'visual']"),
        ("datasets/grid_digit.yaml", "{grid_miniature: {}}", "{grid_miniature: {sed: 1}}", "datasets/grid_digit.yaml: sources.generated.generator: 'grid_miniature' has no option 'sed'; did you mean 'seed'?"),
        ("datasets/grid_letter.yaml", "sources: grid_digit", "sources: grid_letter", "datasets/grid_letter.yaml: sources: 'grid_letter' is not a dataset with its own sources; did you mean 'grid_digit'?"),
        ("scales/miniature.yaml", "windows: {test: 3}", "windows: {test: 0}", "scales/miniature.yaml: datasets.kinetics400.prepare.windows.test: found 0; input should be greater than or equal to 1"),
        ("scales/miniature.yaml", "flow: {flow: {size: 24", "motion: {flow: {size: 24", "scales/miniature.yaml: datasets.grid_digit.prepare.views: 'motion' is not a modality; allowed: audio, flow, visual"),
        ("scales/miniature.yaml", "visual: {faces: {detector: given, size: 32", "visual: {faces: {detector: given, sise: 32", "scales/miniature.yaml: datasets.grid_digit.prepare.views.visual: 'faces' has no option 'sise'; did you mean 'size'?"),
        ("datasets/avmnist.yaml", "modalities: [audio, visual]", "modalities: [audio, 'vis ual']", "datasets/avmnist.yaml: modalities.1: 'vis ual' is not a valid name; use letters (A to z)"),
        ("datasets/avmnist.yaml", "  official:", "  '`official`':", "datasets/avmnist.yaml: sources.`official`: '`official`' is not a valid name; use letters (A to z)"),
        ("datasets/epic_kitchens_100.yaml", "hop_samples: ", "hop_samples: -", "datasets/epic_kitchens_100.yaml: prepare.views.audio: log_power.hop_samples: found -120; input should be greater than or equal to 1"),
        ("scales/laptop.yaml", "num_train: 3000", "num_train: .nan", "scales/laptop.yaml: datasets.avmnist.reader: avmnist.num_train: found nan; input should be a valid integer"),
        ("scales/paper.yaml", "learning_rate: 0.001", "learning_rate: .inf", "scales/paper.yaml: training.learning_rate: found inf; input should be a finite number"),
        ("scales/paper.yaml", "tables: all", "tables: [avmnist_table11]", "scales/paper.yaml: tables: 'avmnist_table11' is not a table; did you mean 'avmnist_table1'?"),
        ("tables/probes_fig5.yaml", "- Mixed_7a", "- mIXED_7A", "tables/probes_fig5.yaml: rows.end.probe.layers: 'mIXED_7A' is not a layer of the encoder; did you mean 'Mixed_7a'?"),
        ("tables/probes_fig8.yaml", "tolerance: ", "tolerance: -", "tables/probes_fig8.yaml: claims.features_are_the_paper_s.tolerance: found -0.5; input should be greater than or equal to 0"),
        ("tables/probes_fig8.yaml", "layer: Mixed_7a", "layer: mIXED_7A", "tables/probes_fig8.yaml: rows.mixed_7a: inception_features.layer: found 'mIXED_7A'; input should be 'maxpool1', "),
        ("tables/probes_fig5.yaml", "branch: AuxLogits", "branch: AuxLogist", "tables/probes_fig5.yaml: figure.branch: no layer begins with 'AuxLogist'; did you mean 'AuxLogits.conv"),
        ("tables/contrastive_table2.yaml", "sim_positive: 0.99", "sim_positive: 9.9", "tables/contrastive_table2.yaml: rows.p99_n50: contrastive_factors.sim_positive: found 9.9; input should be less than or equal to 1"),
        ("tables/mine.yaml", "accuracy: 90.0", "accuracy: 1e99", "tables/mine.yaml: expected.concat.accuracy: found 1e+99; input should be less than or equal to 3.4e+38"),
        ("tables/mine.yaml", "accuracy: 90.0", "accuracy: 900", "tables/mine.yaml: expected.concat.accuracy: found 900.0; allowed: 0 to 100"),
        ("tables/mine.yaml", "title:", "titel:", "tables/mine.yaml: titel: is not a key here; did you mean 'title'?"),
        ("config.yaml", "device: auto", "device: gpu", "config.yaml or --config: device: found 'gpu'; allowed: auto, cpu, cuda, or one GPU by its number such as cuda:0"),
        ("scales/miniature.yaml", "precision: float32}", "precision: float32, augment: random_crop}", "scales/miniature.yaml: datasets.avmnist.training.augment: 'random_crop' is not an augmentation; did you mean 'random_resized_crop'?"),
        ("scales/miniature.yaml", "precision: float32}", "precision: float32, augment: scale_jitter}", "scales/miniature.yaml: datasets.avmnist.training.augment: found 'scale_jitter', but the reader of this dataset makes arrays itself, which are not stored as pictures; leave it out"),
    ],
)  # fmt: skip
def test_scales_datasets_and_settings_are_checked_too(
    message: Callable[..., str], file: str, old: str, new: str, expected: str
) -> None:
    assert message(old, new, file).startswith(expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"scael": 1}, "scael: is not a key here; did you mean 'scale'?"),
        ({"scale": "laptp"}, "scale: 'laptp' is not a scale; did you mean 'laptop'?"),
        ({"tables": ["mnie"]}, "tables: 'mnie' is not a table; did you mean 'mine'?"),
        ({"seeds": "many"}, "seeds: found 'many'"),
        ({"seeds": [0, -1]}, "seeds.1: found -1; input should be greater than or equal to 0"),
        ({"seeds": [0, 0]}, "seeds: 0 stands twice"),
        ({"seeds": []}, "seeds: is empty; give at least one"),
        ({"datasets": "cremat"}, "datasets: 'cremat' is not a dataset; did you mean 'cremad'?"),
        ({"device": "cpu; touch x"}, "device: found 'cpu; touch x'"),
        ({"scale": "$(touch x)"}, "scale: '$(touch x)' is not a scale"),
        ({"tables": "$(touch x)"}, "tables: '$(touch x)' is not a table"),
        ({"seeds": "$(touch x)"}, "seeds: found '$(touch x)'"),
        ({"datasets": []}, "tables and datasets: found an empty list; name one, or leave it out"),
    ],
)
def test_the_command_line_is_checked(project: Path, overrides: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as error:
        plan.make(project, overrides)
    assert str(error.value).startswith(f"{project}/config/config.yaml or --config: {expected}")


@pytest.mark.parametrize("name", ["a b", "$(touch x)", "-rf", "a.b", "ü", "a\nb"])
@pytest.mark.parametrize("folder", ["scales", "datasets", "models", "tables"])
def test_a_file_of_the_configuration_has_a_name_that_no_shell_minds(project: Path, folder: str, name: str) -> None:
    shipped = next((project / "config" / folder).glob("*.yaml"))
    shutil.copy(shipped, project / "config" / folder / f"{name}.yaml")
    with pytest.raises(UserError) as error:
        plan.make(project, {})
    assert "is not a valid name; use letters (A to z)" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_configuration_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"config/config.yaml: does not exist in .*; work in a checkout, or copy its folder"
    ):
        plan.make(tmp_path, {})


@pytest.mark.parametrize("scale", [path.stem for path in (ROOT / "config" / "scales").glob("*.yaml")])
def test_the_shipped_configuration_is_right_at_every_scale(scale: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for path in tmp_path.glob("config/[dm]*/*.yaml"):  # lists that users record themselves
        for name in re.findall(r"(?:list|contents): (\S+.sha256)", path.read_text(encoding="utf-8")):
            if not (path.parent / name).exists():
                (path.parent / name).write_text(f"{'0' * 64}  recorded\n", encoding="utf-8")
    made = plan.make(tmp_path, {"scale": scale, "tables": "all"})
    assert len(made.targets) == len(made.project.tables) + 1 + len(made.prepared)  # the page, an audit a data set
    assert_gradients_are_scaled_under_sgd_alone(made.project)


def assert_gradients_are_scaled_under_sgd_alone(project: Project) -> None:
    """A table with a balancer that scales gradients has one optimiser, SGD, with one setting for each dataset.

    `avmnist_optimizers` is about the optimisers, and its rows name theirs.
    """
    keys = ("optimizer", "momentum", "weight_decay", "learning_rate")
    with_scaling = set()
    for name, table in project.rows.items():
        balancers = {balancer for row in table.values() for balancer in row.methods["balancer"]}
        scales = [describe("balancer", balancer).attributes["scales_gradients"] for balancer in balancers]
        if any(scales) and name != "avmnist_optimizers":
            with_scaling.add(name)
            used = {(row.dataset, *map(row.training.get, keys)) for row in table.values()}
            assert {optimizer for _, optimizer, *_ in used} == {"sgd"}, name
            assert len(used) == len({row.dataset for row in table.values()}), name
    assert with_scaling >= {
        "balance_avmnist",
        "balance_grid_letter",
        "mmcosine_table3",
        "mmcosine_fig1",
    }


def test_the_same_row_in_two_tables_is_one_run(project: Path) -> None:
    other = TABLE.replace("  concat: {}", "  plain: {head: linear, label: Plain}")
    (project / "config" / "tables" / "twin.yaml").write_text(
        other.replace("concat:", "plain:").replace("right: concat", "right: plain"), encoding="utf-8"
    )
    made = plan.make(project, {"tables": ["mine", "twin"]})
    runs = [artifact for artifact in made.artifacts.values() if artifact.folder == "runs"]
    assert len(runs) == 2


def test_a_default_written_out_is_the_same_run(project: Path) -> None:
    before = set(plan.make(project, {"tables": "mine"}).artifacts)
    file = project / "config" / "tables" / "mine.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            "concat: {}", "concat: {encoder: {visual: {conv2net: {dropout: 0.5}}, audio: conv1net}}"
        ),
        encoding="utf-8",
    )
    after = set(plan.make(project, {"tables": "mine"}).artifacts)
    assert {path for path in before if "/runs/" in path} == {path for path in after if "/runs/" in path}


def test_an_edited_row_renames_its_own_artifacts_alone(project: Path) -> None:
    before = set(plan.make(project, {"tables": "mine", "seeds": [0]}).artifacts)
    file = project / "config" / "tables" / "mine.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("alpha: 0.5", "alpha: 0.6"), encoding="utf-8")
    after = set(plan.make(project, {"tables": "mine", "seeds": [0]}).artifacts)
    changed = sorted(path.split("/")[1] for path in after - before)
    assert changed == ["page", "probes", "runs", "tables"]


def test_each_writes_rows_and_claims_out_for_every_value(project: Path) -> None:
    table = TABLE.replace(
        "defaults: {dataset: avmnist, ", "each: {dataset: [avmnist, avmnist_spectrogram]}\ndefaults: {"
    )
    table = table.replace("expected: {concat:", "expected: {avmnist: {concat:").replace("90.0}}", "90.0}}}")
    assert "each" in table
    (project / "config" / "tables" / "mine.yaml").write_text(
        table.replace("conv1net", "{resnet18: {width: 8}}"), encoding="utf-8"
    )
    made = plan.make(project, {"tables": "mine"})
    rows = made.project.rows["mine"]
    assert {name: row.dataset for name, row in rows.items()} == {
        f"{dataset}_{row}": dataset for dataset in ("avmnist", "avmnist_spectrogram") for row in ("concat", "film")
    }
    spread = made.project.tables["mine"]
    assert spread.expected == {"avmnist_concat": {"accuracy": 90.0}}
    assert {claim.left for claim in spread.claims.values()} == {"avmnist_film", "avmnist_spectrogram_film"}


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{avmnits: {concat: {accuracy: 90.0}}}", "expected.avmnits is not a value of each; allowed: avmnist, mnist"),
        ("{concat: {accuracy: 90.0}}", "expected.concat is not a value of each; allowed: avmnist, mnist"),
    ],
)
def test_numbers_expected_for_no_value_of_each_are_an_error(project: Path, expected: str, message: str) -> None:
    table = TABLE.replace("rows:", "each: {dataset: [avmnist, mnist]}\nrows:")
    path = project / "config" / "tables" / "mine.yaml"
    path.write_text(table.replace("{concat: {accuracy: 90.0}}", expected), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        plan.make(project, {"tables": "mine"})


def test_numbers_by_value_need_each(message: Callable[..., str]) -> None:
    said = message("{concat: {accuracy: 90.0}}", "{avmnist: {concat: {accuracy: 90.0}}}")
    assert said == "tables/mine.yaml: expected is by row and column; by value first only in a table with each"


def test_files_given_on_request_say_what_to_do_where_their_lists_are_absent(project: Path) -> None:
    with pytest.raises(UserError) as error:
        plan.make(project, {"scale": "paper", "datasets": ["mini_sports", "kinetics400"]})
    first, *rest = str(error.value).replace(f"{project}/", "").splitlines()
    text = " ".join(" ".join(rest).split())
    assert first == "2 of 2 datasets wait for files that have to be recorded or brought first:"
    assert (
        "fetch and record: avbalance record kinetics400 (makes config/datasets/kinetics400_archives.sha256, "
        "config/datasets/kinetics400_lists.sha256) for: kinetics400 mini_sports: Mini-Sports, size unknown" in text
    )
    assert "bring sports1m/videos: get the videos that original/train_partition.txt" in text
    assert text.count("then record: avbalance record mini_sports (makes config/datasets/mini_sports_lists") == 1


def test_a_scale_plans_what_it_can_and_lists_what_has_to_be_recorded_first(project: Path) -> None:
    asked = {"scale": "paper", "tables": ["avmnist_mmcosine", "gblend_fig1"]}
    with pytest.raises(UserError, match=r"1 of 2 tables wait (.|\n)*kinetics400_archives.sha256"):
        plan.make(project, asked)
    scale = project / "config/scales/paper.yaml"
    scale.write_text(
        scale.read_text(encoding="utf-8").replace(
            "tables: all", "tables: [avmnist_mmcosine, gblend_fig1, gblend_table5]"
        ),
        encoding="utf-8",
    )
    made = plan.make(project, {"scale": "paper"})
    assert [target.split("/")[1:] for target in sorted(made.targets)] == [
        ["audit", "paper", ANY],
        ["page", ANY],
        ["tables", "paper", ANY],
    ]
    assert made.left_out == ["gblend_fig1", "gblend_table5"]
    assert not any("kinetics400" in path or "audioset" in path for path in made.artifacts)
    text = " ".join(made.postponed.replace(f"{project}/", "").split())
    assert text.startswith("2 of 3 tables wait for files that have to be recorded or brought first: audioset: AudioSet")
    assert (
        "kinetics400: Kinetics-400, 450 GB; licence: annotations CC BY 4.0; the videos belong to their makers fetch and "
        "record: avbalance record kinetics400 (makes config/datasets/kinetics400_archives.sha256, "
        "config/datasets/kinetics400_lists.sha256) for: gblend_fig1, gblend_table5 mini_sports:" in text
    )


def test_files_that_the_user_brings_are_named_until_they_are_there(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVBALANCE_MIRROR", raising=False)
    asked = {"scale": "laptop", "tables": ["grid_balance"]}
    made = plan.make(project, asked)
    assert made.left_out == []
    assert "  bring grid_s1/clips.tar, grid_s1/metadata.csv: this small copy" in made.postponed
    mirror = tmp_path / "mirror" / "grid_s1"
    mirror.mkdir(parents=True)
    (mirror / "clips.tar").touch()
    (mirror / "metadata.csv").touch()
    assert plan.make(project, {**asked, "mirror": str(mirror.parent)}).postponed == ""


def test_files_that_dvc_has_are_to_be_pulled_and_not_to_be_brought(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVBALANCE_MIRROR", raising=False)
    asked = {"scale": "laptop", "tables": ["grid_balance"]}
    (raw,) = (path for path in plan.make(project, asked).artifacts if path.startswith("results/raw/grid_digit."))
    record = project / f"{raw}.dvc"
    record.parent.mkdir(parents=True)
    record.touch()
    made = plan.make(project, asked)
    assert made.postponed == ""
    assert made.cached_elsewhere() == [raw]
    assert "1 artifacts are cached, not pulled: dvc pull" in made.notes()


def test_tables_that_compare_methods_have_more_seeds_at_scale_paper(project: Path) -> None:
    tables = ["avmnist_mmcosine", "balance_avmnist"]
    made = plan.make(project, {"scale": "paper", "tables": tables})
    rows = {
        artifact.slug: artifact.settings["rows"] for artifact in made.artifacts.values() if artifact.kind == "tables"
    }
    seeds = {table: {cell["seed"] for cells in rows[table].values() for cell in cells} for table in tables}
    assert seeds == {"avmnist_mmcosine": {0}, "balance_avmnist": {0, 1, 2, 3, 4}}
    scale = project / "config/scales/paper.yaml"
    scale.write_text(scale.read_text(encoding="utf-8").replace('"balance_*"', '"balanced_*"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"paper.yaml: seeds_of: 'balanced_\*' is not a table"):
        plan.make(project, {"scale": "paper"})


@pytest.mark.parametrize(
    ("tables", "page"),
    [
        ("mine", "miniature--mine"),
        (["mine", "avmnist_fig1", "mine"], "miniature--mine--avmnist_fig1"),
        (["mine", *(f"avmnist_fig{number}" for number in range(1, 5))], "miniature--mine--and-4-more"),
    ],
)
def test_some_tables_have_a_page_of_their_own(project: Path, tables: str | list[str], page: str) -> None:
    made = plan.make(project, {"tables": tables})
    (recipe,) = (artifact.recipe for artifact in made.artifacts.values() if artifact.folder == "page")
    assert recipe["name"].rsplit(".", 1)[0] == page
    shown = {path.split("/")[-1].split(".")[0] for path in recipe["inputs"].values() if path.split("/")[1] != "runs"}
    assert shown == {"avmnist", *([tables] if isinstance(tables, str) else tables)}
