// The figure: the server makes it, this draws it, puts changed points in by their x, and sets the theme's colours.

import { $, show } from "./dom.js";

let figure = null;
let waiting = false;
let revision = 0;
let isZoomed = false;

const library = new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = "/static/plotly.min.js";
  script.onload = () => resolve(window.Plotly);
  script.onerror = () => reject(new Error("the library of the figure did not load"));
  document.head.append(script);
});
const dark = matchMedia("(prefers-color-scheme: dark)");

function put(object, path, value) {
  const names = path.split(".");
  const last = names.pop();
  for (const name of names) object = object[name] ??= {};
  object[last] = value;
}

export function recolour() {
  if (!figure) return;
  const { palettes, traces, layout } = figure.layout.meta;
  const chosen = document.documentElement.dataset.theme;
  const palette = palettes[chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen];
  for (const trace of figure.data)
    for (const [path, role] of Object.entries(traces[trace.uid] ?? {})) put(trace, path, palette[role]);
  for (const [path, role] of Object.entries(layout)) put(figure.layout, path, palette[role]);
  draw();
}

/** While the reader looks at a part of the time, the price axis fits the candles in it. */
function fit({ xaxis, yaxis }) {
  const [since, until] = xaxis.range.map((time) => time.replace(" ", "T"));
  const { x, low, high } = figure.data.find((one) => one.uid === "price");
  const prices = x.flatMap((time, index) => (time >= since && time <= until && low[index] != null ? [low[index], high[index]] : []));
  const [least, most] = [Math.min(...prices), Math.max(...prices)];
  if (prices.length) Object.assign(yaxis, { autorange: false, range: [least - (most - least) / 20, most + (most - least) / 20] });
}

function zoomed(changed) {
  const touches = (axis) => Object.keys(changed).some((name) => name.startsWith(axis));
  isZoomed &&= !touches("yaxis.");
  if (touches("yaxis.") || !touches("xaxis.")) return;
  isZoomed = touches("xaxis.range");
  figure.layout.yaxis.autorange = !isZoomed;
  draw();
}

/** Draw before the next paint; what changes until then is drawn with it. The frame's time is kept for the benchmark. */
async function draw() {
  if (waiting) return;
  waiting = true;
  const Plotly = await library;
  const chart = $("chart");
  // A drag in progress would be lost.
  do await new Promise(requestAnimationFrame);
  while (chart._dragging);
  waiting = false;
  if (!figure) return;
  const began = performance.now();
  figure.layout.datarevision = ++revision;
  if (isZoomed) fit(figure.layout);
  for (const item of $("legend").querySelectorAll("[data-trace]"))
    show(item, figure.data.find((trace) => trace.uid === item.dataset.trace)?.x.length);
  await Plotly.react(chart, figure.data, figure.layout, { displayModeBar: false });
  if (revision === 1) chart.on("plotly_relayout", zoomed);
  chart.dataset.frameMs = (performance.now() - began).toFixed(1);
}

export function showFigure(given) {
  figure = given;
  isZoomed = false;
  show($("chart"), figure);
  show($("legend"), figure);
  if (!figure) return;
  // The page's own legend has the samples.
  Object.assign(figure.layout, { showlegend: false, margin: { ...figure.layout.margin, t: 8 } });
  recolour();
}

/** Put one point in: replace the one of the same x, or insert it in order of time. */
function upsert(trace, columns, changes, index) {
  const x = changes.x[index];
  let place = trace.x.lastIndexOf(x);
  if (place < 0) {
    place = trace.x.length;
    while (place > 0 && trace.x[place - 1] > x) place -= 1;
    for (const name of columns) trace[name].splice(place, 0, null);
  }
  for (const name of columns) trace[name][place] = changes[name][index];
}

export function applyTraces(changed) {
  if (!figure || !changed?.length) return;
  for (const { uid, replace, ...changes } of changed) {
    const trace = figure.data.find((one) => one.uid === uid);
    if (!trace) continue;
    const columns = Object.keys(changes).filter((name) => Array.isArray(changes[name]));
    for (const name of Object.keys(changes)) if (replace || !columns.includes(name)) trace[name] = changes[name];
    if (!replace) changes.x.forEach((_, index) => upsert(trace, columns, changes, index));
  }
  draw();
}

dark.addEventListener("change", recolour);
new ResizeObserver(([{ target }]) => target.data && target.clientWidth && window.Plotly.Plots.resize(target)).observe($("chart"));
