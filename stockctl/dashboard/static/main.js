// The page: loads a view, keeps it live, and listens to keys and controls. It computes nothing: the server does.

import * as chart from "./chart.js";
import { showCompany } from "./company.js";
import { $, attribute, show, text, tooltips } from "./dom.js";
import * as format from "./format.js";
import { Live } from "./live.js";
import { onChoice, showHealth, showOverview } from "./overview.js";
import * as panels from "./panels.js";
import { picker } from "./picker.js";
import { ask, queryOf, remember, viewFromAddress, wordsOf } from "./view.js";

const CHOICES = ["session", "every", "policy"];
let view = viewFromAddress();
let snapshot = null;
let bars = new Map();
let companyKey = "";
let loading = new AbortController();
let box = null;
let since = null;
let zone = "America/New_York";

function state(name, words, problem = null) {
  attribute($("live"), "data-state", name);
  text($("live-text"), words);
  show($("banner"), problem);
  if (problem) text($("banner"), problem);
}

function stale(reason, at = Date.now()) {
  since ??= at;
  state("stale", "Stale", `Stale since ${format.clock(since)}: ${reason}. The page shows what it had then, and tries again.`);
}

function fresh() {
  since = null;
  if (view.as_of) state("past", `As of ${format.clock(view.as_of, snapshot.resolved.timezone)}`);
  else if (snapshot.view.live) state("live", "Live");
  else state("past", "Not live");
}

const restart = () => load({ replace: true, again: true });
const live = new Live({
  open: fresh,
  fresh,
  lost: stale,
  stale: (event) => stale(event.reason, event.since),
  paused: () => state("wait", "Paused"),
  view: applyFrame,
  overview: ({ rows }) => showOverview(rows, view),
  health: showHealth,
  resync: restart,
  restart,
});

function showNumbers() {
  const { numbers, resolved, source, empty } = snapshot;
  panels.showNumbers(snapshot.view.symbol, numbers, resolved.timezone);
  panels.showAbout(snapshot);
  panels.showTable(snapshot.view.symbol, bars, resolved.timezone);
  show($("empty"), empty);
  text($("empty"), empty ?? "");
  show($("simulated"), source.simulated);
  attribute($("simulated"), "data-tip", source.text);
}

/** A frame replaces what it has: numbers by name, bars and points by their time, lists as a whole. */
function applyFrame({ numbers, bars: changed = [], traces, ...whole }) {
  Object.assign(snapshot.numbers, numbers);
  if (changed.length) snapshot.empty = null;
  Object.assign(snapshot, whole);
  for (const bar of changed) bars.set(bar.bar, bar);
  showNumbers();
  panels.showLists(snapshot);
  chart.applyTraces(traces);
}

function showControls() {
  const { resolved, view: shown, source } = snapshot;
  box.set(shown.symbol);
  $("date").value = resolved.date;
  for (const name of CHOICES) $(name).value = resolved[name] ?? shown[name];
  text($("watch-title"), shown.live ? "All symbols" : "All symbols now");
  const slider = $("asof");
  // As of a time before the first trade there is no session: the slider keeps its own, so that it can leave that time.
  if (resolved.since)
    Object.assign(slider, { min: resolved.since, max: Math.max(resolved.since, Math.min(resolved.until, source.read_at)) });
  slider.disabled = !slider.min || !(resolved.since || view.as_of);
  slider.value = view.as_of ? Date.parse(view.as_of) : slider.max;
  showAsOf();
  text($("chart-words"), `${shown.symbol}, ${resolved.session} session of ${resolved.date}. The table below has the numbers.`);
}

function showAsOf() {
  const words = view.as_of ? format.both(view.as_of, snapshot.resolved.timezone) : "newest";
  text($("asof-text"), words);
  attribute($("asof"), "aria-valuetext", words);
  $("asof-live").disabled = !view.as_of;
}

async function loadCompany(signal) {
  const key = `${view.symbol} ${view.as_of ?? ""}`;
  if (key === companyKey) return;
  const path = `/api/company/${encodeURIComponent(view.symbol)}?${queryOf({ as_of: view.as_of })}`;
  const company = await ask(path, signal).catch((error) => ({ notes: [wordsOf(error)] }));
  if (signal.aborted) return;
  companyKey = key;
  showCompany(company);
}

async function loadRest(signal) {
  const [overview, health] = await Promise.all(["/api/overview", "/api/health"].map((path) => ask(path, signal)));
  zone = overview.zone ?? zone;
  showOverview(overview.rows, view);
  showHealth(health);
}

/** Load the view, show it, and follow it. `again` loads the overview too. */
async function load({ replace = false, again = false } = {}) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  live.close();
  remember(view, replace);
  if (!again) state("wait", "Loading");
  attribute($("figure"), "aria-busy", true);
  loadCompany(signal);
  try {
    const rest = again ? loadRest(signal) : null;
    rest?.catch(() => {}); // awaited below, unless the snapshot fails first
    snapshot = await ask(`/api/snapshot?${queryOf(view)}`, signal);
    if (view.as_of) view.as_of = snapshot.view.as_of; // with its zone, however it was written
    snapshot.resolved ??= { date: view.date ?? "", session: snapshot.view.session, timezone: zone };
    bars = new Map(snapshot.bars.map((bar) => [bar.bar, bar]));
    showNumbers();
    panels.showLists(snapshot);
    showControls();
    showOverview([], view);
    chart.showFigure(snapshot.figure);
    fresh();
    await rest;
    if (!signal.aborted) live.open(view, snapshot.id);
  } catch (error) {
    if (signal.aborted || error.status === 401) return;
    if (error.status && error.status < 429) state("none", "Nothing to show", wordsOf(error));
    else live.retry(error.status ? wordsOf(error) : "the server does not answer");
  }
  attribute($("figure"), "aria-busy", false);
}

function choose(changes, options) {
  view = { ...view, ...changes };
  for (const name of Object.keys(view)) if (!view[name]) delete view[name];
  load(options);
}

const chooseSymbol = (symbol) => symbol !== view.symbol && choose({ symbol });
const THEMES = { auto: "◐", light: "☀", dark: "☾" };

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("stockctl.theme", name);
  text($("theme"), THEMES[name]);
  attribute($("theme"), "aria-label", `Theme: ${name}`);
  chart.recolour();
}

const KEYS = {
  "/": () => $("symbol").focus(),
  "[": () => box.step(-1),
  k: () => box.step(-1),
  "]": () => box.step(1),
  j: () => box.step(1),
  l: () => view.as_of && choose({ as_of: null }),
  t: () => {
    const names = Object.keys(THEMES);
    theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
  },
  "?": () => $("help").showModal(),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=range]), select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", KEYS[button.dataset.key]);
  for (const name of ["date", ...CHOICES])
    $(name).addEventListener("change", ({ target }) =>
      choose({ [name]: target.value, ...(name === "date" && { as_of: null }) }),
    );
  let timer = null;
  $("asof").addEventListener("input", ({ target: { value, max } }) => {
    view.as_of = Number(value) >= Number(max) ? null : new Date(Number(value)).toISOString();
    showAsOf();
    clearTimeout(timer);
    timer = setTimeout(choose, 200, {}, { replace: true });
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("table").addEventListener("toggle", () => snapshot && showNumbers());
  addEventListener("popstate", () => {
    view = { symbol: view.symbol, ...viewFromAddress() };
    load({ replace: true });
  });
  onChoice(chooseSymbol);
  tooltips();
}

/** What there is to choose from; nothing works without it, so that it is asked for until it is there. */
async function start() {
  try {
    const choices = await ask("/api/symbols");
    const lists = { session: choices.sessions, every: choices.every, policy: choices.policies };
    for (const name of CHOICES) {
      $(name).replaceChildren(...lists[name].map((value) => new Option(value)));
      $(name).value = view[name] ?? choices.default[name] ?? lists[name][0];
    }
    const kept = choices.symbols.find((row) => row.symbol === localStorage.getItem("stockctl.symbol"));
    view.symbol ??= (kept ?? choices.default ?? choices.symbols[0]).symbol;
    box = picker(choices.symbols, chooseSymbol);
    since = null;
    listen();
    restart();
  } catch (error) {
    if (error.status === 401) return;
    stale(wordsOf(error));
    setTimeout(start, 2000);
  }
}

theme(document.documentElement.dataset.theme);
start();
