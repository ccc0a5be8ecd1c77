"""Records on the wire, valid and damaged in every way that we know: the same bytes for the same seed.

Nothing here says which of them are valid: that is for ``stockctl.record_validation`` and the readers compared with it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import NamedTuple

from stockctl.records import MAX_MS, FeedEvent, SignalRecord, Trade

NOW = 1_717_423_200_000
"""2024-06-03 14:00 UTC, a Monday in regular hours."""
_DAY = 86_400_000


class _Part(NamedTuple):
    """A member of the object: its key and its value as they are written, quotes included."""

    key: str
    value: str


class _Draft:
    """A record before it is bytes."""

    def __init__(self, rng: random.Random, kind: type, id: str, now: int) -> None:
        self.rng, self.now = rng, now
        self.parts = [_Part(f'"{name}"', json.dumps(value)) for name, value in _canonical(rng, kind, id, now).items()]
        self.comma, self.colon, self.begin, self.end = ",", ":", "{", "}"
        self.rewrite: list[Callable[[bytes], bytes]] = []
        """What is done to the bytes at last."""

    def one(self) -> int:
        """The place of any member; the id, without which nobody finds the record again, less often."""
        return max(self.rng.randrange(len(self.parts)), self.rng.randrange(2))

    def of(self, *names: str) -> int:
        """The place of one of the members with these names; any if there is none."""
        places = [number for number, part in enumerate(self.parts) if part.key.strip('"') in names]
        return self.rng.choice(places) if places else self.one()

    def set(self, place: int, value: str) -> None:
        """Write the member at ``place`` with another value."""
        self.parts[place] = _Part(self.parts[place].key, value)

    def add(self, key: str, value: str) -> None:
        """Write a further member, anywhere."""
        self.parts.insert(self.rng.randint(0, len(self.parts)), _Part(key, value))

    def encoded(self) -> bytes:
        """The bytes. Lone surrogates become what UTF-8 would make of them, if it allowed them."""
        inner = self.comma.join(f"{part.key}{self.colon}{part.value}" for part in self.parts)
        data = f"{self.begin}{inner}{self.end}".encode("utf-8", "surrogatepass")
        for change in self.rewrite:
            data = change(data)
        return data


def records(seed: int, count: int, now: int = NOW) -> list[bytes]:
    """So many trades: about a quarter as our producers write them, the rest changed in one to three ways."""
    return _records(Trade, seed, count, now)


def events(seed: int, count: int, now: int = NOW) -> list[bytes]:
    """So many feed events, changed as trades are."""
    return _records(FeedEvent, seed, count, now)


def signals(seed: int, count: int, now: int = NOW) -> list[bytes]:
    """So many signals and records about them, changed as trades are."""
    return _records(SignalRecord, seed, count, now)


class _Row:
    """A trade as the feed sends it."""


def frames(seed: int, count: int, now: int = NOW) -> list[bytes]:
    """So many of the feed's frames, a line each, of one to three rows that are changed as records are."""
    rng = random.Random(f"frames {seed}")
    rows = iter(_records(_Row, seed, 3 * count, now))
    made = []
    for _ in range(count):
        frame = b'{"data":[' + b",".join(next(rows) for _ in range(rng.randint(1, 3))) + b'],"type":"trade"}'
        if rng.random() < 0.1:
            frame = rng.choice((_flipped, _cut, _without, _with_any_bytes))(rng)(frame)
        made.append(frame.replace(b"\n", b" "))
    return made


def _records(kind: type, seed: int, count: int, now: int) -> list[bytes]:
    rng = random.Random(f"{kind.__name__} {seed}")
    made = []
    for number in range(count):
        draft = _Draft(rng, kind, f"D{seed}-{number:06d}-{rng.getrandbits(32):08x}", now)
        for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2, 3))):
            rng.choice(_DAMAGES)(draft)
        if rng.random() < 0.05:
            draft.rewrite.append(rng.choice((_flipped, _cut, _without, _with_any_bytes))(rng))
        made.append(draft.encoded())
    return made


def _canonical(rng: random.Random, kind: type, id: str, now: int) -> dict[str, object]:
    at = now - rng.randrange(3 * _DAY)
    if kind is _Row:
        return {
            "s": rng.choice(("AAPL", "BRK.B", "BINANCE:BTCUSDT", "IC MARKETS:1")),
            "p": rng.choice((100.0, 0.0001, rng.uniform(0.01, 5000))),
            "v": rng.choice((0.0, 1.0, 100.0, rng.uniform(0, 1e6))),
            "t": at,
            "c": rng.choice((None, [], ["1"], ["1", "8", "24"])),
        }
    if kind is Trade:
        return {
            "id": id,
            "symbol": rng.choice(("AAPL", "BRK.B", "BINANCE:BTCUSDT", "BF B", "ÄÖ", "株")),
            "price": rng.choice((100.0, 0.0001, 1 / 3, 1e22, 123456.789, rng.uniform(0.01, 5000))),
            "volume": rng.choice((0.0, 1.0, 100.0, 1e-8, rng.uniform(0, 1e6))),
            "ts_event": at,
            "ts_recv": at + rng.randrange(500),
            "conditions": rng.choice(("", "1", "1,8,24")),
            "updates": rng.choice(("", "v", "vhl")),
            "source": "sim",
        }
    if kind is SignalRecord:
        return {
            "kind": rng.choice(("signal", "run", "heartbeat", "new kind")),
            "id": id,
            "symbol": rng.choice(("AAPL", "BRK.B", "")),
            "strategy": "sma-cross",
            "version": "5eed",
            "run": "run00",
            "n": rng.choice((0, 1, 7)),
            "side": rng.choice(("buy", "sell", "exit", "")),
            "target": rng.choice((1.0, -1.0, 0.0, 1 / 3)),
            "strength": rng.choice((0.0, -2.5, 1e300, rng.uniform(-5, 5))),
            "reason": rng.choice(("", "fast 2.0 is above slow 1.9", "two\nlines")),
            "ts_decided": at + 3,
            "ts_event": at,
            "record": rng.choice(("", "AAPL-1717423200000-k3f9a2-00000001")),
            "inputs": rng.choice(("", "c0ffee")),
            "partition": rng.choice((-1, 0, 5)),
            "offset": rng.choice((-1, 0, 2**31 - 1, 2**31, 2**53 - 1)),
            "details": rng.choice(("", '{"params":{"fast":"5"}}', "{}")),
            "ts_recv": at + 5,
            "source": "sim",
        }
    return {
        "id": id,
        "kind": rng.choice(("connected", "covered", "silent", "new kind")),
        "span_start": at - 1000,
        "span_end": at,
        "symbols": rng.choice(("", "AAPL", "AAPL,BRK.B")),
        "reason": rng.choice(("", "the feed closed", "two\nlines")),
        "connection": rng.choice(("", "k3f9a2")),
        "ts_recv": at + 5,
        "source": "sim",
    }


_CHARACTERS = [
    *("\x00", "\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"),
    *(",", " ", "\xa0", "\u2028", "\u2029", "\u3000", "\ufeff", "\ufffd", "\uffff", "\U0001f600", "\U0010ffff", "e\u0301"),
    *('"', "\\", "/", "'", "$", ".", "{", "[", "%", "<"),
]
_ESCAPES = [
    *(r"\u0000", r"\u0001", r"\t", r"\n", r"\r", r"\b", r"\f", r"\u001f", r"\u007f", r"\u0080", r"\u009F"),
    *(r"\"", r"\\", r"\/", r"\u002c", r"\u0020", r"\u00e9", r"\u2028", r"\ufeff", r"\uFFFF", r"\ud83d\ude00", r"\uDBFF\uDFFF"),
    # What no text may hold: halves of pairs, and escapes that are none.
    *(r"\ud83d", r"\ude00", r"\ud83dx", r"\ud83d\u0041", r"\ude00\ud83d", r"\ud83d\ud83d", r"\ud83d\n", "\\ud83d\U0001f600"),
    *(r"\x41", r"\q", r"\u12", r"\u12G4", r"\U0041", r"\u", r"\'", "\\\n", r"\0"),
    "\ud800",
    "\udfff",
    "\ud83d\ude00",
]
_NUMBERS = [
    *("0", "-0", "0.0", "-0.0", "1", "-1", "1.0", "100", "1.5", "1e5", "1E+5", "1e-5", "0e0", "-0e9", "1.50", "0.1e1"),
    *(
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "-.5",
        "+1",
        "--1",
        "-",
        "1e",
        "1e+",
        "1.e5",
        "0x10",
        "1_000",
        "1,5",
        "1 000",
        "1d",
        "1f",
        "1L",
    ),
    *("NaN", "-NaN", "nan", "Infinity", "-Infinity", "inf", "+Infinity", "1e999", "-1e999", "1e-999", "5e-324", "2e-324"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "1.797693134862315808e308", "2.2250738585072011e-308"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809"),
    *("0.1000000000000000055511151231257827021181583404541015625", "123456789012345678901234567890.5e-10"),
    *("1" * 30, "1" * 309, "1" * 310, "1" * 5000, "1" * 2000 + "e-1999", "0." + "0" * 400 + "1e401", "0." + "3" * 1200),
    *("1e00000000000000000001", "1e99999999999999999999", "1e-99999999999999999999", "0e99999999999999999999"),
]
_OTHERS = [
    *("null", "true", "false", "Null", "None", "True", "nul", "nullx", "undefined", "", "[]", "{}", "[1]", '{"a":1}', "[1,]"),
    *(
        '{"a":1,}',
        '{"a":1,"a":2}',
        '{"price":1}',
        "[[[]]]",
        "[1 2]",
        '{"a" 1}',
        "{1:2}",
        "{a:1}",
        "'x'",
        "`x`",
        "x",
        '"',
        '"x',
        'x"',
    ),
    *('""', '"x"', '" "', '"1"', '"1.5"', '"NaN"', '"null"', '"1700000000000"', '"2024-06-03T14:00:00Z"', '["x"]'),
    *('{"$date":1700000000000}', '{"$numberDouble":"1.5"}', '{"$oid":"507f1f77bcf86cd799439011"}'),
]
_TEXTS = ("s", "id", "symbol", "conditions", "updates", "source", "kind", "symbols", "reason", "connection", "side", "details")
_TIMES = ("t", "ts_event", "ts_recv", "ts_decided", "span_start", "span_end")
_LENGTHS = (0, 1, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 3000)


def _character(draft: _Draft) -> None:
    """A character in a text, as it is or escaped: at the begin, in the middle or at the end."""
    place = draft.of(*_TEXTS)
    text, rng = draft.parts[place].value, draft.rng
    at = rng.choice((1, len(text) // 2, len(text) - 1))
    draft.set(place, text[:at] + rng.choice(rng.choice((_CHARACTERS, _ESCAPES))) + text[at:])


def _length(draft: _Draft) -> None:
    """A text of a length about the limits, of characters of one to twelve bytes."""
    rng, place = draft.rng, draft.of(*_TEXTS)
    length = rng.choice(_LENGTHS) if rng.random() < 0.98 else rng.choice((65_535, 65_536))
    # The id stays another than all others.
    begin = draft.parts[place].value[1:-1] if draft.parts[place].key == '"id"' else ""
    fill = rng.choice(("x", "é", "株", "\U0001f600", r"\u0041", r"\ud83d\ude00"))
    draft.set(place, f'"{begin}{fill * (length - len(begin))}"')


def _number(draft: _Draft) -> None:
    draft.set(draft.of("price", "volume", "p", "v", "n", "target", "strength", "offset"), draft.rng.choice(_NUMBERS))


def _time(draft: _Draft) -> None:
    rng, now = draft.rng, draft.now
    minute = 60_000
    times = (0, 1, -1, now, now + 7 * _DAY - 30 * minute, now + 7 * _DAY + 30 * minute, now + 14 * _DAY, 7_258_118_400_000)
    exact = (MAX_MS - 1, MAX_MS, MAX_MS + 1, 253_402_300_799_999, 253_402_300_800_000, 2**53, 2**63 - 1, 2**63, 2**64, 10**30)
    time = rng.choice(times + exact)
    draft.set(draft.of(*_TIMES), rng.choice((str(time), str(time), f"{time}.0", f"{time}e0", f"{time / 1000}", f'"{time}"')))


def _value(draft: _Draft) -> None:
    """Any value at any place."""
    draft.set(draft.one(), draft.rng.choice(draft.rng.choice((_OTHERS, _NUMBERS))))


def _absent(draft: _Draft) -> None:
    rng = draft.rng
    place = draft.of("conditions", "updates") if rng.random() < 0.5 else draft.one()
    if rng.random() < 0.5:
        draft.set(place, "null")
    else:
        del draft.parts[place]


def _again(draft: _Draft) -> None:
    """A member twice, its key written otherwise now and then, with an equal or another value."""
    rng = draft.rng
    part = draft.parts[draft.one()]
    value = part.value if rng.random() < 0.5 else draft.rng.choice((*_OTHERS, "2.0", "1700000000000"))
    draft.add(_otherwise(rng, part.key) if rng.random() < 0.7 else part.key, value)


def _renamed(draft: _Draft) -> None:
    place = draft.one()
    draft.parts[place] = _Part(_otherwise(draft.rng, draft.parts[place].key), draft.parts[place].value)


def _otherwise(rng: random.Random, key: str) -> str:
    name = key[1:-1]
    at = rng.randrange(max(1, len(name)))
    escaped = name[:at] + "".join(f"\\u{ord(letter):04x}" for letter in name[at : at + 1]) + name[at + 1 :]
    keys = (
        escaped,
        escaped.upper(),
        name.upper(),
        name.title(),
        name + " ",
        " " + name,
        name + "\\u0000",
        name[:-1],
        "_" + name,
    )
    return rng.choice((*(f'"{one}"' for one in keys), f"{key} ", f"{key}\n\t", f" {key}", f"'{name}'", name))


def _more(draft: _Draft) -> None:
    """Another member with anything in it."""
    rng = draft.rng
    texts = (f'"{rng.choice(_CHARACTERS)}"', f'"x{rng.choice(_ESCAPES)}y"')
    keys = ('"more"', '""', '"_id"', '"Symbol"', '"$set"', '"a.b"', '"\\u0000"', *texts)
    draft.add(rng.choice(keys), rng.choice(rng.choice((_OTHERS, _NUMBERS, texts))))
    if rng.random() < 0.2:
        draft.parts.append(draft.parts[draft.one()] if rng.random() < 0.2 else _Part('"more"', "1"))


def _nested(draft: _Draft) -> None:
    """Nesting at the limit of what is taken, and far beyond it; brackets in texts count for nothing."""
    rng = draft.rng
    depth = rng.choice((62, 63, 64, 99, 999, 1000, 3000))
    if rng.random() < 0.3:
        draft.add('"more"', f'"{"[" * 70}"')
    elif rng.random() < 0.3:
        draft.add('"more"', "[" + ",".join(["[]"] * 70) + "]")
    elif rng.random() < 0.5:
        draft.add('"more"', "[" * depth + "]" * depth)
    else:
        draft.add('"more"', '{"a":' * depth + rng.choice(("1", '"}"', "]")) + "}" * depth)


def _shuffled(draft: _Draft) -> None:
    draft.rng.shuffle(draft.parts)


def _layout(draft: _Draft) -> None:
    rng = draft.rng
    blank = rng.choice(
        (" ", "\n", "\r\n", "\r", "\t", "\n  ", "\r\n\t", "\x0b", "\f", "\xa0", "\u2028", "\x00", "/**/", "//\n", "#\n")
    )
    where = rng.randrange(8)
    draft.comma = {0: f",{blank}", 1: f"{blank},", 7: f",{blank}"}.get(where, draft.comma)
    draft.colon = {2: f":{blank}", 3: f"{blank}:", 7: f": {blank}"}.get(where, draft.colon)
    draft.begin = {4: f"{blank}{{", 5: f"{{{blank}", 7: f"{{{blank}"}.get(where, draft.begin)
    draft.end = {5: f"{blank}}}", 6: f"}}{blank}", 7: f"{blank}}}"}.get(where, draft.end)


def _syntax(draft: _Draft) -> None:
    rng = draft.rng
    draft.comma = rng.choice((draft.comma,) * 6 + (",,", ";", " "))
    draft.colon = rng.choice((draft.colon,) * 6 + ("=", "::", " "))
    draft.begin = rng.choice((draft.begin,) * 6 + ("{,", "", "[{", "{{", "(", "\ufeff{", "[", "x = {", "null{"))
    draft.end = rng.choice(
        (draft.end,) * 3 + (",}", "", "}}", "]", "}]", "};", "}x", "}{}", "}\n{}", "}null", "},", "}\x00", "} 1", "}\x1a")
    )


def _whole(draft: _Draft) -> None:
    """Something else than an object in UTF-8, or more than one."""
    rng = draft.rng
    other = rng.choice((b"", b" ", b"\n", b"null", b"true", b"1", b'"x"', b"[]", b"{}", b"no", b"\x00", b"\xff", b"{", b"}"))
    codec = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7"))
    changes: list[Callable[[bytes], bytes]] = [
        lambda _: other,
        lambda data: b"[" + data + b"]",
        lambda data: data + data,
        lambda data: data + b"\n" + data,
        lambda data: json.dumps(data.decode(errors="replace")).encode(),
        lambda data: data.decode(errors="replace").encode(codec, "replace"),
        lambda data: b"\x00\x00\x00\x00\x01" + data,
        lambda data: b'{"schema":null,"payload":' + data + b"}",
        lambda data: data.replace(b'"', b"'"),
    ]
    draft.rewrite.append(rng.choice(changes))


_BROKEN = [
    *(
        b"\xff",
        b"\xfe",
        b"\x80",
        b"\xc3",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
    ),
    *(b"\xf0\x80\x80\xaf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xc3(", b"\xe9"),
]


def _not_utf8(draft: _Draft) -> None:
    """Bytes that are not UTF-8, in a text of a column, in a key, or in what nobody keeps."""
    mark, rng = "@broken@", draft.rng
    if rng.random() < 0.5:
        place = draft.of(*_TEXTS)
        draft.set(place, f'"{draft.parts[place].value[1:-1]}{mark}"')
    else:
        draft.add(*rng.choice((('"more"', f'"{mark}"'), (f'"{mark}"', "1"), ('"more"', f'{{"{mark}":[]}}'))))
    broken = rng.choice(_BROKEN)
    draft.rewrite.append(lambda data: data.replace(mark.encode(), broken))


def _flipped(rng: random.Random) -> Callable[[bytes], bytes]:
    """A bit another in one to three places."""
    places = [(rng.random(), 1 << rng.randrange(8)) for _ in range(rng.randint(1, 3))]

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        for place, bit in places:
            if changed:
                changed[int(place * len(changed))] ^= bit
        return bytes(changed)

    return flip


def _cut(rng: random.Random) -> Callable[[bytes], bytes]:
    at, begin = rng.random(), rng.random() < 0.3
    return lambda data: data[int(at * len(data)) :] if begin else data[: int(at * len(data))]


def _without(rng: random.Random) -> Callable[[bytes], bytes]:
    at, length = rng.random(), rng.choice((1, 1, 1, 2, 5, 20))
    return lambda data: data[: int(at * len(data))] + data[int(at * len(data)) + length :]


def _with_any_bytes(rng: random.Random) -> Callable[[bytes], bytes]:
    at, more = rng.random(), rng.randbytes(rng.choice((1, 1, 2, 4)))
    return lambda data: data[: int(at * len(data))] + more + data[int(at * len(data)) :]


_DAMAGES = [
    *(_character, _character, _character, _length, _number, _number, _time, _time, _value, _value, _absent, _absent),
    *(_again, _again, _renamed, _more, _more, _nested, _shuffled, _layout, _layout, _syntax, _whole, _not_utf8),
]
