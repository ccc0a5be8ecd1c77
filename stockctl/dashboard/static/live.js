// Live events: one connection. It ends while the tab is hidden, and each new one begins after a snapshot, so that nothing is missed.

import { queryOf } from "./view.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

export class Live {
  /** `on` has a function for each kind of event, and `open`, `paused`, `lost(reason)`, and `restart`, which takes a snapshot first. */
  constructor(on) {
    Object.assign(this, { on, source: null, timer: null, wait: FIRST_WAIT });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) return on.restart();
      this.close();
      on.paused();
    });
  }

  open(view, after) {
    this.close();
    if (document.hidden) return;
    this.source = new EventSource(`/api/events?${queryOf(view, { after })}`);
    this.source.onopen = () => {
      this.wait = FIRST_WAIT;
      this.on.open();
    };
    this.source.onerror = () => this.retry("the server does not answer");
    for (const kind of ["view", "overview", "health", "stale", "fresh", "resync"])
      this.source.addEventListener(kind, (event) => this.on[kind](JSON.parse(event.data)));
  }

  /** Try again later, each time later than before. */
  retry(reason) {
    this.close();
    this.on.lost(reason);
    this.timer = setTimeout(this.on.restart, this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
