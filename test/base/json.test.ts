// Bodies that somebody made to break the parser, and a comparison with JSON.parse over generated ones.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_PAYLOAD_DEPTH, parseJsonBody } from "../../shared/base/json.ts";

const parse = (text: string, verbatim?: string) => parseJsonBody(Buffer.from(text, "utf8"), verbatim);

function faultOf(body: string | Uint8Array): string | undefined {
  const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
  const parsed = parseJsonBody(bytes, "payload");
  return parsed.ok ? undefined : parsed.error.detail;
}

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const nest = (levels: number, inside = "") => "[".repeat(levels) + inside + "]".repeat(levels);

const NOT_UTF8 = "the body: must be UTF-8";
const NOT_JSON = "the body: must be JSON";
const TOO_DEEP = "the body: must have at most 32 levels of arrays and objects in a member";
const TWICE = "the body: must not have a member twice";
const toForbidden = (name: string) => `${JSON.parse(`"${name}"`)}: is not an allowed name`;
const LONE_STRING = "the body: must have no string with an unpaired surrogate";
const LONE_NAME = "the body: must have no name with an unpaired surrogate";
const LONE_PAYLOAD = "payload: must have no string with an unpaired surrogate";

describe("R63: bytes that are not UTF-8 are refused", () => {
  test.each([
    ["bytes that never occur", hex("7b 22 70 22 3a 22 ff c0 22 7d")],
    ["an overlong solidus", hex("22 c0 af 22")],
    ["an overlong NUL", hex("22 c0 80 22")],
    ["a raw high surrogate", hex("22 ed a0 80 22")],
    ["a raw low surrogate", hex("22 ed b0 80 22")],
    ["a surrogate pair in CESU-8", hex("22 ed a0 bd ed b8 80 22")],
    ["a sequence cut short by the string's end", hex("22 e2 82 22")],
    ["a sequence cut short by the body's end", hex("22 61 22 e2 82")],
    ["a lone continuation byte", hex("22 80 22")],
    ["a scalar value past U+10FFFF", hex("22 f4 90 80 80 22")],
    ["five bytes for one character", hex("22 f8 88 80 80 80 22")],
    ["UTF-16 with a byte order mark", Buffer.from("\ufeff{}", "utf16le")],
  ])("%s", (_, bytes) => {
    expect(faultOf(bytes)).toBe(NOT_UTF8);
  });

  test("UTF-16 without a byte order mark is UTF-8 full of NULs, and so not JSON", () => {
    expect(faultOf(Buffer.from("{}", "utf16le"))).toBe(NOT_JSON);
  });

  test("characters of one to four bytes are taken, noncharacters and NUL too", () => {
    const text = "\u007f\u0080\u07ff\u0800\uffff\ufdd0\u{10000}\u{10ffff}";
    const parsed = parse(JSON.stringify({ payload: `${text}\0` }), "payload");
    expect(parsed).toMatchObject({ ok: true, value: { value: { payload: `${text}\0` } } });
  });
});

// Beside these, the "n_" cases of JSONTestSuite (nst/JSONTestSuite, MIT) that lenient parsers are known to take.
describe("R64: what is not JSON is refused", () => {
  test.each([
    "",
    " \n\t\r",
    "\ufeff{}", // RFC 8259 §8.1
    "{",
    "}",
    "]",
    '"',
    '"\\',
    '"\\"',
    "{}}",
    "{} {}",
    '{"a":1}{',
    '{"a":1},',
    '{"a":1}#',
    '{"a":1}\0',
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    '{"a":1,}',
    "{,}",
    "{a:1}",
    "{'a':1}",
    '{"a" 1}',
    '{"a"::1}',
    '{"a","b"}',
    "{1:1}",
    "[1}",
    '{"a":1]',
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "True",
    "nul",
    "nulll",
    "truefalse",
    "+1",
    "-",
    "01",
    "-01",
    "1.",
    ".1",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "1n",
    "１", // full-width digit
    '"\t"',
    '"\n"',
    '"\0"',
    '"\\x41"',
    '"\\u{41}"',
    '"\\u00g0"',
    '"\\u004"',
    '"\\\n"',
    '"\\\u0000"',
    "// comment\n{}",
    "/* comment */{}",
    "\u00a0{}",
    "\u2028{}",
    "\u000b{}",
    "\f{}",
    "\u0085{}",
  ])("%j", (text) => {
    expect(faultOf(text)).toBe(NOT_JSON);
  });
});

describe("R68: a member that stands twice is refused outside the verbatim member", () => {
  test.each([
    ['{"to":"victim","to":"attacker"}', "to"],
    ['{"to":1,"t\\u006f":2}', "to"],
    ['{"payload":1,"payload":2}', "payload"],
    ['{"payload":1,"\\u0070ayload":2}', "payload"],
    ['{"to":[{"a":{"b":1,"b":1}}]}', "b"],
    ['[{"a":1,"a":1}]', "a"],
    // `payload` is kept as text at the top level alone.
    ['{"x":{"payload":{"a":1,"a":2}}}', "a"],
  ])("%s", (text, name) => {
    expect(faultOf(text)).toBe(`${name}: is given twice`);
  });

  // R65: only a short identifier is named.
  test.each([
    '{"":1,"":2}',
    '{"\\"":1,"\\u0022":2}',
    '{"é":1,"\\u00e9":2}',
    '{"😀":1,"\\ud83d\\ude00":2}',
    `{"${"x".repeat(33)}":1,"${"x".repeat(33)}":2}`,
  ])("%s, without its name", (text) => {
    expect(faultOf(text)).toBe(TWICE);
  });

  test.each([
    '{"payload":{"a":1,"a":2}}',
    '{"payload":[{"a":{"b":1,"b":1}}]}',
    '{"p\\u0061yload":{"a":1,"a":2}}',
    '{"to":1,"To":2}',
    '{"\u00e9":1,"e\u0301":2}', // two normalization forms are two names
    '[{"a":1},{"a":1}]',
    '{"a":{"a":{"a":1}}}',
  ])("%s is taken", (text) => {
    expect(faultOf(text)).toBeUndefined();
  });
});

describe("R67: members named like parts of objects are refused outside the verbatim member", () => {
  const names = ["__proto__", "constructor", "prototype", "\\u005f_proto__", "c\\u006fnstructor"];

  test.each(names)("%s", (name) => {
    expect(faultOf(`{"${name}":{"isAdmin":true},"payload":1}`)).toBe(toForbidden(name));
    expect(faultOf(`{"to":[[{"${name}":1}]]}`)).toBe(toForbidden(name));
  });

  test.each(names)("%s is data in the payload, and changes no object", (name) => {
    const text = `{"payload":{"${name}":{"isAdmin":true}}}`;
    const parsed = parse(text, "payload");
    expect(parsed).toMatchObject({ ok: true, value: { source: `{"${name}":{"isAdmin":true}}` } });
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });
});

describe("R66: nesting is bounded", () => {
  test.each([
    ["arrays", (levels: number) => nest(levels)],
    ["objects", (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`],
    ["both", (levels: number) => `${'[{"a":'.repeat(levels / 2)}1${"}]".repeat(levels / 2)}`],
    ["siblings of full depth", (levels: number) => `[${`${nest(levels - 1)},`.repeat(50)}1]`],
  ])("a payload of %s has at most 32 levels", (_, make) => {
    expect(MAX_PAYLOAD_DEPTH).toBe(32);
    expect(faultOf(`{"payload":${make(32)}}`)).toBeUndefined();
    expect(faultOf(`{"payload":${make(34)}}`)).toBe(TOO_DEEP);
  });

  test("33 levels are one too many, whatever stands beside them", () => {
    expect(faultOf(`{"payload":${nest(33)}}`)).toBe(TOO_DEEP);
    expect(faultOf(`{"payload":${nest(33, '"]]]]"')}}`)).toBe(TOO_DEEP);
    expect(faultOf(`{"to":[],"payload":[[]],"a":"}}}","b":${nest(33)}}`)).toBe(TOO_DEEP);
  });

  test("brackets in strings are no levels, behind escaped quotes and backslashes neither", () => {
    const brackets = "[{".repeat(100);
    for (const inside of [brackets, `\\"${brackets}`, `\\\\\\"${brackets}`, `${brackets}\\\\`])
      expect(faultOf(`{"payload":"${inside}"}`)).toBeUndefined();
    expect(faultOf(`{"payload":["\\\\",${nest(32)}]}`)).toBe(TOO_DEEP);
  });

  test.each(["[", "{", '{"a":', '{"payload":[', '["', "]["])("a million of %s are refused", (piece) => {
    expect([TOO_DEEP, NOT_JSON]).toContain(faultOf(piece.repeat(1_000_000)));
  });
});

describe("R70: unpaired surrogates are refused, in names too", () => {
  test.each([
    ['"\\ud800"', LONE_STRING],
    ['"\\udc00"', LONE_STRING],
    ['"\\uDBFFx\\uDFFF"', LONE_STRING],
    ['"\\udc00\\ud800"', LONE_STRING],
    ['"\\ud83d\\\\ude00"', LONE_STRING],
    ['["a",{"b":"\\ud800"}]', LONE_STRING],
    ['{"\\ud800":1}', LONE_NAME],
    ['{"to":{"a\\udfff":1}}', LONE_NAME],
    ['{"payload":"\\ud800"}', LONE_PAYLOAD],
    ['{"payload":{"\\ud800":1}}', LONE_PAYLOAD],
    ['{"payload":[[{"a":["\\udfff"]}]]}', LONE_PAYLOAD],
    ['{"payload":1,"to":"\\ud800"}', LONE_STRING],
    ['"😀\\ude00"', LONE_STRING], // a raw character before it completes nothing
  ])("%s", (text, fault) => {
    expect(faultOf(text)).toBe(fault);
  });

  test.each(['"\\ud83d\\ude00"', '"😀"', '"\\\\ud800"', '{"payload":["\\uD83D\\uDE00","\\\\udc00"]}'])(
    "%s is taken",
    (text) => {
      expect(faultOf(text)).toBeUndefined();
    },
  );
});

describe("the source text of the verbatim member", () => {
  // R69 and R70: to the byte
  test.each([
    "12345678901234567890",
    "1.10",
    "-0",
    "-0.0e-0",
    "1E400",
    "1e-400",
    '"\\u0041\\/\\u0000"',
    '"e\u0301 \u00e9 \u202e \u{1f468}\u200d\u{1f469} \u2028 \u007f"',
    "[ ]",
    "{ }",
    '{"b" : 1 ,\n\t"a" :\r[ 1 , 2.50 ] }',
    '{"a":1,"a":2.0}',
    '"</script><!--"',
    "null",
    "true",
    "false",
    '""',
    '"}],{["',
    '{"payload":{"payload":1.0}}',
    "[1,2,3,[4,[5]],{}]",
  ])("%j comes back as it was given", (source) => {
    for (const text of [
      `{"payload":${source}}`,
      `\n{ "to" : "a" ,"payload" :\t ${source} \r\n, "ttl" : 60 }\n`,
      `{"a":[1,{"payload":2}],"payload":${source}}`,
    ])
      expect(parse(text, "payload")).toMatchObject({ ok: true, value: { source } });
  });

  test.each([
    ["{}", "payload"],
    ['{"x":{"payload":1}}', "payload"],
    ['[{"payload":1}]', "payload"],
    ['"payload"', "payload"],
    ['{"Payload":1}', "payload"],
    ['{"payload":1}', undefined],
  ])("%s has none for %s", (text, verbatim) => {
    const parsed = parse(text, verbatim);
    expect(parsed.ok && "source" in parsed.value).toBe(false);
    expect(parsed.ok).toBe(true);
  });

  test("without a verbatim member all of the body is judged", () => {
    expect(parse('{"payload":{"a":1,"a":2}}').ok).toBe(false);
    expect(parse('{"payload":{"__proto__":1}}').ok).toBe(false);
  });

  test.each([
    ["a long fraction", `0.${"1".repeat(5000)}`],
    ["a long number", "9".repeat(500_000)],
    [
      "half a megabyte of text and as much of numbers",
      `["${"x".repeat(500_000)}",${"1234567890,".repeat(50_000)}1]`,
    ],
    ["a hundred thousand escapes", `"${"\\u0041".repeat(100_000)}"`],
  ])("%s comes back as it was given", (_, source) => {
    const parsed = parse(`{"payload":${source}}`, "payload");
    expect(parsed.ok && parsed.value.source === source).toBe(true);
  });
});

test("R65: a detail contains nothing of the body but a member's name that is a short identifier", () => {
  for (const text of [
    "marker",
    '{"a":"marker","a":"marker"}',
    '{"marker ":1,"marker ":2}',
    '{"__proto__":"marker"}',
    '{"marker\\ud800":1}',
    '"marker\\ud800"',
    `"marker"${nest(40)}`,
  ])
    expect(JSON.stringify(parse(text, "payload"))).not.toContain("marker");
});

// A JSON text, and what our rules say of it, known by construction and not by parsing.
interface Made {
  readonly text: string;
  readonly isTwice: boolean;
  readonly isForbidden: boolean;
  readonly isLone: boolean;
}

const space = fc.stringMatching(/^[ \t\r\n]{0,2}$/);
const quoted = fc
  .array(
    fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 3 }).map((text) => ({ text, isEscaped: false })),
      fc.string({ unit: "binary", maxLength: 2 }).map((text) => ({ text, isEscaped: true })),
      fc.constantFrom("\ud800", "\udc00", "__proto__").map((text) => ({ text, isEscaped: true })),
    ),
    { maxLength: 2 },
  )
  .map((parts) => {
    const value = parts.map((part) => part.text).join("");
    const escaped = parts.map(({ text, isEscaped }) =>
      isEscaped
        ? text
            .split("")
            .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
            .join("")
        : JSON.stringify(text).slice(1, -1),
    );
    return { value, text: `"${escaped.join("")}"` };
  });
const name = fc
  .oneof(
    { arbitrary: quoted, weight: 4 },
    { arbitrary: fc.constantFrom("a", "b", "payload", "constructor"), weight: 1 },
  )
  .map((made) => (typeof made === "string" ? { value: made, text: JSON.stringify(made) } : made));
const toLeaf = (text: string, isLone = false): Made => ({
  text,
  isTwice: false,
  isForbidden: false,
  isLone,
});
const toWhole = (text: string, parts: readonly Made[]): Made => ({
  text,
  isTwice: parts.some((part) => part.isTwice),
  isForbidden: parts.some((part) => part.isForbidden),
  isLone: parts.some((part) => part.isLone),
});
const { value: madeValue } = fc.letrec<{ value: Made }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: "json" },
    fc
      .oneof(
        fc.stringMatching(/^-?(?:0|[1-9]\d{0,20})(?:\.\d{1,20})?(?:[eE][+-]?\d{1,4})?$/),
        fc.constantFrom("null", "true", "false"),
      )
      .map((text) => toLeaf(text)),
    quoted.map(({ text, value }) => toLeaf(text, !value.isWellFormed())),
    fc
      .tuple(fc.array(tie("value"), { maxLength: 3, depthIdentifier: "json" }), space)
      .map(([items, s]) => toWhole(`[${s}${items.map((item) => item.text).join(`${s},${s}`)}${s}]`, items)),
    fc
      .tuple(fc.array(fc.tuple(name, tie("value")), { maxLength: 3, depthIdentifier: "json" }), space)
      .map(([members, s]): Made => {
        const names = members.map(([{ value }]) => value);
        const texts = members.map(([n, value]) => `${n.text}${s}:${s}${value.text}`);
        const whole = toWhole(
          `{${s}${texts.join(`${s},${s}`)}${s}}`,
          members.map(([, value]) => value),
        );
        return {
          text: whole.text,
          isTwice: whole.isTwice || new Set(names).size < names.length,
          isForbidden:
            whole.isForbidden || names.some((n) => ["__proto__", "constructor", "prototype"].includes(n)),
          isLone: whole.isLone || names.some((n) => !n.isWellFormed()),
        };
      }),
  ),
}));

describe("generated bodies", () => {
  test("are taken as JSON.parse takes them, but for the refusals that the rules name", () => {
    fc.assert(
      fc.property(madeValue, space, (made, s) => {
        const text = s + made.text + s;
        const parsed = parse(text);
        if (made.isTwice || made.isForbidden || made.isLone) expect(parsed.ok).toBe(false);
        else expect(parsed).toEqual({ ok: true, value: { value: JSON.parse(text) as unknown } });
      }),
      { numRuns: 2000 },
    );
  });

  test("give back a payload's source text, whatever it is but unpaired", () => {
    fc.assert(
      fc.property(madeValue, space, fc.boolean(), (made, s, isFirst) => {
        const member = `"payload"${s}:${s}${made.text}${s}`;
        const text = isFirst ? `{${member},"to":[1]}` : `{"to":[1],${member}}`;
        const parsed = parse(text, "payload");
        if (made.isLone) expect(parsed).toMatchObject({ ok: false, error: { detail: LONE_PAYLOAD } });
        else expect(parsed).toMatchObject({ ok: true, value: { source: made.text } });
      }),
      { numRuns: 2000 },
    );
  });

  test("that were damaged anywhere are never taken where JSON.parse refuses them, and nothing is thrown", () => {
    const damage = fc.tuple(
      madeValue,
      fc.nat(),
      fc.nat({ max: 2 }),
      fc.oneof(fc.string({ maxLength: 2 }), fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "\\u")),
    );
    fc.assert(
      fc.property(damage, ([{ text }, at, cut, put]) => {
        const place = at % (text.length + 1);
        const damaged = (text.slice(0, place) + put + text.slice(place + cut)).toWellFormed();
        let isJson = true;
        try {
          JSON.parse(damaged);
        } catch {
          isJson = false;
        }
        for (const verbatim of [undefined, "payload", "a"]) {
          const parsed = parse(damaged, verbatim);
          if (!isJson) expect(parsed.ok).toBe(false);
          if (!parsed.ok && isJson) expect(parsed.error.detail).not.toBe(NOT_JSON);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("of any bytes are answered, never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(typeof parseJsonBody(bytes, "payload").ok).toBe("boolean");
      }),
    );
  });
});
