// All symbols at a glance, and the pipeline's parts.

import { $, by, number, rows, show, text } from "./dom.js";
import * as format from "./format.js";
import { queryOf } from "./view.js";

const known = new Map();
const LOW = 99;

/** The path of a line of 64 × 20; null interrupts it. */
function spark(values) {
  const numbers = values.filter((value) => value != null);
  if (numbers.length < 2) return "";
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const x = (index) => ((64 * index) / (values.length - 1)).toFixed(1);
  const y = (value) => (most === least ? 10 : 19 - (18 * (value - least)) / (most - least)).toFixed(1);
  const pen = (index) => (values[index - 1] == null ? "M" : "L");
  return values.map((value, index) => (value == null ? "" : `${pen(index)}${x(index)} ${y(value)}`)).join("");
}

/** Put rows in by their symbol, and show them all. */
export function showOverview(changed, view) {
  for (const row of changed) known.set(row.symbol, row);
  show($("watch-none"), !known.size);
  text($("watch-count"), known.size ? String(known.size) : "");
  const values = (row, node) => {
    number(node.querySelector(".last-price"), format.cents(row.last) ?? "–", row.symbol);
    const level = row.coverage == null ? "coverage not known" : `coverage ${format.percent(row.coverage)}`;
    return {
      "link@href": `?${queryOf({ ...view, symbol: row.symbol })}`,
      "link@data-symbol": row.symbol,
      "link@aria-current": row.symbol === view.symbol ? "true" : null,
      "link@data-tip": format.lines(
        [row.symbol, row.session, row.trade_date].filter(Boolean).join(", "),
        `${level}, ${format.whole(row.trades) ?? "–"} trades`,
        row.change_from && `change from ${row.change_from}`,
        row.at && `at ${format.clock(row.at)} here`,
      ),
      symbol: row.symbol,
      more: row.last == null ? "no trade yet" : `VWAP ${format.cents(row.vwap) ?? "–"} · ${format.rate(row.rate) ?? "–"}/s`,
      change: row.change_percent == null ? "–" : `${format.arrow(row.change_percent)}${format.moved(row.change_percent)}`,
      "change@data-sign": format.sign(row.change_percent),
      "spark@d": spark(row.spark ?? []),
      "cover@data-level": row.coverage == null || row.coverage < LOW ? "low" : "full",
      "covered@style": `width:${row.coverage ?? 0}%`,
    };
  };
  const sorted = [...known.values()].sort((one, other) => (one.symbol < other.symbol ? -1 : 1));
  rows("watch", sorted, by("symbol"), values, queryOf(view));
}

/** Call `choose` with a symbol that is clicked, unless a new tab is asked for. */
export function onChoice(choose) {
  $("watch").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(link.dataset.symbol);
  });
}

const SHAPES = { ok: "●", warn: "▲", fail: "■", skip: "○" };
const WORDS = { ok: "in order", warn: "needs a look", fail: "failed", skip: "not checked" };

export function showHealth({ parts, at }) {
  rows("parts", parts, by("part"), ({ part, state, detail, fix }) => ({
    "chip@data-state": state,
    "chip@data-tip": format.lines(detail, fix && `Try: ${fix}`, `seen at ${format.clock(at)} here`),
    shape: SHAPES[state] ?? "?",
    part,
    state: WORDS[state] ?? state,
    detail: detail ?? "",
  }));
}
