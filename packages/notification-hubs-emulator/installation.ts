// What an installation may be (docs/notification-hubs-protocol.md §8): parsing, showing, and the registrations that it
// amounts to. No I/O.
import * as z from "zod";
import { toObject } from "./json.ts";
import { err, ok, type Result } from "./result.ts";
import { HUB_PLATFORMS, type HubPlatform, parsePlatform } from "./platforms.ts";
import { type Refusal, toInvalidDescription, toInvalidTag } from "./refusal.ts";
import { isTag } from "./tags.ts";

interface BrowserChannel {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly auth: string;
}

export type HubChannel = string | BrowserChannel;

export type InstallationTemplate = z.infer<typeof Template>;
export type InstallationDocument = z.infer<typeof Document>;

export interface StoredInstallation extends InstallationDocument {
  readonly lastUpdate: string;
  /** True after a push ended as BadChannel or ExpiredChannel, until the next PUT or a new channel. */
  readonly pushChannelExpired: boolean;
}

/** How the service writes "for ever". */
const NEVER = "9999-12-31T23:59:59.9999999Z";

const MAX_TAGS = 60;
const MAX_SERIALIZED_TAGS = 8000;
const MAX_TEMPLATE_NAME_CHARACTERS = 200;

const Text = z.string().min(1);
const Strings = z.record(z.string(), z.string());
const Tags = z.array(z.string());

const Template = z.object({
  body: Text,
  headers: Strings.optional(),
  expiry: z.string().optional(),
  tags: Tags.optional(),
});

const Templates = z.record(Text.max(MAX_TEMPLATE_NAME_CHARACTERS), fromJsonText(Template));

const SecondaryTile = z.object({
  pushChannel: Text,
  tags: Tags.optional(),
  templates: Templates.optional(),
});

const Channel = z.object({ endpoint: z.url(), p256dh: Text, auth: Text });

// Unknown properties are dropped, as is what only the service writes: an installation that was read may be put back.
const Document = z.object({
  installationId: z.string().regex(/^[A-Za-z0-9._-]+$/),
  platform: z
    .string()
    .transform((text) => parsePlatform(text))
    .pipe(z.enum(HUB_PLATFORMS)),
  pushChannel: z.union([Text, Channel]),
  userId: z
    .string()
    .regex(/^[A-Za-z0-9_@#.:=-]+$/)
    .optional(),
  tags: Tags.optional(),
  templates: Templates.optional(),
  pushVariables: Strings.optional(),
  secondaryTiles: z.record(Text, fromJsonText(SecondaryTile)).optional(),
  expirationTime: z
    .string()
    .refine((text) => !Number.isNaN(Date.parse(text)))
    .default(NEVER),
});

/** Some clients type the value of a patch as a string, and put an object's JSON there. */
function fromJsonText<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => {
    if (typeof value !== "string") return value;
    try {
      return withoutNulls(JSON.parse(value));
    } catch {
      return value; // not JSON, or nested too deeply for withoutNulls
    }
  }, schema);
}

/** Parses the whole document of a PUT, or what a PATCH made. The path's ID must be the document's. */
export function parseInstallation(
  value: unknown,
  installationId: string,
): Result<InstallationDocument, Refusal> {
  const parsed = Document.safeParse(withoutNulls(value));
  if (!parsed.success) {
    // Where, but not what: the value may be a push channel.
    const where = parsed.error.issues.map(({ path }) => path.join("/") || "the document").join(", ");
    return err(toInvalidDescription(where));
  }
  const document = parsed.data;
  if (document.installationId !== installationId)
    return err(toInvalidDescription("installationId is not the path's"));
  if (parseChannel(document.platform, document.pushChannel) === undefined)
    return err(toInvalidDescription("pushChannel"));
  const refusal = findTagFault(document);
  return refusal === undefined ? ok(document) : err(refusal);
}

/** .NET writes null for members that are not set (§19). */
function withoutNulls(value: unknown): unknown {
  const object = toObject(value);
  if (object === undefined) return value;
  const members = Object.entries(object).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutNulls(member)]));
}

/** The channel of an installation, whatever the form in which it was put. GET returns it in that form (§19). */
export function toChannel({ platform, pushChannel }: InstallationDocument): HubChannel {
  return parseChannel(platform, pushChannel) ?? pushChannel;
}

/** A browser's channel is an object, or (.NET and Java) a string that holds its JSON. Others are strings. */
function parseChannel(platform: HubPlatform, channel: HubChannel): HubChannel | undefined {
  if (platform !== "browser") return typeof channel === "string" ? channel : undefined;
  const parsed = fromJsonText(Channel).safeParse(channel);
  return parsed.success ? parsed.data : undefined;
}

function findTagFault(document: InstallationDocument): Refusal | undefined {
  const tiles = Object.values(document.secondaryTiles ?? {});
  const templates = [document, ...tiles].flatMap((holder) => Object.values(holder.templates ?? {}));
  for (const { tags = [] } of [document, ...tiles, ...templates]) {
    const bad = tags.find((tag) => !isTag(tag));
    if (bad !== undefined) return toInvalidTag(bad);
    const size = tags.join(",").length;
    if (size > MAX_SERIALIZED_TAGS)
      return {
        reason: "tags_too_large",
        detail:
          `Registration Tags serialized size is more than maximum supported value. ` +
          `Actual Size: '${size}' and Max Allowed Size: '${MAX_SERIALIZED_TAGS}'`,
      };
    if (tags.length > MAX_TAGS)
      return { reason: "tags_too_large", detail: `There are ${tags.length} tags and may be ${MAX_TAGS}.` };
  }
  return undefined;
}

/** As GET shows it, in the order that was recorded. */
export function toInstallationView(stored: StoredInstallation): object {
  const { installationId, pushChannel, pushChannelExpired, platform, expirationTime } = stored;
  const { userId, tags, pushVariables, templates, secondaryTiles, lastUpdate } = stored;
  return {
    installationId,
    pushChannel,
    pushChannelExpired,
    platform,
    expirationTime,
    // A property that is undefined is left out by JSON.stringify.
    userId,
    tags,
    pushVariables,
    templates: templates && toTemplatesView(templates),
    secondaryTiles,
    lastUpdate,
  };
}

/** A template shows its own name among its tags (recorded). */
function toTemplatesView(templates: Readonly<Record<string, InstallationTemplate>>): object {
  return Object.fromEntries(
    Object.entries(templates).map(([name, { body, headers, expiry, tags = [] }]) => [
      name,
      { body, headers, expiry, tags: [...new Set(tags).add(name)] },
    ]),
  );
}

/** One address that a send can reach. An installation has one without a template, and one for each template. */
export interface Registration {
  readonly installationId: string;
  readonly platform: HubPlatform;
  readonly channel: HubChannel;
  readonly template?: { readonly name: string; readonly template: InstallationTemplate };
  readonly variables: Readonly<Record<string, string>>;
  /** In lower case. An installation's own tags apply to its templates too (assumed). */
  readonly tags: ReadonlySet<string>;
}

export function toRegistrations(installation: InstallationDocument): readonly Registration[] {
  const { installationId, platform, userId, pushVariables: variables = {} } = installation;
  const automatic = [
    `$InstallationId:{${installationId}}`,
    ...(userId === undefined ? [] : [`$UserId:{${userId}}`]),
  ];
  const registrations: Registration[] = [];
  const own = { ...installation, pushChannel: toChannel(installation) };
  for (const holder of [own, ...Object.values(installation.secondaryTiles ?? {})]) {
    const common = { installationId, platform, channel: holder.pushChannel, variables };
    const ownTags = [...automatic, ...(holder.tags ?? [])];
    registrations.push({ ...common, tags: toTagSet(ownTags) });
    for (const [name, template] of Object.entries(holder.templates ?? {})) {
      const tags = toTagSet([...ownTags, name, ...(template.tags ?? [])]);
      registrations.push({ ...common, template: { name, template }, tags });
    }
  }
  return registrations;
}

function toTagSet(tags: readonly string[]): ReadonlySet<string> {
  return new Set(tags.map((tag) => tag.toLowerCase()));
}
