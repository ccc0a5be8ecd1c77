"""Runs the jobs of a check in processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stockctl.backtest.check.messages import Job, Outcome, Plan
from stockctl.backtest.check.tape import Tape, Tapes
from stockctl.errors import StockctlError
from stockctl.strategies import LoadedStrategy

_HASH_SEEDS = ("1", "2")
_TAPES = "tapes"


class Launcher(NamedTuple):
    """Starts processes for one strategy, with the records in ``folder``."""

    strategy: LoadedStrategy
    params: dict[str, Any]
    folder: Path
    seed: int
    cuts: int

    def write(self, tapes: Sequence[Tape]) -> None:
        """Write the records."""
        (self.folder / _TAPES).write_bytes(msgspec.msgpack.encode(Tapes(list(tapes))))

    def run(self, jobs: Sequence[Job], other_jobs: Sequence[Job] = ()) -> dict[str, Outcome]:
        """The outcomes of the jobs by name. ``other_jobs`` run at the same time, in a process with another hash seed.

        StockctlError if a process ends without its outcomes.
        """
        groups = [(each, seed) for each, seed in zip((jobs, other_jobs), _HASH_SEEDS, strict=True) if each]
        started: list[subprocess.Popen[bytes]] = []
        paths = [self.folder / f"plan-{number}" for number in range(len(groups))]
        try:
            started += [self._start(each, seed, path) for (each, seed), path in zip(groups, paths, strict=True)]
            for process in started:
                if process.wait():
                    raise StockctlError("a process of the check has failed", hint="its own message stands above")
        finally:
            for process in started:
                process.kill()
                process.wait()
        outcomes = (outcome for path in paths for outcome in _outcomes(_answer(path).read_bytes()))
        return {outcome.job: outcome for outcome in outcomes}

    def _start(self, jobs: Sequence[Job], hash_seed: str, path: Path) -> subprocess.Popen[bytes]:
        reference = self.strategy.reference
        name, separator, attribute = reference.partition(":")
        if name.endswith(".py"):
            reference = str(Path(name).resolve()) + separator + attribute
        files, tapes = list(self.strategy.files), str(self.folder / _TAPES)
        plan = Plan(reference, self.params, files, tapes, self.seed, self.cuts, list(jobs))
        path.write_bytes(msgspec.msgpack.encode(plan))
        paths = os.pathsep.join(str(Path(one).resolve()) for one in sys.path if one)
        with path.open("rb") as file, _answer(path).open("wb") as answer:
            return subprocess.Popen(
                [sys.executable, "-m", "stockctl.backtest.check.process"],
                stdin=file,
                stdout=answer,
                env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
                cwd=self.folder,
            )


def _answer(path: Path) -> Path:
    """The file of the outcomes of the plan in ``path``."""
    return path.with_suffix(".outcomes")


def _outcomes(content: bytes) -> Iterator[Outcome]:
    while content:
        size = int.from_bytes(content[:8], "big")
        yield msgspec.msgpack.decode(content[8 : 8 + size], type=Outcome)
        content = content[8 + size :]
