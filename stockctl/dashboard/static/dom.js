// The document: a row's element is made once for its key, from a template, and then updated in place.

export const $ = (id) => document.getElementById(id);

export function text(node, value) {
  const shown = value ?? "–";
  if (node.textContent !== shown) node.textContent = shown;
}

/** Set an attribute, or remove it for null; what is so already stays untouched. */
export function attribute(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function show(node, shown) {
  if (node.hidden === Boolean(shown)) node.hidden = !shown;
}

/** Put `values` into the parts of `node` with these names in `data-f`: texts, and attributes as `name@attribute`. */
export function fill(node, values) {
  node.parts ??= new Map([node, ...node.querySelectorAll("[data-f]")].map((part) => [part.dataset.f, part]));
  for (const [path, value] of Object.entries(values)) {
    const [name, key] = path.split("@");
    const part = name ? node.parts.get(name) : node;
    if (key) attribute(part, key, value);
    else text(part, value);
  }
}

/** Gives a field of a row. */
export const by = (name) => (row) => row[name];

/** One copy of the template `ID-row` in the element `ID` for each row, in order. A row that is the same object is skipped. */
export function rows(id, data, key, values, about = "") {
  const parent = $(id);
  const known = (parent.known ??= new Map());
  const wanted = new Map(data.map((row) => [String(key(row)), row]));
  for (const [name, node] of known) if (!wanted.has(name)) known.delete(name) && node.remove();
  let place = parent.firstElementChild;
  for (const [name, row] of wanted) {
    let node = known.get(name);
    if (!node) known.set(name, (node = $(`${id}-row`).content.firstElementChild.cloneNode(true)));
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    if (node.row !== row || node.about !== about) fill(node, values(row, node));
    Object.assign(node, { row, about });
  }
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** A number that changed has a tint for a moment; `of` says what it is of, since another symbol's is no change. */
export function number(node, shown, of) {
  const changed = node.of === of && node.textContent !== shown;
  node.of = of;
  text(node, shown);
  if (changed && !still.matches && !document.hidden) node.animate([{ color: "var(--accent)" }, {}], 400);
}

/** One tooltip for all elements with `data-tip`, by pointer and by focus. */
export function tooltips() {
  const tip = $("tip");
  let owner = null;
  const open = ({ target }) => {
    const next = target.closest?.("[data-tip]") ?? null;
    if (next === owner && next) return;
    owner?.removeAttribute("aria-describedby");
    owner = next;
    show(tip, next?.dataset.tip);
    if (tip.hidden) return;
    text(tip, next.dataset.tip);
    next.setAttribute("aria-describedby", "tip");
    const box = next.getBoundingClientRect();
    const fits = box.bottom + tip.offsetHeight + 12 < innerHeight;
    tip.style.top = `${fits ? box.bottom + 6 : box.top - tip.offsetHeight - 6}px`;
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
  };
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, open);
  for (const kind of ["focusout", "scroll"]) document.addEventListener(kind, () => open({ target: document }), true);
  document.addEventListener("keydown", (event) => event.key === "Escape" && open({ target: document }));
}
