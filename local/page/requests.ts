// What the page asks of its server, parsed. No I/O.
import * as z from "zod";

const Id = z.string().max(64);
const UserIds = z.array(z.string().max(256)).max(100);

const requests = {
  "/send": z.strictObject({
    to: UserIds,
    payload: z.unknown(),
    ttl: z.int(),
    urgency: z.enum(["very-low", "low", "normal", "high"]),
  }),
  "/receipts": z.strictObject({ id: Id, to: UserIds }),
  "/stored": z.strictObject({ id: Id }),
  "/network": z.strictObject({ isAway: z.boolean() }),
  "/devices": z.strictObject({ deviceId: Id, vapidPublicKey: z.string().max(128).optional() }),
  "/expired-token": z.strictObject({ userId: z.string().max(256) }),
} as const;

type Path = keyof typeof requests;

export type PageRequest = {
  readonly [P in Path]: { readonly path: P; readonly body: z.infer<(typeof requests)[P]> };
}[Path];

/** Nothing where the path or the body is not one of these. */
export function parseRequest(path: string, text: string): PageRequest | undefined {
  if (!isPath(path)) return undefined;
  const body = requests[path].safeParse(parseJson(text));
  return body.success ? ({ path, body: body.data } as PageRequest) : undefined; // parsed by the path's own schema
}

function isPath(path: string): path is Path {
  return Object.hasOwn(requests, path);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
