// The panels of one symbol: quote, tiles, table, lists and notes. They show what the server computed.

import { $, attribute, by, fill, number, rows, show, text } from "./dom.js";
import * as format from "./format.js";

/** The numbers, each as its `data-kind` says, with all digits on hover. */
export function showNumbers(symbol, numbers, zone) {
  for (const node of document.querySelectorAll("[data-number]")) {
    const { number: name, kind, words } = node.dataset;
    number(node, format[kind](numbers[name]) ?? "–", symbol);
    if (words) attribute(node, "data-tip", `${words}\n${format.full(numbers[name]) ?? "not known"}`);
  }
  const { change, change_percent: percent, change_from: from } = numbers;
  fill($("quote"), {
    symbol,
    change: change == null ? "" : `${format.arrow(change)}${format.move(change)} (${format.moved(percent) ?? "–"})`,
    "change@data-sign": format.sign(change),
    from: change == null || !from ? "" : `from ${from}`,
    when: numbers.last_trade ? `Last trade ${format.both(numbers.last_trade, zone)}` : "No trade yet",
  });
}

const KINDS = {
  price: ["open", "high", "low", "close", "vwap"],
  deviation: ["volatility"],
  whole: ["volume", "trades"],
  rate: ["rate"],
};

/** The bars, newest first; nothing is made while the table is closed. */
export function showTable(symbol, bars, zone) {
  if (!$("table").open) return;
  text($("table-words"), `${symbol}, newest first; times are those of ${format.city(zone)}; – is not known`);
  const cells = (bar) => Object.entries(KINDS).flatMap(([kind, names]) => names.map((name) => [name, format[kind](bar[name])]));
  const sorted = [...bars.values()].sort((one, other) => other.bar - one.bar);
  rows("bars", sorted, by("bar"), (bar) => ({ bar: format.clock(bar.bar, zone), ...Object.fromEntries(cells(bar)) }), zone);
}

function list(id, data, key, values) {
  show($(`${id}-none`), !data.length);
  text($(`${id}-count`), data.length ? String(data.length) : "");
  rows(id, data, key, values);
}

const SHAPES = { buy: "▲", sell: "▼" };
const signalKey = ({ at, run, strategy, side, n }) => [at, run, strategy, side, n].join();
const SIGNS = { buy: "up", sell: "down" };

export function showLists({ gaps, filings, signals, resolved: { timezone: zone } }) {
  list("gaps", gaps, by("since"), (gap) => ({
    span: `${format.clock(gap.since, zone)} to ${format.clock(gap.until, zone)}`,
    length: format.length(gap.until - gap.since),
    reason: gap.reason,
  }));
  list("filings", filings, by("accession"), (filing) => ({
    form: filing.form,
    at: format.moment(filing.at, zone),
    text: filing.text,
  }));
  const newest = [...signals].sort((one, other) => other.at - one.at);
  list("signals", newest, signalKey, (one) => ({
    mark: SHAPES[one.side] ?? "◆",
    "mark@data-sign": SIGNS[one.side] ?? "flat",
    side: one.side,
    run: one.differs ? `${one.run}, differs` : one.run,
    "run@class": one.differs ? "tag differs" : "tag",
    at: format.clock(one.at, zone),
    text: one.text,
  }));
}

function leftOut({ left_out: count, left_out_by: by }) {
  if (count == null) return null;
  const kinds = by && typeof by === "object" ? Object.entries(by).map(([kind, each]) => `${kind} ${format.whole(each)}`) : [by];
  return `${format.whole(count)} trades${count && by ? `: ${kinds.join(", ")}` : ""}`;
}

/** Where the numbers are from, and what is not in them. */
export function showAbout({ source, numbers, notes, resolved, view }) {
  const zone = resolved.timezone;
  const facts = {
    source: [source.text, source.store, source.live].filter(Boolean).join(" · "),
    session:
      resolved.since &&
      `${resolved.session}, ${resolved.date}: ${format.clock(resolved.since, zone)} to ${format.both(resolved.until, zone)}`,
    policy: numbers.policy ?? view.policy,
    coverage: format.percent(numbers.coverage),
    left: leftOut(numbers),
    through: numbers.through ? format.both(numbers.through, zone) : null,
    conditions: numbers.condition_table,
  };
  for (const [name, value] of Object.entries(facts)) facts[name] = value ?? "not known";
  fill($("about"), facts);
  rows("notes", [...new Set(notes)], String, (note) => ({ note }));
}
