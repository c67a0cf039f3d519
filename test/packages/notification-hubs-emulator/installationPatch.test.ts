import { describe, expect, test } from "vitest";
import { applyInstallationPatch } from "../../../packages/notification-hubs-emulator/installationPatch.ts";

const document = {
  installationId: "i1",
  platform: "wns",
  pushChannel: "channel",
  userId: "u",
  tags: ["a", "b"],
  templates: { t: { body: "$(x)", headers: { "X-WNS-Type": "wns/raw" }, tags: ["tt"] } },
  secondaryTiles: { tile: { pushChannel: "tile", tags: ["c"], templates: {} } },
};

const { headers: _, ...withoutHeaders } = document.templates.t;

describe("a patch", () => {
  test.each<{ step: object; changed: object }>([
    { step: { op: "replace", path: "/pushChannel", value: "new" }, changed: { pushChannel: "new" } },
    { step: { op: "Replace", path: "/userId", value: "v" }, changed: { userId: "v" } },
    { step: { op: "add", path: "/tags", value: "c" }, changed: { tags: ["a", "b", "c"] } },
    { step: { op: "add", path: "/tags", value: "a" }, changed: { tags: ["a", "b"] } },
    { step: { op: "add", path: "/tags", value: ["b", "c"] }, changed: { tags: ["a", "b", "c"] } },
    { step: { op: "add", path: "/tags", value: '["c","d"]' }, changed: { tags: ["a", "b", "c", "d"] } },
    { step: { op: "replace", path: "/tags", value: ["z"] }, changed: { tags: ["z"] } },
    { step: { op: "remove", path: "/tags/a" }, changed: { tags: ["b"] } },
    { step: { op: "remove", path: "/tags/nobody" }, changed: {} },
    { step: { op: "remove", path: "/tags" }, changed: { tags: undefined } },
    {
      step: { op: "add", path: "/templates/n", value: '{"body":"x"}' },
      changed: { templates: { ...document.templates, n: '{"body":"x"}' } }, // parsed with the document
    },
    { step: { op: "remove", path: "/templates/t" }, changed: { templates: {} } },
    {
      step: { op: "replace", path: "/templates/t/body", value: "$(y)" },
      changed: { templates: { t: { ...document.templates.t, body: "$(y)" } } },
    },
    {
      step: { op: "add", path: "/templates/t/headers", value: { a: "b" } },
      changed: { templates: { t: { ...document.templates.t, headers: { a: "b" } } } },
    },
    {
      step: { op: "add", path: "/templates/t/headers", value: '{"a":"b"}' },
      changed: { templates: { t: { ...document.templates.t, headers: { a: "b" } } } },
    },
    {
      step: { op: "remove", path: "/templates/t/headers" },
      changed: { templates: { t: withoutHeaders } },
    },
    {
      step: { op: "add", path: "/templates/t/tags", value: "uu" },
      changed: { templates: { t: { ...document.templates.t, tags: ["tt", "uu"] } } },
    },
    {
      step: { op: "remove", path: "/templates/t/tags/tt" },
      changed: { templates: { t: { ...document.templates.t, tags: undefined } } },
    },
    {
      step: { op: "add", path: "/secondaryTiles/tile/tags", value: "d" },
      changed: { secondaryTiles: { tile: { ...document.secondaryTiles.tile, tags: ["c", "d"] } } },
    },
    {
      step: { op: "replace", path: "/secondaryTiles/tile/pushChannel", value: "new" },
      changed: { secondaryTiles: { tile: { ...document.secondaryTiles.tile, pushChannel: "new" } } },
    },
    {
      step: { op: "add", path: "/secondaryTiles/tile/templates/a~1b", value: { body: "x" } },
      changed: {
        secondaryTiles: { tile: { ...document.secondaryTiles.tile, templates: { "a/b": { body: "x" } } } },
      },
    },
  ])("of $step changes just that", ({ step, changed }) => {
    const before = structuredClone(document);
    expect(applyInstallationPatch(document, [step])).toEqual({
      ok: true,
      value: { ...document, ...changed },
    });
    expect(document).toEqual(before);
  });

  test.each<{ patch: unknown }>([
    { patch: undefined },
    { patch: { op: "add", path: "/tags", value: "c" } },
    { patch: [{ op: "move", path: "/tags", from: "/userId" }] },
    { patch: [{ op: "add", path: "tags", value: "c" }] },
    { patch: [{ op: "add", path: "/installationId", value: "i2" }] },
    { patch: [{ op: "add", path: "/platform", value: "apns" }] },
    { patch: [{ op: "add", path: "/tags/c", value: "c" }] },
    { patch: [{ op: "replace", path: "/userId" }] },
    { patch: [{ op: "remove", path: "/templates/nobody" }] },
    { patch: [{ op: "replace", path: "/templates/nobody/body", value: "x" }] },
    { patch: [{ op: "replace", path: "/templates/t/name", value: "x" }] },
    { patch: [{ op: "replace", path: "/templates/__proto__/body", value: "x" }] },
    { patch: [{ op: "add", path: "/templates", value: {} }] },
    {
      patch: [
        { op: "add", path: "/tags", value: "c" },
        { op: "add", path: "/nothing", value: 1 },
      ],
    },
  ])("that is $patch is refused as a whole", ({ patch }) => {
    expect(applyInstallationPatch(document, patch)).toMatchObject({
      ok: false,
      error: { reason: "description_invalid" },
    });
  });
});
