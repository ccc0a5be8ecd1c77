#!/usr/bin/env python3
"""Looks for words that the project does not use, which ``words.txt`` beside this file lists.

``words.py [PATH...]`` checks files and folders, by default the whole project, and prints ``FILE:LINE: WORD: write REPLACEMENT``
for each word found. It skips paths outside ``SCOPE``. Exit code 1 if it finds a word, 2 if a path does not exist. It needs the
standard library alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / ".ci" / "words.txt"
SCOPE = (
    ".ci", ".pre-commit-config.yaml", "CHANGELOG.md", "Makefile", "README.md", "benchmarks", "docs", "images", "manifests",
    "pyproject.toml", "sql", "stockctl", "tests",
)  # fmt: skip
EXEMPT = {LIST, Path(__file__).resolve(), ROOT / "tests" / "test_words.py", ROOT / "tests" / "lake" / "test_format.py"}
"""The check itself names words and exemptions, and the tests of the lake's formats never change."""

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPES = re.compile(r"\\[nrt]")
_GAP = r"[\s#*/>-]+"
"""What may stand between two words of a phrase: a space, a hyphen, or a line break with the comment's sign after it."""
_MARKER = re.compile(r"allow-word (?P<word>[a-z][a-z -]*):(?P<reason>[^\n]*?)(?=allow-word|-->|\*/|$)", re.MULTILINE)
SHORTEST_REASON = 10


class Entry(NamedTuple):
    """One line of the list: what to look for, and what to write instead."""

    pattern: str
    replacement: str


class Match(NamedTuple):
    """A banned word or phrase in a text, with its line number, from 1."""

    line: int
    word: str
    replacement: str


class Marker(NamedTuple):
    """A comment that exempts a word on its own line and the next one."""

    line: int
    word: str
    reason: str


def read_entries(text: str) -> list[Entry]:
    """Parse the list. ValueError for a line without a replacement."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            pattern, arrow, replacement = (part.strip() for part in line.partition(" -> "))
            if not (pattern and arrow and replacement):
                raise ValueError(f"{LIST.name}:{number}: expected WORD -> REPLACEMENT: {line}")
            entries.append(Entry(pattern, replacement))
    return entries


def separate_words(text: str) -> str:
    """``text`` in lower case, with a space between the words of each identifier. Line breaks stay where they are."""
    return _WORD_STARTS.sub(" ", _ESCAPES.sub("  ", text)).replace("_", " ").lower()


def compile_entries(entries: list[Entry]) -> re.Pattern[str]:
    """One pattern for all entries; the group ``entry_N`` is that of entry N."""
    groups = [f"(?P<entry_{number}>{entry.pattern.replace(' ', _GAP)})" for number, entry in enumerate(entries)]
    return re.compile(f"(?<![a-z])(?:{'|'.join(groups)})(?![a-z])")


def find_words(text: str, entries: list[Entry], pattern: re.Pattern[str]) -> Iterator[Match]:
    """Every match in ``text``, in order."""
    separated = separate_words(text)
    line, counted = 1, 0
    for match in pattern.finditer(separated):
        line, counted = line + separated.count("\n", counted, match.start()), match.start()
        entry = entries[int(str(match.lastgroup).removeprefix("entry_"))]
        yield Match(line, " ".join(re.split(_GAP, match[0])), entry.replacement)


def find_markers(text: str) -> Iterator[Marker]:
    """Every exemption in ``text``."""
    for marker in _MARKER.finditer(text):
        word = " ".join(re.split(_GAP, marker["word"].strip()))
        yield Marker(text.count("\n", 0, marker.start()) + 1, word, marker["reason"].strip())


def check(text: str, entries: list[Entry], pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Line number and message of everything wrong in ``text``: banned words, and exemptions without reason or use."""
    markers = list(find_markers(text))
    unused = dict.fromkeys(markers)
    # A marker must not find its own word.
    for match in find_words(_MARKER.sub(lambda marker: marker["reason"], text), entries, pattern):
        exempting = [marker for marker in markers if marker.word == match.word and marker.line in (match.line, match.line - 1)]
        for marker in exempting:
            unused.pop(marker, None)
        if not exempting:
            yield match.line, f"{match.word}: write {match.replacement}"
    for marker in markers:
        if len(marker.reason) < SHORTEST_REASON:
            yield marker.line, f"allow-word {marker.word} needs a reason behind the colon"
        elif marker in unused:
            yield marker.line, f"allow-word {marker.word} exempts nothing: remove it"


def files_below(paths: list[Path]) -> Iterator[Path]:
    """The files that are checked among ``paths``, which are absolute, and in the folders among them."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            relative = file.relative_to(ROOT).parts if file.is_relative_to(ROOT) else ()
            if relative and relative[0] in SCOPE and "__pycache__" not in relative and file not in EXEMPT and file.is_file():
                yield file


def main(arguments: list[str]) -> int:
    """Check the files and folders that ``arguments`` name, or all; the exit code."""
    entries = read_entries(LIST.read_text(encoding="utf-8"))
    pattern = compile_entries(entries)
    paths = [Path(name).resolve() for name in arguments] or [ROOT / name for name in SCOPE]
    if missing := [str(path) for path in paths if not path.exists()]:
        print(f"no such file: {', '.join(missing)}", file=sys.stderr)
        return 2
    count = 0
    for path in files_below(paths):
        content = path.read_bytes()
        if b"\0" not in content:  # a binary file has no words
            for line, message in check(content.decode(errors="replace"), entries, pattern):
                print(f"{path.relative_to(ROOT)}:{line}: {message}")
                count += 1
    if count:
        print(f"{count} found; {LIST.relative_to(ROOT)} lists the words, and how to exempt a line")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
