// The reduced JSON Patch (RFC 6902) that installations take (docs/notification-hubs-protocol.md §8.3). What comes out is a document
// that is still to be parsed. No I/O.
import * as z from "zod";
import { type JsonObject, parseJson, toObject } from "./json.ts";
import { err, ok, type Result } from "./result.ts";
import { type Refusal, toInvalidDescription } from "./refusal.ts";

const Patch = z.array(
  z.object({
    op: z
      .string()
      .transform((op) => op.toLowerCase())
      .pipe(z.enum(["add", "replace", "remove"])),
    path: z.string().startsWith("/"),
    value: z.unknown().optional(),
  }),
);

type Step = z.infer<typeof Patch>[number];

/** Applies all of the steps or none. */
export function applyInstallationPatch(document: object, patch: unknown): Result<object, Refusal> {
  const steps = Patch.safeParse(patch);
  if (!steps.success) return err(toInvalidDescription("not a JSON Patch"));
  let current: JsonObject = { ...document };
  for (const step of steps.data) {
    const next = applyStep(current, step);
    if (next === undefined) return err(toInvalidDescription(`${step.op} ${step.path}`));
    current = next;
  }
  return ok(current);
}

function applyStep(document: JsonObject, step: Step): JsonObject | undefined {
  // RFC 6901 §4: ~1 before ~0
  const path = step.path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const [top, ...rest] = path;
  if (rest.length === 0 && (top === "pushChannel" || top === "userId")) return setMember(document, top, step);
  if (top === "tags") return applyToTags(document, rest, step);
  if (top === "templates") return applyToTemplates(document, rest, step);
  if (top !== "secondaryTiles") return undefined;
  return applyBelow(document, "secondaryTiles", rest, step, (tile, [part, ...below]) => {
    if (part === "pushChannel" && below.length === 0) return setMember(tile, part, step);
    if (part === "tags") return applyToTags(tile, below, step);
    return part === "templates" ? applyToTemplates(tile, below, step) : undefined;
  });
}

function applyToTemplates(holder: JsonObject, path: readonly string[], step: Step): JsonObject | undefined {
  return applyBelow(holder, "templates", path, step, (template, [part, ...below]) => {
    if (part === "tags") return applyToTags(template, below, step);
    if (below.length > 0) return undefined;
    // add on headers replaces all of them
    return part === "body" || part === "headers" || part === "expiry"
      ? setMember(template, part, step)
      : undefined;
  });
}

/** `holder[name]` is an object of named things: sets or removes one, or goes into it. */
function applyBelow(
  holder: JsonObject,
  name: string,
  [key, ...rest]: readonly string[],
  step: Step,
  applyInside: (inner: JsonObject, path: readonly string[]) => JsonObject | undefined,
): JsonObject | undefined {
  if (key === undefined || key === "") return undefined;
  const all = toObject(holder[name]) ?? {};
  const inner = Object.hasOwn(all, key) ? toObject(all[key]) : undefined;
  let changed: JsonObject | undefined;
  if (rest.length === 0)
    changed = step.op !== "add" && inner === undefined ? undefined : setMember(all, key, step);
  else {
    const below = inner === undefined ? undefined : applyInside(inner, rest);
    changed = below === undefined ? undefined : { ...all, [key]: below };
  }
  return changed === undefined ? undefined : { ...holder, [name]: changed };
}

/** `add` takes one tag or an array of them; a tag is removed by its value, not by its index. */
function applyToTags(holder: JsonObject, path: readonly string[], step: Step): JsonObject | undefined {
  const tags: readonly unknown[] = Array.isArray(holder["tags"]) ? holder["tags"] : [];
  const [tag, ...below] = path;
  if (below.length > 0) return undefined;
  if (tag !== undefined)
    return step.op === "remove"
      ? setTags(
          holder,
          tags.filter((other) => other !== tag),
        )
      : undefined;
  if (step.op === "remove") return setTags(holder, []);
  const value = fromJsonText(step.value, "[");
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  return { ...holder, tags: [...new Set(step.op === "add" ? [...tags, ...given] : given)] };
}

/** Without tags there is no member (§19, documented). */
function setTags(holder: JsonObject, tags: readonly unknown[]): JsonObject {
  return tags.length === 0 ? withoutMember(holder, "tags") : { ...holder, tags };
}

function withoutMember(holder: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(holder).filter(([other]) => other !== name));
}

function setMember(holder: JsonObject, name: string, step: Step): JsonObject | undefined {
  if (step.op === "remove") return withoutMember(holder, name);
  if (step.value === undefined) return undefined;
  return { ...holder, [name]: name === "headers" ? fromJsonText(step.value, "{") : step.value };
}

/** A value typed as a string may hold the JSON of what is meant. */
function fromJsonText(value: unknown, start: "[" | "{"): unknown {
  if (typeof value !== "string" || !value.trimStart().startsWith(start)) return value;
  return parseJson(value) ?? value;
}
