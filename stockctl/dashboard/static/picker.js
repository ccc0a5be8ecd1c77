// The symbol's box: a combobox with a list to type ahead in.

import { $, attribute, by, rows, show } from "./dom.js";

const MOST = 60;

export function picker(symbols, choose) {
  const [input, list] = [$("symbol"), $("symbols")];
  let current = "";
  let found = [];
  let active = 0;

  function rank({ symbol, name }, wanted) {
    const place = symbol.toUpperCase().indexOf(wanted);
    if (place === 0) return symbol.length === wanted.length ? 0 : 1;
    return place > 0 ? 2 : (name ?? "").toUpperCase().includes(wanted) ? 3 : 9;
  }
  function mark() {
    [...list.children].forEach((node, index) => attribute(node, "aria-selected", index === active));
    attribute(input, "aria-activedescendant", list.children[active]?.id);
    list.children[active]?.scrollIntoView({ block: "nearest" });
  }
  function open(typed) {
    const wanted = typed.trim().toUpperCase();
    const ranked = symbols.map((row) => ({ ...row, rank: rank(row, wanted) })).filter((row) => row.rank < 9);
    found = ranked.sort((one, other) => one.rank - other.rank).slice(0, typed ? MOST : symbols.length);
    rows("symbols", found, by("symbol"), ({ symbol, name }) => ({ "@id": `symbol-${symbol}`, symbol, name: name ?? "" }));
    const place = found.findIndex((row) => row.symbol === current);
    active = typed || place < 0 ? 0 : place;
    show(list, found.length);
    attribute(input, "aria-expanded", found.length > 0);
    mark();
  }
  function close() {
    show(list, false);
    attribute(input, "aria-expanded", false);
    attribute(input, "aria-activedescendant", null);
    input.value = current;
  }
  function take(symbol) {
    current = symbol;
    input.blur();
    close();
    choose(symbol);
  }

  input.addEventListener("focus", () => open(""));
  input.addEventListener("focus", () => input.select());
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) active = (active + step + found.length) % found.length;
    else if (event.key === "Enter" && input.value.trim()) return take(found[active]?.symbol ?? input.value.trim());
    else if (event.key === "Escape") return input.blur();
    else return;
    event.preventDefault();
    mark();
  });
  // Before the box loses the focus, which closes the list.
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const place = [...list.children].indexOf(event.target.closest("li"));
    if (place >= 0) take(found[place].symbol);
  });
  return {
    step(by) {
      const place = symbols.findIndex((row) => row.symbol === current);
      take(symbols[(place + by + symbols.length) % symbols.length].symbol);
    },
    set(symbol) {
      current = symbol;
      if (document.activeElement !== input) input.value = symbol;
    },
  };
}
