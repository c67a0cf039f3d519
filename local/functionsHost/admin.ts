// The part of the real host's /admin that development needs: what is there, and running one function now.
import { findKey, type KeyCheck } from "./access.ts";
import type { FunctionSummary } from "./functionTable.ts";
import { answerEmpty, type HttpCall, writeHead } from "./httpCall.ts";

export interface AdminOptions {
  readonly functions: readonly FunctionSummary[];
  readonly keyCheck: KeyCheck;
  /** Without a master key /admin is open: the host listens on this machine only. */
  readonly isKeyWanted: boolean;
  /** Starts a run and does not wait for it. */
  readonly start: (name: string, input: string) => void;
}

const MAX_BODY_BYTES = 1_048_576;

export async function answerAdmin(call: HttpCall, options: AdminOptions): Promise<void> {
  const { functions, keyCheck, isKeyWanted, start } = options;
  if (isKeyWanted && !keyCheck.isAllowed("admin", findKey(call.headers, call.url)))
    return answerEmpty(call, 401);
  const path = call.url.pathname.replace(/\/$/, "").toLowerCase();
  if (call.method === "GET" && path === "/admin/host/status") return answerJson(call, { state: "Running" });
  if (call.method === "GET" && path === "/admin/functions") return answerJson(call, functions);
  const [, name] = /^\/admin\/functions\/([a-z0-9_-]+)$/.exec(path) ?? [];
  if (call.method !== "POST" || name === undefined) return answerEmpty(call, 404);

  const found = functions.find((candidate) => candidate.name.toLowerCase() === name);
  if (found === undefined) return answerEmpty(call, 404);
  if (!/^application\/json\s*(?:;|$)/i.test(call.headers["content-type"] ?? ""))
    return answerEmpty(call, 415);
  const input = await readInput(call);
  // A function with an HTTP trigger is called by its route.
  if (input === undefined || found.route !== undefined) return answerEmpty(call, 400);
  start(found.name, input);
  return answerEmpty(call, 202);
}

/** `{ "input": "…" }`; undefined when there is no such body. */
async function readInput({ request }: HttpCall): Promise<string | undefined> {
  let text = "";
  try {
    for await (const chunk of request.setEncoding("utf8")) {
      text += String(chunk);
      if (text.length > MAX_BODY_BYTES) return undefined;
    }
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return undefined;
    const input = "input" in body ? body.input : "";
    return typeof input === "string" ? input : JSON.stringify(input);
  } catch {
    return undefined; // no JSON, or the client is gone
  }
}

function answerJson(call: HttpCall, value: unknown): void {
  writeHead(call, 200, [["content-type", "application/json"]]);
  call.response.end(JSON.stringify(value));
}
