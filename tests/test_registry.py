import inspect
import math
import re
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from avbalance import ranges, registry
from avbalance.configuration.signature import describe, feature_dim, resolve
from avbalance.errors import UserError
from avbalance.registry import nearest

ROOT = Path(__file__).parents[1]
REGISTERED = [(kind, name) for kind in registry.KINDS for name in registry.registered(kind)]
PLUGINS = [(kind, name) for kind, name in REGISTERED if kind != "formula"]  # a formula is a function
OUTSIDE = """
from typing import Literal
from torch import nn
from outside.base import Base

raise RuntimeError("describing a method runs it")

class Near(Base):
    mixes = False

    def __init__(
        self, dims, width: int, rate: float = 0.5, mode: Literal["sum", "mean"] = "sum", *, deep: bool = False
    ):
        self.width = width

class Child(Near):
    title = "a child"

class Far(Base):
    equal_dims = True

class Sized(nn.Module):
    def __init__(self, shape, width: int = 4):
        self.feature_dim = 2 * width + 1

class Measured(nn.Module):
    def __init__(self, shape, width: int = 4):
        self.feature_dim = shape[0] * width
"""
BASE = """
from torch import nn

class Base(nn.Module):
    mixes: bool = True
    equal_dims = False
    computed = print("not a literal")

    def __init__(self, dims, rank: int | None = None):
        self.rank = rank
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `outside` that is nowhere installed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "outside" / "base.py").write_text(BASE, encoding="utf-8")
    (tmp_path / "outside" / "methods.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside", raising=False)


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_a_registered_name_leads_to_what_its_module_defines(kind: str, name: str) -> None:
    module, attribute = registry.locate(kind, name)
    assert getattr(import_module(module), attribute).__module__ == module


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_the_options_of_a_registered_method_are_the_arguments_of_its_constructor(kind: str, name: str) -> None:
    module, class_name = registry.locate(kind, name)
    signature = inspect.signature(getattr(import_module(module), class_name))
    options = list(signature.parameters.values())[registry.KINDS[kind].num_given :]
    names = {**vars(typing), **vars(ranges), **vars(import_module(module))}
    described = describe(kind, name).options
    assert {option: (eval(annotation, names), default) for option, (annotation, default) in described.items()} == {
        option.name: (option.annotation, ... if option.default is option.empty else option.default)
        for option in options
    }


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_every_number_that_a_registered_method_takes_has_a_range(kind: str, name: str) -> None:
    plain = [
        option
        for option, (annotation, _) in describe(kind, name).options.items()
        if re.search(r"\b(int|float)\b", annotation)
    ]
    assert plain == [], "write a type of avbalance.ranges"


@pytest.mark.parametrize(
    ("name", "admitted", "refused"),
    [
        ("Count", [1, 10**9], [0, -1, 10**9 + 1, 1.5, True]),
        ("Whole", [0, 10**9], [-1, 10**10, 1.5]),
        ("Even", [2, 4], [0, 3]),
        ("Odd", [1, 3], [2, -1]),
        ("Sixteens", [16, 128], [0, 17]),
        ("Positive", [0.5, 3, 1e30], [0.0, -10.0, math.inf, 1e99, "1"]),
        ("NotNegative", [0.0, 1e30], [-0.1, 1e99]),
        ("Real", [-1e30, 0.0], [1e99, -1e99, -math.inf]),
        ("Share", [0.0, 1], [1.1, -0.1]),
        ("Rate", [0.0, 0.99], [1.0, -0.1]),
        ("Cosine", [-1.0, 1], [1.1, -1.1]),
    ],
)
def test_a_range_admits_its_ends_and_nothing_beyond(name: str, admitted: list[float], refused: list[Any]) -> None:
    check = TypeAdapter(getattr(ranges, name), config=ConfigDict(strict=True, allow_inf_nan=False))
    for value in admitted:
        check.validate_python(value)
    for value in [*refused, math.nan]:
        with pytest.raises(ValidationError):
            check.validate_python(value)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_the_attributes_of_a_registered_method_are_those_of_its_class(kind: str, name: str) -> None:
    module, class_name = registry.locate(kind, name)
    method = getattr(import_module(module), class_name)
    for attribute, value in describe(kind, name).attributes.items():
        assert getattr(method, attribute) == value, attribute


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_registered_method_without_options_resolves_to_its_defaults(kind: str, name: str) -> None:
    defaults = {option: default for option, (_, default) in describe(kind, name).options.items()}
    if ... in defaults.values():
        missing = next(option for option, default in defaults.items() if default is ...)
        with pytest.raises(UserError, match=f"^{name!r} needs the option {missing!r}"):
            resolve(kind, name)
        return
    for option in defaults.keys() & registry.KINDS.keys():  # it holds a method
        defaults[option] = resolve(option, defaults[option])
    assert resolve(kind, name) == resolve(kind, {name: None}) == resolve(kind, {name: {}}) == {name: defaults}


def test_attributes_inherited_from_the_base_are_described() -> None:
    assert describe("fusion", "addition").attributes.items() >= {"equal_dims": True, "mixes": True}.items()
    assert describe("fusion", "concat").attributes["mixes"] is False
    assert describe("balancer", "ogm_ge").attributes["requires_loss"] == ()


def test_a_whole_number_for_a_float_is_the_same_setting() -> None:
    resolved = resolve("head", {"cosine": {"scale": 12}})
    assert repr(resolved) == "{'cosine': {'scale': 12.0}}"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("conv1net", 128), ("resnet18", 512), ({"resnet18": {"width": 8}}, 64)],  # 8 x width
)
def test_the_feature_length_is_known_without_building_the_encoder(spec: Any, expected: int) -> None:  # noqa: ANN401
    assert feature_dim(spec) == expected
    assert registry.load("encoder", spec, (1600,) if spec == "conv1net" else (1, 32, 32)).feature_dim == expected


@pytest.mark.usefixtures("outside")
def test_options_and_attributes_of_an_outside_method_are_read_without_running_it() -> None:
    near = describe("fusion", "outside.methods:Near")
    assert near.module == "outside.methods"
    assert near.options == {
        "width": ("int", ...),
        "rate": ("float", 0.5),
        "mode": ("Literal['sum', 'mean']", "sum"),
        "deep": ("bool", False),
    }
    assert near.attributes == {"mixes": False, "equal_dims": False}


@pytest.mark.usefixtures("outside")
def test_an_outside_method_inherits_options_and_attributes_from_its_own_file_and_package() -> None:
    child, far = describe("fusion", "outside.methods:Child"), describe("fusion", "outside.methods:Far")
    assert child.options == describe("fusion", "outside.methods:Near").options
    assert child.attributes == {"title": "a child", "mixes": False, "equal_dims": False}
    assert far.options == {"rank": ("int | None", None)}
    assert far.attributes == {"mixes": True, "equal_dims": True}


@pytest.mark.usefixtures("outside")
def test_the_feature_length_of_an_outside_encoder_is_known_where_its_options_tell() -> None:
    assert feature_dim("outside.methods:Sized") == 9  # 2 * 4 + 1
    assert feature_dim({"outside.methods:Sized": {"width": 10}}) == 21
    assert feature_dim("outside.methods:Measured") is None


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("options", "resolved"),
    [
        ({"width": 3}, {"width": 3, "rate": 0.5, "mode": "sum", "deep": False}),
        (
            {"deep": True, "mode": "mean", "rate": 1, "width": 0},
            {"width": 0, "rate": 1.0, "mode": "mean", "deep": True},
        ),
    ],
)
def test_options_are_spelled_out(options: dict[str, Any], resolved: dict[str, Any]) -> None:
    assert resolve("fusion", {"outside.methods:Near": options}) == {"outside.methods:Near": resolved}


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "'outside.methods:Near' needs the option 'width' (int)"),
        ({"width": 2, "widht": 3}, "'outside.methods:Near' has no option 'widht'; did you mean 'width'?"),
        ({"width": "2"}, "outside.methods:Near.width: found '2'; input should be a valid integer"),
        ({"width": 2.0}, "outside.methods:Near.width: found 2.0; input should be a valid integer"),
        ({"width": True}, "outside.methods:Near.width: found True; input should be a valid integer"),
        ({"width": None}, "outside.methods:Near.width: found None; input should be a valid integer"),
        ({"width": 2, "rate": "high"}, "outside.methods:Near.rate: found 'high'; input should be a valid number"),
        ({"width": 2, "rate": math.nan}, "outside.methods:Near.rate: found nan; input should be a finite number"),
        ({"width": 2, "rate": -math.inf}, "outside.methods:Near.rate: found -inf; input should be a finite number"),
        ({"width": 2, "deep": 1}, "outside.methods:Near.deep: found 1; input should be a valid boolean"),
        ({"width": 2, "mode": "max"}, "outside.methods:Near.mode: found 'max'; input should be 'sum' or 'mean'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        resolve("fusion", {"outside.methods:Near": options})
    assert str(error.value) == said


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("concta", "'concta' is not a fusion; did you mean 'concat'?"),
        ("outside.methods:Naer", "outside.methods: has no class 'Naer'; did you mean 'Near'?"),
        ("outside.nothing:Near", "module 'outside.nothing' cannot be found; is it installed"),
        ("nowhere.methods:Near", "module 'nowhere.methods' cannot be found; is it installed"),
        ({"concat": {}, "film": {}}, "{'concat': {}, 'film': {}} is not a method; write a name, or one name with"),
        (3, "3 is not a method; write a name, or one name with its options"),
        ({"concat": 3}, "options of 'concat' are 3; write {option: value}"),
        ({"concat": {"width": 3}}, "'concat' has no option 'width'; none is allowed"),
    ],
)
def test_a_wrong_method_is_named_with_what_is_allowed(spec: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError) as error:
        resolve("fusion", spec)
    assert str(error.value).startswith(said)


def test_an_encoder_is_spelled_with_its_article() -> None:
    with pytest.raises(UserError, match=r"'conv9net' is not an encoder; did you mean 'conv[12]net'"):
        resolve("encoder", "conv9net")


@pytest.mark.parametrize(
    ("name", "allowed", "said"),
    [
        ("concatt", ["film", "concat"], "did you mean 'concat'?"),
        ("xyz", ["film", "concat"], "allowed: concat, film"),
        ("xyz", [], "none is allowed"),
        (3, ["film"], "allowed: film"),
    ],
)
def test_a_hint_is_the_nearest_name_or_all_of_them(name: Any, allowed: list[str], said: str) -> None:  # noqa: ANN401
    assert nearest(name, allowed) == said


def test_a_method_is_built_with_the_frameworks_arguments_and_its_options() -> None:
    head = registry.load("head", {"mlp": {"hidden": 5}}, {"a": 2, "b": 3}, 7)
    assert head.linear1.weight.shape == (5, 2 + 3)
    assert head.linear2.weight.shape == (7, 5)


def test_a_whole_plan_is_made_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from avbalance import plan; "
        "made = plan.make(Path(sys.argv[1]), {'scale': 'miniature', 'tables': 'all'}); "
        "print(len(made.artifacts), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True, capture_output=True, encoding="utf-8")
    num_artifacts, imported = done.stdout.split()
    assert int(num_artifacts) > 10
    assert imported == "False"


def write_outside(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_an_outside_method_inherits_what_a_shipped_one_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
from avbalance.balancers.ogm_ge import OGMGE
from avbalance.encoders.conv1net import Conv1Net
from avbalance.fusions.addition import Addition
class MyOGMGE(OGMGE): pass
class MyConv1Net(Conv1Net): pass
class MyAddition(Addition): pass
class Wider(Conv1Net):
    def __init__(self, shape, width: int = 4):
        self.feature_dim = 2 * width
"""
    write_outside(tmp_path, "heirs", text, monkeypatch)
    assert describe("balancer", "heirs:MyOGMGE").options == describe("balancer", "ogm_ge").options
    assert describe("fusion", "heirs:MyAddition").attributes["equal_dims"] is True
    assert feature_dim("heirs:MyConv1Net") == 128
    assert feature_dim({"heirs:Wider": {"width": 5}}) == 10


@pytest.mark.parametrize(
    ("parameter", "given"),
    [("alpha=0.5", 1.0), ("alpha: float = math.pi", 1.0), ("alpha: Sequence[int] = (1, 2)", [3])],
)
def test_an_option_of_an_unusual_kind_is_left_to_the_constructor(
    parameter: str, given: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"unusual{abs(hash(parameter))}"
    imports = "import math\nfrom collections.abc import Sequence\n"
    text = f"{imports}class It:\n    def __init__(self, dims, {parameter}): ...\n"
    write_outside(tmp_path, name, text, monkeypatch)
    assert resolve("fusion", {f"{name}:It": {"alpha": given}}) == {f"{name}:It": {"alpha": given}}
    assert f"{name}:It" in resolve("fusion", f"{name}:It")


def test_an_outside_module_that_is_no_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_outside(tmp_path, "broken", "class It:\n    def __init__(self\n", monkeypatch)
    with pytest.raises(UserError, match="module 'broken': line 2: "):
        describe("fusion", "broken:It")


@pytest.mark.parametrize(
    ("imports", "line", "name"),
    [
        ("", 1, "Balancer"),
        ("from avbalance.balancers.base import Balancer\n", 3, "Tensor"),
        ("import avbalance.balancers.base as base\n", 2, "Balancer"),
    ],
)
def test_a_name_that_an_outside_module_does_not_have_is_named(
    imports: str, line: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{imports}class It(Balancer):\n    def losses(self, output: Tensor): ...\n"
    write_outside(tmp_path, f"unnamed{line}", text, monkeypatch)
    with pytest.raises(UserError, match=f"^module 'unnamed{line}': line {line}: '{name}' is not defined; import it$"):
        describe("balancer", f"unnamed{line}:It")


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("import avbalance.balancers.ogm", "avbalance.balancers.ogm.OGM"),
        ("import avbalance.balancers.ogm as ogm", "ogm.OGM"),
        ("from avbalance.balancers import ogm", "ogm.OGM"),
        ("from avbalance.balancers.ogm import OGM as Base", "Base"),
        ("from avbalance.balancers.ogm import OGM\nfrom typing import Generic, TypeVar\nT = TypeVar('T')",
         "OGM, Generic[T]"),
    ],
)  # fmt: skip
def test_a_base_is_found_however_it_is_imported(
    imports: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"based{abs(hash(imports))}"
    write_outside(tmp_path, module, f"{imports}\nclass It({base}): ...\n", monkeypatch)
    assert describe("balancer", f"{module}:It").options == describe("balancer", "ogm").options
    assert describe("balancer", f"{module}:It").attributes == describe("balancer", "ogm").attributes


def test_a_base_of_another_package_ends_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from torch import nn\nfrom abc import ABC\nclass It(nn.Module, ABC): limit = 1\n"
    write_outside(tmp_path, "external", text, monkeypatch)
    assert describe("fusion", "external:It").attributes == {"limit": 1}
