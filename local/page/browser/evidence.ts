// The middle column: what travelled over the push network, byte for byte, beside what is stored.
import { byId, h, listing, replaceChildren } from "./dom.ts";
import type { Model } from "./model.ts";

export function renderEvidence(model: Model): void {
  renderTravelled(model);
  renderStored(model);
}

function renderTravelled({ travelled, sent }: Model): void {
  const box = byId("travelled");
  if (travelled.length === 0)
    return replaceChildren(
      box,
      h("p", { class: "muted" }, "Nothing has been pushed to a device of this page."),
    );
  replaceChildren(box, ...travelled.flatMap((one) => renderRequest(one, sent[0]?.payload)));
}

function renderRequest(
  { network, request, body, isEncrypted, text }: Model["travelled"][number],
  payload: string | undefined,
): readonly (HTMLElement | undefined)[] {
  const about = isEncrypted ? "Its body, encrypted for the browser (RFC 8291), in hexadecimal:" : "Its body:";
  return [
    h("h4", {}, network),
    h("p", { class: "muted" }, "The service’s request:"),
    listing(`${network}: request line and headers`, request),
    h("p", { class: "muted" }, about),
    listing(`${network}: body`, body),
    // The hub passes its body on; Web Push encrypts it.
    ...(isEncrypted
      ? [
          h("p", { class: "muted" }, "What the browser decrypts, and hands to the app:"),
          listing(`${network}: on the device`, text),
        ]
      : []),
    renderSearch(`${request}\n${body}\n${text}`, payload),
  ];
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
