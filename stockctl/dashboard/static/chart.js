// The figure: the server makes it, this draws it, puts changed points in by their x, and sets the theme's colours.

import { $, show } from "./dom.js";

let figure = null;
let waiting = false;
let revision = 0;

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
  for (const item of $("legend").querySelectorAll("[data-trace]"))
    show(item, figure.data.find((trace) => trace.uid === item.dataset.trace)?.x.length);
  await Plotly.react(chart, figure.data, figure.layout, { displayModeBar: false });
  chart.dataset.frameMs = (performance.now() - began).toFixed(1);
}

export function showFigure(given) {
  figure = given;
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
new ResizeObserver(() => $("chart").data && window.Plotly.Plots.resize($("chart"))).observe($("chart"));
