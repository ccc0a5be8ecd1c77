"""Errors and their exit codes."""

from __future__ import annotations

import pytest

from stockctl import errors


def own_errors() -> list[type[errors.StockctlError]]:
    return [errors.StockctlError, *errors.StockctlError.__subclasses__()]


def test_every_error_has_a_documented_exit_code() -> None:
    for kind in own_errors():
        assert kind.exit_code in errors.EXIT_CODES, kind


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.StockctlError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 3),
        (errors.RefusedError, 4),
        (errors.UnreachableError, 5),
        (errors.TimedOutError, 6),
        (errors.UnhealthyError, 10),
    ],
)
def test_exit_codes_do_not_change(kind: type[errors.StockctlError], code: int) -> None:
    """Scripts rely on them."""
    assert kind.exit_code == code


def test_the_module_draws_its_whole_hierarchy() -> None:
    """The picture in the docstring names each class of this module with its code."""
    for kind in own_errors():
        if kind.__module__ == errors.__name__:
            line = next(line for line in (errors.__doc__ or "").splitlines() if f"{kind.__name__} " in line + " ")
            assert line.split()[-1] != kind.__name__
            assert f" {kind.exit_code} " in line, line


def test_an_error_carries_what_happened_and_what_to_try() -> None:
    error = errors.RefusedError("the key was refused", hint="check it")
    assert (str(error), error.hint) == ("the key was refused", "check it")
    assert errors.StockctlError("x").hint is None
