// Numbers by kind, and times in the exchange's and the reader's zone. Null is unknown, and is never shown as 0.

const formats = new Map();

function cached(kind, options) {
  const key = `${kind}${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl[kind](kind === "NumberFormat" ? "en-US" : "en-GB", options));
  return formats.get(key);
}

const known = (value) => typeof value === "number" && Number.isFinite(value);
const written = (value, options) => (known(value) ? cached("NumberFormat", options).format(value) : null);
const decimals = (value, least, most, signDisplay = "auto") =>
  written(value, { minimumFractionDigits: least, maximumFractionDigits: most, signDisplay });
const withUnit = (shown, unit) => (shown === null ? null : `${shown}${unit}`);
/** Prices below 1 have more decimals. */
const fine = (value, most = 4) => (Math.abs(value) < 1 ? 8 : most);

export const price = (value) => decimals(value, 2, fine(value));
/** A price where there is little room. */
export const cents = (value) => decimals(value, 2, fine(value, 2));
export const move = (value) => decimals(value, 2, fine(value), "exceptZero");
/** A deviation has four digits that count, whatever the size of the price, and cents. */
export const deviation = (value) =>
  written(value, { maximumSignificantDigits: 4, maximumFractionDigits: 2, roundingPriority: "morePrecision" });
export const whole = (value) => decimals(value, 0, 8);
/** With every digit that a number has. */
export const full = (value) =>
  known(value) ? String(value).replace(/^-?\d+(?=\.|$)/, (digits) => decimals(Number(digits), 0, 0)) : null;
export const rate = (value) => decimals(value, 2, 2);
/** Three or four digits with k, M, B or T. */
export const short = (value) => written(value, { notation: "compact", maximumSignificantDigits: 4 });
/** Of a fraction: 0.0123 is 1.23 %. */
export const share = (value) => withUnit(known(value) ? decimals(value * 100, 2, 2) : null, "%");
export const percent = (value) => withUnit(decimals(value, 0, 2), "%");
export const moved = (value) => withUnit(decimals(value, 2, 2, "exceptZero"), "%");
export const sign = (value) => (!known(value) || value === 0 ? "flat" : value > 0 ? "up" : "down");
export const arrow = (value) => ({ up: "▲ ", down: "▼ ", flat: "" })[sign(value)];

/** The parts that are there, a line for each. */
export const lines = (...parts) => parts.filter(Boolean).join("\n");

/** A value of a filing by its unit. */
export function filed(value, unit = "") {
  if (unit === "%") return percent(value);
  if (unit === "x") return withUnit(decimals(value, 1, Math.abs(value) < 0.1 ? 4 : 2), "×");
  return Math.abs(value) >= 1e5 ? short(value) : decimals(value, 0, 4);
}

/** `09:31:00` in a zone; the reader's without one. */
export const clock = (at, timeZone) =>
  at == null ? null : cached("DateTimeFormat", { timeZone, timeStyle: "medium", hourCycle: "h23" }).format(new Date(at));
export const moment = (at, timeZone) =>
  `${cached("DateTimeFormat", { timeZone, dateStyle: "medium" }).format(new Date(at))}, ${clock(at, timeZone)}`;
export const city = (zone) => zone.split("/").pop().replaceAll("_", " ");

/** The time at the exchange, and here where that differs. */
export function both(at, zone) {
  const [there, here] = [clock(at, zone), clock(at)];
  return there === here ? `${there} ${city(zone)}` : `${there} ${city(zone)} · ${here} here`;
}

export function length(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${decimals(seconds, 0, 1)}s`;
  const units = { h: seconds / 3600, m: (seconds / 60) % 60, s: seconds % 60 };
  const parts = Object.entries(units).map(([unit, value]) => [Math.floor(value), unit]);
  return parts
    .filter(([value]) => value)
    .slice(0, 2)
    .map((part) => part.join(""))
    .join(" ");
}
