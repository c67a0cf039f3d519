// The middle column: what travelled over the push network, byte for byte, beside what is stored.
import { byId, h, listing, replaceChildren } from "./dom.ts";
import type { Model } from "./model.ts";

export function renderEvidence(model: Model): void {
  renderTravelled(model);
  renderStored(model);
}

function renderTravelled({ travelled, sent }: Model): void {
  const box = byId("travelled");
  if (travelled === undefined)
    return replaceChildren(
      box,
      h("p", { class: "muted" }, "Nothing has been pushed to a device of this page."),
    );
  const { network, request, body, isEncrypted, text } = travelled;
  const search = renderSearch(`${request}\n${body}\n${text}`, sent[0]?.payload);
  replaceChildren(
    box,
    h("p", { class: "muted" }, `The service’s request to ${network}:`),
    listing("Request line and headers", request),
    h(
      "p",
      { class: "muted" },
      isEncrypted ? "Its body, encrypted for this browser (RFC 8291), in hexadecimal:" : "Its body:",
    ),
    listing("Body of the request", body),
    h("p", { class: "muted" }, "What the app on the device receives:"),
    listing("Push message on the device", text),
    search,
  );
}

function renderStored({ stored, sent }: Model): void {
  const box = byId("stored");
  if (stored.length === 0)
    return replaceChildren(box, h("p", { class: "muted" }, "Nothing is stored for this page."));
  const texts = stored.map(({ table, columns }) => toRowText(table, columns));
  replaceChildren(
    box,
    h(
      "p",
      { class: "muted" },
      "The row of each recipient. The payload is encrypted (AES-256-GCM), the user id is hashed:",
    ),
    ...texts.map((text, index) => listing(`Row ${index + 1} in Table Storage`, text)),
    renderSearch(texts.join("\n"), sent[0]?.payload),
  );
}

function toRowText(table: string, columns: Model["stored"][number]["columns"]): string {
  return [`table ${table}`, ...columns.map(([name, value]) => `${name}: ${value}`)].join("\n");
}

/** Looks for the payload as text, and as the hexadecimal digits that binary values are shown in. */
function renderSearch(text: string, payload: string | undefined): HTMLElement | undefined {
  if (payload === undefined || payload === "") return undefined;
  const hex = [...new TextEncoder().encode(payload)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  const isFound = text.includes(payload) || text.includes(hex);
  return isFound
    ? h("p", { class: "error" }, "The payload is in it!")
    : h("p", {}, h("span", { class: "badge good" }, "✓ The payload is not in it"));
}
