// The timeline: each step with its time.
import { byId, h } from "./dom.ts";
import type { Model } from "./model.ts";

export function renderTimeline({ timeline }: Model): void {
  const items = timeline.map(({ at, who, what }) => {
    const time = new Date(at).toISOString();
    return h(
      "li",
      {},
      h("time", { datetime: time }, toClock(at)),
      h("span", { class: "who" }, who),
      h("span", {}, what),
    );
  });
  const log = byId("timeline");
  log.replaceChildren(
    items.length === 0
      ? h("p", { class: "muted" }, "Nothing has happened yet. Sign in on a device, then send.")
      : h("ol", {}, ...items),
  );
  log.scrollTop = log.scrollHeight;
}

/** Local time with milliseconds. */
export function toClock(at: number | string): string {
  const date = new Date(at);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(toTwoDigits).join(":");
  return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function toTwoDigits(part: number): string {
  return String(part).padStart(2, "0");
}
