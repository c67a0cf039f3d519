import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTag, matchesTags, parseTagExpression } from "../../../packages/notification-hubs-emulator/tags.ts";

function matches(text: string, tags: readonly string[]): boolean {
  const parsed = parseTagExpression(text);
  if (!parsed.ok) throw new Error(parsed.error.detail);
  return matchesTags(parsed.value, new Set(tags));
}

function expectRefused(text: string): void {
  expect(parseTagExpression(text)).toMatchObject({
    ok: false,
    error: { reason: expect.stringMatching(/^tag_(?:expression_)?invalid$/) },
  });
}

interface Node {
  readonly text: string;
  readonly isTrue: (tags: readonly string[]) => boolean;
}

const or = (count: number) => Array.from({ length: count }, (_, i) => `t${i}`).join(" || ");
const and = (count: number) => Array.from({ length: count }, (_, i) => `t${i}`).join(" && ");

describe("an expression", () => {
  test.each([
    { text: "a", tags: ["a"], expected: true },
    { text: "a", tags: ["ab"], expected: false },
    { text: "a", tags: [], expected: false },
    { text: "USER:Ab_1", tags: ["user:ab_1"], expected: true }, // case does not count
    { text: "a||b", tags: ["b"], expected: true },
    { text: "a&&b", tags: ["b"], expected: false },
    { text: "a && b", tags: ["a", "b"], expected: true },
    { text: "!a", tags: [], expected: true },
    { text: "!a", tags: ["a"], expected: false },
    { text: "!!a", tags: ["a"], expected: true },
    { text: "! a && b", tags: ["b"], expected: true },
    // && before ||, on either side
    { text: "a || b && c", tags: ["a"], expected: true },
    { text: "a && b || c", tags: ["c"], expected: true },
    { text: "(a || b) && c", tags: ["a"], expected: false },
    { text: "a && (b || c)", tags: ["c"], expected: false },
    // ! before both
    { text: "!a && b", tags: ["a"], expected: false },
    { text: "!a || b", tags: ["a", "b"], expected: true },
    { text: "!(a || b)", tags: ["b"], expected: false },
    { text: "!(a && b)", tags: ["b"], expected: true },
    { text: "((a))", tags: ["a"], expected: true },
    { text: "  ( a )  ", tags: ["a"], expected: true },
    { text: "follows_Red-Sox@x.y#1:z", tags: ["follows_red-sox@x.y#1:z"], expected: true },
    { text: "$InstallationId:{a-1}", tags: ["$installationid:{a-1}"], expected: true },
    { text: "$UserId:{a=b@c.d} && x", tags: ["$userid:{a=b@c.d}", "x"], expected: true },
  ])("$text of the tags $tags is $expected", ({ text, tags, expected }) => {
    expect(matches(text, tags)).toBe(expected);
  });

  test.each([
    { what: "twenty tags in an OR", text: or(20) },
    { what: "six tags in an AND", text: and(6) },
    { what: "six tags with an OR among other operators", text: "a || b || c || d || e && f" },
  ])("may have $what", ({ text }) => {
    expect(parseTagExpression(text).ok).toBe(true);
  });

  test.each(
    [
      ["a ||", "|| a", "a | b", "a & b", "a b", "a !b", "a && || b", "!", "(", ")", "(a", "a)", "()", "a ()"],
      [
        "(a || b))",
        "a || (b && ) c",
        "$UserId:{}",
        "$Other:{a}",
        "$UserId:a",
        "$UserId:{a",
        "a,b",
        "{a}",
        "ä",
      ],
      ["a\u00a0", "a\nb", or(21), and(7), "a || b || c || d || e || f || !g"],
    ].flat(),
  )("that is %s is refused", (text) => {
    expectRefused(text);
  });

  test("with a tag of 121 characters, or nested without end, is refused", () => {
    expectRefused("a".repeat(121));
    expectRefused("(".repeat(5000));
  });

  // No deeper than two, so never more than the six tags that an expression may have.
  test("means what its parentheses say", () => {
    const { node } = fc.letrec<{ node: Node }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 2 },
        fc
          .constantFrom("a", "b", "c")
          .map((tag): Node => ({ text: tag, isTrue: (tags) => tags.includes(tag) })),
        tie("node").map(({ text, isTrue }): Node => ({ text: `!${text}`, isTrue: (tags) => !isTrue(tags) })),
        fc.tuple(tie("node"), tie("node")).map(([left, right]): Node => ({
          text: `(${left.text} && ${right.text})`,
          isTrue: (tags) => left.isTrue(tags) && right.isTrue(tags),
        })),
        fc.tuple(tie("node"), tie("node")).map(([left, right]): Node => ({
          text: `(${left.text}||${right.text})`,
          isTrue: (tags) => left.isTrue(tags) || right.isTrue(tags),
        })),
      ),
    }));
    fc.assert(
      fc.property(node, fc.subarray(["a", "b", "c"]), ({ text, isTrue }, tags) => {
        expect(matches(text, tags)).toBe(isTrue(tags));
      }),
    );
  });

  test("says which tag is invalid, in the service's words", () => {
    expect(parseTagExpression("a || b+c")).toEqual({
      ok: false,
      error: {
        reason: "tag_invalid",
        detail:
          "An invalid tag(s) 'b+c' was supplied. Valid tag characters are alphanumeric, _, @, -, ., : and #.",
      },
    });
  });
});

test.each([
  { tag: "aZ0_@#.:-", valid: true },
  { tag: "a".repeat(120), valid: true },
  { tag: "a".repeat(121), valid: false },
  { tag: "", valid: false },
  { tag: "a b", valid: false },
  { tag: "a||b", valid: false },
  { tag: "$UserId:{a}", valid: false }, // made by the hub alone
  { tag: "é", valid: false },
])("that '$tag' is a tag is $valid", ({ tag, valid }) => {
  expect(isTag(tag)).toBe(valid);
});
