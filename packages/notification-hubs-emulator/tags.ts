// Tags and tag expressions (docs/notification-hubs-protocol.md §9). No I/O.
import { err, ok, type Result } from "./result.ts";
import { type Refusal, toInvalidTag } from "./refusal.ts";

export type TagExpression =
  | { readonly kind: "tag"; readonly tag: string }
  | { readonly kind: "not"; readonly operand: TagExpression }
  | { readonly kind: "and" | "or"; readonly left: TagExpression; readonly right: TagExpression };

/** With only `||`, and with any other operator. The limit of ten that some remember is not confirmed. */
const MAX_TAGS_OF_OR = 20;
const MAX_TAGS_OF_MIXED = 6;
const MAX_TAG_CHARACTERS = 120;
/** Our own: nobody nests deeper, and the parser recurses. */
const MAX_TOKENS = 200;

/** One tag as installations may carry it: those with `$` are made by the hub. */
export function isTag(text: string): boolean {
  return text.length <= MAX_TAG_CHARACTERS && /^[A-Za-z0-9_@#.:-]+$/.test(text);
}

// The braces of the two automatic tags are literal.
const TOKEN =
  /[ \t]*(?:(\|\||&&|!|\(|\))|(\$(?:InstallationId|UserId):\{[-_@#.:=A-Za-z0-9]+\}|[^\s|&!()]+))/iy;

interface Tokens {
  readonly list: readonly string[];
  position: number;
}

/** Precedence is the usual one, `!` before `&&` before `||`; the service does not document its own. */
export function parseTagExpression(text: string): Result<TagExpression, Refusal> {
  const list = tokenize(text);
  if (list === undefined) return invalid("it holds a character that is not allowed");
  if (list.length > MAX_TOKENS) return invalid("it is too long");
  const tags = list.filter((token) => !isOperator(token));
  const bad = tags.find((tag) => !tag.startsWith("$") && !isTag(tag));
  if (bad !== undefined) return err(toInvalidTag(bad));
  if (tags.some((tag) => tag.startsWith("$") && !isAutomaticTag(tag)))
    return invalid("it holds an unknown $");
  const limit = list.some((token) => token === "&&" || token === "!") ? MAX_TAGS_OF_MIXED : MAX_TAGS_OF_OR;
  if (tags.length > limit) return invalid(`it has ${tags.length} tags and may have ${limit}`);
  const tokens: Tokens = { list, position: 0 };
  const expression = parseOr(tokens);
  if (expression === undefined || tokens.position < list.length) return invalid("its operators do not match");
  return ok(expression);
}

/** `tags` in lower case. Whether the service ignores case is not documented; its .NET client's tag set does. */
export function matchesTags(expression: TagExpression, tags: ReadonlySet<string>): boolean {
  if (expression.kind === "tag") return tags.has(expression.tag.toLowerCase());
  if (expression.kind === "not") return !matchesTags(expression.operand, tags);
  const left = matchesTags(expression.left, tags);
  // The shortcut spares work only: both sides are without effect.
  if (left === (expression.kind === "or")) return left;
  return matchesTags(expression.right, tags);
}

function tokenize(text: string): readonly string[] | undefined {
  const list: string[] = [];
  const source = text.replace(/[ \t]+$/, "");
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const match = TOKEN.exec(source);
    const token = match?.[1] ?? match?.[2];
    if (token === undefined) return undefined;
    list.push(token);
  }
  return list;
}

function isOperator(token: string): boolean {
  return /^(?:\|\||&&|[!()])$/.test(token);
}

function isAutomaticTag(token: string): boolean {
  return /^\$(?:InstallationId|UserId):\{[^{}]+\}$/i.test(token);
}

function parseOr(tokens: Tokens): TagExpression | undefined {
  return parseChain(tokens, "||", "or", (rest) => parseChain(rest, "&&", "and", parseNot));
}

function parseChain(
  tokens: Tokens,
  operator: string,
  kind: "and" | "or",
  parseOperand: (tokens: Tokens) => TagExpression | undefined,
): TagExpression | undefined {
  let left = parseOperand(tokens);
  while (left !== undefined && tokens.list[tokens.position] === operator) {
    tokens.position++;
    const right = parseOperand(tokens);
    left = right === undefined ? undefined : { kind, left, right };
  }
  return left;
}

function parseNot(tokens: Tokens): TagExpression | undefined {
  const token = tokens.list[tokens.position++];
  if (token === "!") {
    const operand = parseNot(tokens);
    return operand === undefined ? undefined : { kind: "not", operand };
  }
  if (token === "(") {
    const inner = parseOr(tokens);
    return tokens.list[tokens.position++] === ")" ? inner : undefined;
  }
  return token === undefined || isOperator(token) ? undefined : { kind: "tag", tag: token };
}

function invalid(why: string): Result<never, Refusal> {
  return err({ reason: "tag_expression_invalid", detail: `The tag expression is invalid: ${why}.` });
}
