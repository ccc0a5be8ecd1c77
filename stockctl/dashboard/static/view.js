// The view: what the page shows, as the address bar has it. A link is a view.

const NAMES = ["symbol", "date", "session", "every", "policy", "as_of"];

export function viewFromAddress() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
}

export function queryOf(view, more = {}) {
  const chosen = [...NAMES.map((name) => [name, view[name]]), ...Object.entries(more)].filter(([, value]) => value);
  return new URLSearchParams(chosen).toString().replaceAll("%3A", ":");
}

/** Put the view into the address: as a new entry of the history, or in place of the last one. */
export function remember(view, replace) {
  const address = `?${queryOf(view)}`;
  if (address !== location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
  localStorage.setItem("stockctl.symbol", view.symbol);
  document.title = `${view.symbol} · stockctl`;
}

export const wordsOf = (error) => [error.message, error.hint].filter(Boolean).join("\n");

/** JSON of the API. An error has what happened and what to try; without a login, the browser goes there. */
export async function ask(path, signal) {
  const answer = await fetch(path, { signal });
  if (answer.ok) return answer.json();
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const { error, hint } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(error || `the server answered ${answer.status}`), { hint, status: answer.status });
}
