import { describe, expect, test } from "vitest";
import { renderTemplate, toProperties } from "../../../packages/notification-hubs-emulator/templates.ts";

const properties = toProperties({ name: "Ada", text: 'He said "hi" & left', n: "42", empty: "", Case: "x" });

function render(body: string) {
  return renderTemplate({ body }, properties);
}

function renderValue(expression: string): unknown {
  const rendered = render(JSON.stringify([expression]));
  if (!rendered.ok) return rendered.error;
  const [value]: readonly unknown[] = JSON.parse(rendered.value.body);
  return value;
}

describe("in a JSON value", () => {
  test.each([
    { expression: "$(name)", expected: "Ada" },
    { expression: "$( NAME )", expected: "Ada" }, // names compare without case
    { expression: "$(case)", expected: "x" },
    { expression: "$(missing)", expected: "" },
    { expression: "$(missing:{nobody})", expected: "nobody" },
    { expression: "$(missing:{a\\}b})", expected: "a}b" },
    { expression: "$(empty:{nobody})", expected: "" }, // empty is not missing
    { expression: "$(name, 2)", expected: "Ad" },
    { expression: "$(name, 20)", expected: "Ada" },
    { expression: "$(missing:{nobody}, 2)", expected: "no" },
    { expression: ".(text, 8)", expected: "He sa..." },
    { expression: ".(name, 3)", expected: "Ada" },
    { expression: ".(name)", expected: "template_invalid" },
    { expression: "%(text)", expected: "He%20said%20%22hi%22%20%26%20left" },
    { expression: "#(n)", expected: 42 },
    { expression: "#(name)", expected: "template_invalid" },
    { expression: "#(missing)", expected: "template_invalid" },
    { expression: "{$(name)}", expected: "Ada" },
    { expression: "{'Hello, ' + $(name) + \"!\"}", expected: "Hello, Ada!" },
    { expression: '{ \'it\'\'s \' + "a ""b""" }', expected: 'it\'s a "b"' },
    { expression: "{'a + b' + $(n)}", expected: "a + b42" },
    { expression: "{'n: ' + #(n)}", expected: "template_invalid" },
    { expression: "{'a' $(name)}", expected: "template_invalid" },
    { expression: "{'a' + }", expected: "template_invalid" },
    { expression: "{}", expected: "template_invalid" },
    { expression: "{'open}", expected: "template_invalid" },
    // text around a bare placeholder is a literal
    { expression: "Hello $(name)", expected: "Hello $(name)" },
    { expression: "$(name) $(name)", expected: "$(name) $(name)" },
    { expression: "'quoted'", expected: "'quoted'" },
    { expression: "", expected: "" },
  ])("$expression becomes $expected", ({ expression, expected }) => {
    expect(renderValue(expression)).toBe(expected);
  });

  test("what is no string stays, names are never expressions, and a value is not rendered twice", () => {
    const body = '{"a":[1,true,null,"$(name)"],"$(name)":{"b":"$(tricky)"}}';
    const rendered = renderTemplate({ body }, toProperties({ name: "Ada", tricky: "$(name)" }));
    expect(rendered).toEqual({
      ok: true,
      value: {
        body: '{"a":[1,true,null,"Ada"],"$(name)":{"b":"$(name)"}}',
        contentType: "application/json;charset=utf-8",
        headers: {},
      },
    });
  });
});

test("in XML, attributes and text are rendered and escaped, and all else stays", () => {
  const body =
    `<?xml version="1.0"?><toast launch="$(text)" b='$(name)'><!-- $(name) --><text id="1"> $(text) </text>` +
    `<text>{'&lt;' + $(name)}</text><text>plain $(name)</text></toast>`;
  const rendered = render(body);
  expect(rendered).toEqual({
    ok: true,
    value: {
      body:
        `<?xml version="1.0"?><toast launch="He said &quot;hi&quot; &amp; left" b="Ada"><!-- $(name) -->` +
        `<text id="1"> He said &quot;hi&quot; &amp; left </text><text>&lt;Ada</text><text>plain $(name)</text></toast>`,
      contentType: "application/xml",
      headers: {},
    },
  });
});

test("a property cannot break out of XML", () => {
  const rendered = renderTemplate(
    { body: '<toast a="$(x)"><t>$(x)</t></toast>' },
    toProperties({ x: `"/><evil a='\u0001` }),
  );
  const escaped = "&quot;/&gt;&lt;evil a=&apos;\uFFFD";
  expect(rendered).toMatchObject({ value: { body: `<toast a="${escaped}"><t>${escaped}</t></toast>` } });
});

test("a raw body is one expression", () => {
  expect(render("$(name)")).toMatchObject({
    value: { body: "Ada", contentType: "application/octet-stream" },
  });
});

test("headers and expiry may be expressions", () => {
  const template = {
    body: "{}",
    headers: { "X-WNS-Type": "wns/raw", "X-WNS-Tag": "{'tag-' + $(n)}" },
    expiry: "$(until)",
  };
  const rendered = renderTemplate(template, toProperties({ n: "42", until: "2030-01-01T00:00:00Z" }));
  expect(rendered).toMatchObject({
    value: { headers: { "x-wns-type": "wns/raw", "x-wns-tag": "tag-42", "apns-expiration": "1893456000" } },
  });
  expect(renderTemplate(template, toProperties({ until: "some day" })).ok).toBe(false);
});

test("of two properties with one name the later layer wins", () => {
  const layered = toProperties({ Name: "variable" }, { name: "sent" });
  expect(renderTemplate({ body: "$(name)" }, layered)).toMatchObject({ value: { body: "sent" } });
});
