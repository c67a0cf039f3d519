// Whether a text can be found in bytes, as it stands or in a shape that some layer on the way could have given it.
import { gunzipSync, gzipSync, inflateRawSync, inflateSync } from "node:zlib";

const SHAPES: Readonly<Record<string, (marker: string) => readonly Buffer[]>> = {
  text: (marker) => [Buffer.from(marker)],
  // A text inside a longer one stands at one of three places of base64's rhythm; what its edges share with their
  // neighbours is left out.
  base64: (marker) => toBase64Cores(marker).map((core) => Buffer.from(core)),
  base64url: (marker) =>
    toBase64Cores(marker).map((core) => Buffer.from(core.replaceAll("+", "-").replaceAll("/", "_"))),
  hex: (marker) => [Buffer.from(Buffer.from(marker).toString("hex"))],
  "hex in capitals": (marker) => [Buffer.from(Buffer.from(marker).toString("hex").toUpperCase())],
  "UTF-16": (marker) => [Buffer.from(marker, "utf16le"), Buffer.from(marker, "utf16le").swap16()],
  "percent-encoded": (marker) => [
    Buffer.from(encodeURIComponent(marker)),
    Buffer.from([...Buffer.from(marker)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")),
  ],
  "JSON-escaped": (marker) => [
    Buffer.from(JSON.stringify(marker).slice(1, -1)),
    Buffer.from(Array.from(marker, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")),
  ],
  reversed: (marker) => [Buffer.from(Array.from(marker).toReversed().join(""))],
};

/** The shapes in which the marker (ASCII, 16 characters or more) stands somewhere in the bytes. */
export function findTraces(bytes: Buffer, marker: string): readonly string[] {
  const found = Object.entries(SHAPES)
    .filter(([, toForms]) => toForms(marker).some((form) => bytes.includes(form)))
    .map(([name]) => name);
  const unpacked = unpack(bytes).flatMap((inner) =>
    findTraces(inner, marker).map((name) => `compressed ${name}`),
  );
  return [...found, ...unpacked];
}

function toBase64Cores(marker: string): readonly string[] {
  return [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(marker)]).toString("base64");
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
}

/** What the bytes hold compressed, as a whole or from a gzip header on. */
function unpack(bytes: Buffer): readonly Buffer[] {
  const header = bytes.indexOf(gzipSync("").subarray(0, 3));
  return [
    ...(header < 0 ? [] : [() => gunzipSync(bytes.subarray(header))]),
    () => inflateSync(bytes),
    () => inflateRawSync(bytes),
  ].flatMap((inflate) => {
    try {
      return [inflate()];
    } catch {
      return [];
    }
  });
}
