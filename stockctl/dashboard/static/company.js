// The company's panel: key figures with their formulas, and its statements.

import { $, attribute, by, rows, show, text } from "./dom.js";
import * as format from "./format.js";

const TITLES = { income: "Income", balance: "Balance sheet", cashflow: "Cash flow" };
let statements = {};
let chosen = "income";

const itemKey = (row) => `${chosen} ${row.item} ${row.label}`;
const withUnit = ({ value, unit }) => (value == null ? "not known" : `${format.full(value)} ${unit ?? ""}`);
const withReport = ({ how, concept, accession, accepted, notes, ...figure }) =>
  format.lines(withUnit(figure), how, concept, accession && `${accession}, accepted ${accepted}`, notes);

export function showCompany({ kpis = [], statements: filed = {}, notes = [] }) {
  rows("kpis", kpis, by("name"), (kpi) => ({
    label: kpi.label,
    value: format.filed(kpi.value, kpi.unit ?? ""),
    "@data-tip": format.lines(
      `${kpi.label} = ${kpi.formula ?? "as filed"}`,
      ...(kpi.inputs ?? []).map((input) => `${input.name}: ${withUnit(input)}`),
      `= ${withUnit(kpi)}`,
      kpi.period_end && `period to ${kpi.period_end}`,
      kpi.notes,
    ),
  }));
  rows("company-notes", kpis.length || notes.length ? notes : ["No key figure is known."], String, (note) => ({ note }));
  statements = filed;
  showStatement();
}

function showStatement() {
  const names = Object.keys(TITLES).filter((name) => statements[name]?.rows?.length);
  if (!names.includes(chosen)) chosen = names[0] ?? "income";
  const { periods = [], rows: items = [] } = statements[chosen] ?? {};
  show($("statement"), names.length);
  show($("statement-none"), !names.length);
  attribute($("statement"), "aria-label", TITLES[chosen]);
  const tab = (name) => ({
    "@id": `tab-${name}`,
    "@aria-selected": name === chosen,
    "@tabindex": name === chosen ? 0 : -1,
    title: TITLES[name],
  });
  rows("tabs", names, String, tab, chosen);
  cells($("statement-head"), periods, "th");
  const units = items.map((row) => row.unit?.split("/")[0]).filter((unit) => unit && unit !== "shares");
  text($("statement-head").firstElementChild, `item, ${[...new Set(units)].join(" and ").toUpperCase() || "unit not known"}`);
  rows("statement-rows", items, itemKey, (row, node) => {
    const mark = (index) => (row.cells[index].derived ? "*" : "");
    const values = row.values.map((value, index) => `${format.filed(value, row.unit ?? "") ?? "–"}${mark(index)}`);
    cells(node, values, "td", row.cells.map(withReport));
    return { label: row.label, "label@data-tip": row.formula ? `${row.label} = ${row.formula}` : row.item };
  });
}

/** The cells of a row after its first one. */
function cells(row, values, name, tips = []) {
  while (row.children.length > values.length + 1) row.lastElementChild.remove();
  while (row.children.length <= values.length) row.append(document.createElement(name));
  values.forEach((value, index) => {
    text(row.children[index + 1], value);
    attribute(row.children[index + 1], "data-tip", tips[index]);
  });
}

function choose(tab) {
  if (!tab) return;
  chosen = tab.id.replace("tab-", "");
  showStatement();
  tab.focus();
}

$("tabs").addEventListener("click", (event) => choose(event.target.closest("[role=tab]")));
$("tabs").addEventListener("keydown", ({ key, target }) => {
  if (key === "ArrowRight") choose(target.nextElementSibling);
  if (key === "ArrowLeft") choose(target.previousElementSibling);
});
