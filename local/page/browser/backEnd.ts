// The left column: the back end sends, and sees receipts.
import type { Receipt } from "../../../clients/sender/types.ts";
import { byId, field, h, replaceChildren } from "./dom.ts";
import type { Model, SentModel } from "./model.ts";
import { post } from "./server.ts";
import { toClock } from "./timeline.ts";

export interface BackEnd {
  readonly model: Model;
  readonly log: (who: string, what: string) => void;
  readonly changed: () => void;
}

const RECEIPTS_INTERVAL_MS = 1_000;
const WHO = "Back end";

export function startBackEnd(backEnd: BackEnd): void {
  const form = byId("send-form") as HTMLFormElement;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(backEnd, form);
  });
  setInterval(() => void refreshReceipts(backEnd), RECEIPTS_INTERVAL_MS);
}

async function send({ model, log, changed }: BackEnd, form: HTMLFormElement): Promise<void> {
  const button = form.querySelector("button");
  const to = field("recipients")
    .value.split(/[\s,]+/)
    .filter(Boolean);
  const text = field("payload").value;
  byId("send-error").textContent = "";
  if (button !== null) button.disabled = true;
  log(WHO, `calls sendSecure for ${to.join(", ")}`);
  try {
    const ttl = Number(field("ttl").value);
    const request = { to, payload: { text }, ttl, urgency: field("urgency").value };
    const sent = await post("/send", request);
    log(WHO, `got ID ${sent.id.slice(0, 8)}…, push: ${sent.push}`);
    model.sent.unshift({ ...sent, to, payload: text, receipts: [] });
    const { rows } = await post("/stored", { id: sent.id });
    model.stored = rows;
  } catch (error) {
    byId("send-error").textContent = error instanceof Error ? error.message : "Sending failed";
    log(WHO, "was refused");
  }
  if (button !== null) {
    button.disabled = false;
    button.focus();
  }
  changed();
}

/** Asks for the receipts of notifications that have not expired and that somebody has not read yet. */
async function refreshReceipts({ model, log, changed }: BackEnd): Promise<void> {
  if (document.hidden) return;
  for (const sent of model.sent) {
    const isOver = Date.parse(sent.expiresAt) < Date.now();
    if (isOver || (sent.receipts.length > 0 && sent.receipts.every(({ readAt }) => readAt !== undefined)))
      continue;
    const before = JSON.stringify(sent.receipts);
    try {
      const { receipts } = await post("/receipts", {
        id: sent.id,
        to: sent.to,
      });
      if (JSON.stringify(receipts) === before) continue;
      logChange(sent, receipts, log);
      sent.receipts = receipts;
      sent.push = toPush(receipts);
      changed();
    } catch {
      return; // the next round tries again
    }
  }
}

function logChange(sent: SentModel, receipts: readonly Receipt[], log: BackEnd["log"]): void {
  for (const { to, push, fetchedAt, readAt } of receipts) {
    const before = sent.receipts.find((known) => known.to === to);
    if (before !== undefined && before.push !== push)
      log(WHO, `sees the receipt of ${to}: ${before.push} → ${push}`);
    if (fetchedAt !== undefined && before?.fetchedAt === undefined)
      log(WHO, `sees the receipt of ${to}: fetched`);
    if (readAt !== undefined && before?.readAt === undefined) log(WHO, `sees the receipt of ${to}: read`);
  }
}

/** One push status for all recipients: a pending push before a failed one, and that before an accepted one. */
function toPush(receipts: readonly Receipt[]): string {
  const statuses = receipts.map(({ push }) => push);
  return (
    (["pending", "failed", "accepted"] as const).find((status) => statuses.includes(status)) ??
    statuses[0] ??
    "unknown"
  );
}

const STYLES: Readonly<Record<string, string>> = { accepted: "good", pending: "wait", failed: "bad" };

export function renderSent({ sent }: Model): void {
  const cards = sent.map(({ id, payload, push, to, receipts }) =>
    h(
      "article",
      { class: "card", "aria-label": `Notification ${id}` },
      h("div", { class: "title-row" }, h("strong", {}, payload), badge(push)),
      h("span", { class: "id" }, id),
      ...(push === "noDevices"
        ? [
            h(
              "p",
              { class: "muted" },
              `No device of ${to.join(", ")} is registered. Sign in on one: it catches up.`,
            ),
          ]
        : []),
      h("dl", {}, ...receipts.flatMap(renderReceipt)),
    ),
  );
  replaceChildren(
    byId("sent"),
    ...(cards.length > 0
      ? cards
      : [h("p", { class: "muted" }, "Nothing sent yet. First sign in on a device.")]),
  );
}

function renderReceipt({ to, push, fetchedAt, readAt }: Receipt): readonly HTMLElement[] {
  const steps = [
    push,
    fetchedAt === undefined ? "not fetched" : `fetched ${toClock(fetchedAt)}`,
    readAt === undefined ? "not read" : `read ${toClock(readAt)}`,
  ];
  return [h("dt", {}, to), h("dd", {}, steps.join(" · "))];
}

function badge(push: string): HTMLElement {
  return h("span", { class: `badge ${STYLES[push] ?? ""}` }, push);
}
