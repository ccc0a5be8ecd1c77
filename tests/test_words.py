"""The check of words that the project does not use: what it finds, how it reports it, and how a line is exempted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

CI = Path(__file__).parents[1] / ".ci"
WORDS = """
# A comment.
frob|frobs      -> compute
goes blip       -> skips
(a|one) (zig|zag) a \\w+ -> one per
"""
MARKER = "allow-word frob: as in the SEC's forms"

Check = Callable[..., list[str]]
"""``check(TEXT, *PATHS, code=CODE, name=NAME)`` writes ``TEXT`` to the file ``NAME``, and checks ``PATHS`` or else that file.

The check must end with ``CODE``. The result is what it prints, as lines.
"""


def load_check(folder: Path, words: str) -> ModuleType:
    """The check as the module of a project in ``folder``, with the list ``words``."""
    (folder / ".ci").mkdir()
    (folder / ".ci" / "words.txt").write_text(words)
    spec = spec_from_file_location("words", shutil.copy(CI / "words.py", folder / ".ci"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def words() -> str:
    """The list of the project that is checked."""
    return WORDS


@pytest.fixture
def check(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """The check of a project that holds nothing else."""
    module = load_check(tmp_path, words)
    monkeypatch.chdir(tmp_path)

    def check(text: str | bytes, *paths: str, code: int, name: str = "docs/page.md") -> list[str]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        returned = module.main([*(paths or [name])])
        output = "".join(capsys.readouterr())
        assert returned == code, output
        return output.splitlines()

    return check


@pytest.mark.parametrize(
    "text",
    [
        "They frob it.",
        "FROB",
        "Frobs",
        "_frob_parts",
        "MAX_FROB",
        "frobOf",
        "partFrob2",
        "HTTPFrob",
        "frob's",
        r'"a\nfrob"',
        "{frob}",
        "<frob/>",
    ],
)
def test_a_word_is_found_in_any_case_and_inside_identifiers(check: Check, text: str) -> None:
    lines = check(f"first\n\n{text}\nlast\n", code=1)
    assert re.fullmatch(r"docs/page\.md:3: frobs?: write compute", lines[0])
    assert lines[1].startswith("1 found; .ci/words.txt lists the words")
    assert len(lines) == 2


def test_a_part_of_a_word_is_another_word(check: Check) -> None:
    assert check("frobnicate, afrob, noFrobbing, frobbed", code=0) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("it goes blip", 1),
        ("it goes\nblip", 1),
        ("    # it goes\n    # blip", 1),
        ("x\n * it goes\n * blip", 2),
        ("goes-blip", 1),
        ("goes_blip = 1", 1),
        ("def goesBlip", 1),
    ],
)
def test_a_phrase_is_found_across_line_breaks_and_in_identifiers(check: Check, text: str, line: int) -> None:
    assert check(text, code=1)[0] == f"docs/page.md:{line}: goes blip: write skips"


def test_an_entry_may_be_a_pattern(check: Check) -> None:
    assert check("as one zig a topic", code=1)[0] == "docs/page.md:1: one zig a topic: write one per"
    assert check("as one zig per topic", code=0) == []


@pytest.mark.parametrize(
    "text",
    [
        "frob  # allow-word frob: the name of a column in the claims",
        "# allow-word frob: the name of a column in the claims\nfrob",
        "<!-- allow-word frob: as the SEC calls this form --> FROB",
        "/* allow-word goes blip: a message of the broker's */ goes blip",
        "# allow-word frob: as in the SEC's forms; allow-word goes blip: as in Kafka's log\nfrob goes blip",
    ],
)
def test_a_line_is_exempt_for_a_reason(check: Check, text: str) -> None:
    assert check(text, code=0) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("frob  # allow-word frob:", ["1: allow-word frob needs a reason behind the colon"]),
        ("frob <!-- allow-word frob: -->", ["1: allow-word frob needs a reason behind the colon"]),
        (f"fine  # {MARKER}", ["1: allow-word frob exempts nothing: remove it"]),
        (f"frob\n# {MARKER}", ["1: frob: write compute", "2: allow-word frob exempts nothing: remove it"]),
        (f"# {MARKER}\nfrob\nfrob", ["3: frob: write compute"]),
        (f"frobs  # {MARKER}", ["1: frobs: write compute", "1: allow-word frob exempts nothing: remove it"]),
        ("frob  # allow-word", ["1: frob: write compute"]),
    ],
)
def test_an_exemption_needs_a_reason_and_a_use(check: Check, text: str, found: list[str]) -> None:
    assert check(text, code=1)[:-1] == [f"docs/page.md:{line}" for line in found]


def test_only_the_project_is_checked(check: Check) -> None:
    assert check("frob", code=0, name="LICENSE") == []
    assert check(b"\0frob", code=0, name="docs/image.png") == []
    assert check("frob", code=0, name="docs/__pycache__/a.pyc") == []
    assert len(check("frob", "docs", code=1)) == 2
    assert check("frob", "docs/missing.md", code=2)[0].startswith("no such file: ")


@pytest.mark.parametrize("words", ["frob\n"])
def test_a_line_of_the_list_needs_a_replacement(check: Check) -> None:
    with pytest.raises(ValueError, match=re.escape("words.txt:1: expected WORD -> REPLACEMENT: frob")):
        check("", code=1)


@pytest.mark.parametrize("words", [(CI / "words.txt").read_text()], ids=["words.txt"])
def test_every_word_of_the_list_is_found(check: Check, words: str) -> None:
    """Each alternative of the entries that are plain words is found, and no entry hides another."""
    entries = [line.split(" -> ")[0].strip() for line in words.splitlines() if " -> " in line and not line.startswith("#")]
    plain = [word for entry in entries if re.fullmatch(r"[a-z| ]+", entry) for word in entry.split("|")]
    assert len(plain) > 20
    found = check("\n\n".join(f"x {word} x" for word in plain), code=1)[:-1]
    assert [line.split(": ")[1] for line in found] == plain
