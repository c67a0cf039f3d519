// The body of a batch send: lenient, because the SDK writes `boundary = "…"` with spaces, no line end behind the
// last delimiter, and `Content-type`. No I/O.
import { parseJson } from "./json.ts";

export interface MultipartPart {
  /** From Content-Disposition, in lower case. */
  readonly name: string;
  readonly contentType: string;
  readonly body: Buffer;
}

/** Undefined when there is no boundary or the body does not hold to it. */
export function parseMultipart(contentType: string, body: Buffer): readonly MultipartPart[] | undefined {
  const match = /^multipart\/[a-z-]+\s*;.*?boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) return undefined;
  // latin1 keeps every byte as one character.
  const [, ...sections] = `\r\n${body.toString("latin1")}`.split(`\r\n--${boundary}`);
  const last = sections.pop();
  if (!last?.startsWith("--")) return undefined;
  return sections.map(parsePart).filter((part) => part !== undefined);
}

function parsePart(section: string): MultipartPart | undefined {
  const end = section.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const headers = new Map(
    section
      .slice(0, end)
      .split("\r\n")
      .map((line) => {
        const colon = line.indexOf(":");
        return [
          line.slice(0, Math.max(0, colon)).trim().toLowerCase(),
          line.slice(colon + 1).trim(),
        ] as const;
      }),
  );
  const name = /;\s*name\s*=\s*"?([^";\s]+)/i.exec(headers.get("content-disposition") ?? "")?.[1];
  return {
    name: name?.toLowerCase() ?? "",
    contentType: headers.get("content-type") ?? "",
    body: Buffer.from(section.slice(end + 4), "latin1"),
  };
}

/** The device handles of a batch: an array of strings that are not empty. */
export function parseDevices(body: Buffer | undefined): readonly string[] | undefined {
  const value = parseJson(body?.toString("utf8") ?? "");
  if (!Array.isArray(value)) return undefined;
  const devices = value.filter((device): device is string => typeof device === "string" && device !== "");
  return devices.length === value.length ? devices : undefined;
}
