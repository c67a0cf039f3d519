// The search that other tests rely on finds what it is meant to find.
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { findTraces } from "./traces.ts";

const MARKER = "marker-7f3a9c51e08b+/=?";

test.each<[string, Buffer]>([
  ["text", Buffer.from(`x${MARKER}y`)],
  ["base64", Buffer.from(Buffer.from(MARKER).toString("base64"))],
  ["base64", Buffer.from(Buffer.from(`a${MARKER}`).toString("base64"))],
  ["base64", Buffer.from(Buffer.from(`ab${MARKER}cd`).toString("base64"))],
  ["base64url", Buffer.from(Buffer.from(`{"t":"${MARKER}"}`).toString("base64url"))],
  ["hex", Buffer.from(Buffer.from(`x${MARKER}`).toString("hex"))],
  ["hex in capitals", Buffer.from(Buffer.from(MARKER).toString("hex").toUpperCase())],
  ["UTF-16", Buffer.from(`x${MARKER}`, "utf16le")],
  ["UTF-16", Buffer.from(MARKER, "utf16le").swap16()],
  ["percent-encoded", Buffer.from(encodeURIComponent(MARKER))],
  ["JSON-escaped", Buffer.from(Array.from(MARKER, (c) => `\\u00${c.charCodeAt(0).toString(16)}`).join(""))],
  ["reversed", Buffer.from(Array.from(MARKER).toReversed().join(""))],
  ["compressed text", gzipSync(MARKER)],
  ["compressed text", deflateSync(MARKER)],
  ["compressed text", deflateRawSync(MARKER)],
])("a marker as %s is found", (shape, bytes) => {
  expect(findTraces(bytes, MARKER)).toContain(shape);
});

test("another text is not found", () => {
  expect(findTraces(Buffer.from("marker-7f3a9c51e08c+/=?"), MARKER)).toEqual([]);
});
