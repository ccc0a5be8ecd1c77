"""Finding a strategy, its parameters and the version of its code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stockctl.errors import StockctlError, UsageError
from stockctl.strategies import load_strategy
from stockctl.strategies.loading import BUILT_IN
from tests.strategies.records import strategy_of

HANDLER = "    def on_trade(self, trade):\n        return None\n"
CODE = "class Mine(Strategy):\n" + HANDLER


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_strategies_load(name: str) -> None:
    strategy = load_strategy(name)
    assert strategy.name == name
    assert len(strategy.version) == 64
    assert strategy.make("AAPL") is not strategy.make("AAPL")


def test_the_version_is_that_of_the_code(tmp_path: Path) -> None:
    first = strategy_of(tmp_path, CODE).version
    assert strategy_of(tmp_path, CODE).version == first
    assert strategy_of(tmp_path, CODE + "# a comment\n").version != first

    other = tmp_path / "elsewhere"
    other.mkdir()
    assert strategy_of(other, CODE).version == first


@pytest.mark.parametrize("where", ["import helper\n", "import deep.inner\n", "from deep import inner\n", "import first\n"])
def test_the_version_includes_what_lies_beside_it(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "deep").mkdir()
    (tmp_path / "first.py").write_text("import helper\n")
    places = [tmp_path / "helper.py", tmp_path / "deep" / "__init__.py", tmp_path / "deep" / "inner.py"]
    for place in places:
        place.write_text("x = 1\n")
    # The import is in a handler: nothing has run it yet.
    code = CODE.replace("return None", where.strip() + "; return None")
    before = strategy_of(tmp_path, code).version
    used = places[0] if "deep" not in where else places[2]
    used.write_text("x = 2\n")

    assert strategy_of(tmp_path, code).version != before


def test_a_class_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "desk_strategies"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rules.py").write_text("LIMIT = 1\n")
    (package / "mine.py").write_text(f"from .rules import LIMIT\nfrom stockctl.strategies import Strategy\n{CODE}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    strategy = load_strategy("desk_strategies.mine:Mine")

    assert strategy.name == "mine"
    assert {Path(file).name for file in strategy.files} == {"__init__.py", "mine.py", "rules.py"}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nope", "there is no strategy 'nope'"),
        ("nope.py", "there is no file nope.py"),
        ("no_such_module:Mine", "there is no module no_such_module"),
        ("json:Nope", "the module json has no class Nope"),
        ("json:JSONEncoder", "has none of on_trade, on_bar, on_filing"),
    ],
)
def test_an_unknown_strategy_is_a_usage_error(reference: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_strategy(reference)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_thing\n", r"ModuleNotFoundError: No module named 'no_such_thing' \(.*user\.py, line 3\)"),
        ("class Mine(:\n", r"is not valid Python: .* \(.*user\.py, line 3\)"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("1 / 0\n", r"ZeroDivisionError: division by zero \(.*user\.py, line 3\)"),
    ],
)
def test_code_that_cannot_be_imported_is_named_with_its_line(tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(StockctlError, match=words):
        strategy_of(tmp_path, code)


def test_a_file_with_two_strategies_wants_a_class(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must have one strategy; it has Mine, Other"):
        strategy_of(tmp_path, CODE + CODE.replace("Mine", "Other"))
    assert load_strategy(f"{tmp_path / 'user.py'}:Other").kind.__name__ == "Other"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"fats": "5"}, "sma-cross has no parameter 'fats'"),
        ({"fast": "0"}, "fast: it is below 1"),
        ({"fast": "five"}, "fast: it is not a whole number"),
        ({"fast": "30"}, r"fast \(30\) must be less than slow \(30\)"),
    ],
)
def test_a_parameter_out_of_bounds_is_named(params: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_strategy("sma-cross", params)


def test_the_parameters_of_a_file_are_listed_by_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        strategy_of(
            tmp_path, "class Mine(Strategy):\n    class Params(BaseModel):\n        fast: int = 5\n" + HANDLER, fast="five"
        )
    assert raised.value.hint == f"`stockctl strategies show {tmp_path / 'user.py'}` lists them"


def test_text_becomes_the_parameter_s_type() -> None:
    assert load_strategy("sma-cross", {"fast": "5"}).params.model_dump()["fast"] == 5
