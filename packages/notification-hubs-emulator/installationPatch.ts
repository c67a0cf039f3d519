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

/** A step as one object inside the document sees it: `path` leads on from that object. */
interface Change extends Omit<Step, "path"> {
  readonly path: readonly string[];
}

function applyStep(document: JsonObject, step: Step): JsonObject | undefined {
  // RFC 6901 §4: ~1 before ~0
  const path = step.path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const [top, change] = descend({ ...step, path });
  if (change.path.length === 0 && (top === "pushChannel" || top === "userId"))
    return setMember(document, top, change);
  if (top === "tags") return applyToTags(document, change);
  if (top === "templates") return applyBelow(document, top, change, applyToTemplate);
  return top === "secondaryTiles" ? applyBelow(document, top, change, applyToTile) : undefined;
}

function applyToTile(tile: JsonObject, step: Change): JsonObject | undefined {
  const [part, change] = descend(step);
  if (part === "pushChannel" && change.path.length === 0) return setMember(tile, part, change);
  if (part === "tags") return applyToTags(tile, change);
  return part === "templates" ? applyBelow(tile, part, change, applyToTemplate) : undefined;
}

function applyToTemplate(template: JsonObject, step: Change): JsonObject | undefined {
  const [part, change] = descend(step);
  if (part === "tags") return applyToTags(template, change);
  if (change.path.length > 0) return undefined;
  // add on headers replaces all of them
  return part === "body" || part === "headers" || part === "expiry"
    ? setMember(template, part, change)
    : undefined;
}

/** The name of the next member, and the change as that member sees it. */
function descend(change: Change): readonly [string | undefined, Change] {
  const [name, ...path] = change.path;
  return [name, { ...change, path }];
}

/** `holder[name]` is an object of named things: sets or removes one, or goes into it. */
function applyBelow(
  holder: JsonObject,
  name: string,
  step: Change,
  applyInside: (inner: JsonObject, change: Change) => JsonObject | undefined,
): JsonObject | undefined {
  const [key, change] = descend(step);
  if (key === undefined || key === "") return undefined;
  const all = toObject(holder[name]) ?? {};
  const inner = Object.hasOwn(all, key) ? toObject(all[key]) : undefined;
  let changed: JsonObject | undefined;
  if (change.path.length === 0)
    changed = change.op !== "add" && inner === undefined ? undefined : setMember(all, key, change);
  else {
    const below = inner === undefined ? undefined : applyInside(inner, change);
    changed = below === undefined ? undefined : { ...all, [key]: below };
  }
  return changed === undefined ? undefined : { ...holder, [name]: changed };
}

/** `add` takes one tag or an array of them; a tag is removed by its value, not by its index. */
function applyToTags(holder: JsonObject, { op, path, value }: Change): JsonObject | undefined {
  const tags: readonly unknown[] = Array.isArray(holder["tags"]) ? holder["tags"] : [];
  const [tag, ...below] = path;
  if (below.length > 0) return undefined;
  if (tag !== undefined)
    return op === "remove"
      ? setTags(
          holder,
          tags.filter((other) => other !== tag),
        )
      : undefined;
  if (op === "remove") return setTags(holder, []);
  const meant = fromJsonText(value, "[");
  const given: readonly unknown[] = Array.isArray(meant) ? meant : [meant];
  return { ...holder, tags: [...new Set(op === "add" ? [...tags, ...given] : given)] };
}

/** Without tags there is no member (§19, documented). */
function setTags(holder: JsonObject, tags: readonly unknown[]): JsonObject {
  return tags.length === 0 ? withoutMember(holder, "tags") : { ...holder, tags };
}

function withoutMember(holder: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(holder).filter(([other]) => other !== name));
}

function setMember(holder: JsonObject, name: string, { op, value }: Change): JsonObject | undefined {
  if (op === "remove") return withoutMember(holder, name);
  if (value === undefined) return undefined;
  return { ...holder, [name]: name === "headers" ? fromJsonText(value, "{") : value };
}

/** A value typed as a string may hold the JSON of what is meant. */
function fromJsonText(value: unknown, start: "[" | "{"): unknown {
  if (typeof value !== "string" || !value.trimStart().startsWith(start)) return value;
  return parseJson(value) ?? value;
}
