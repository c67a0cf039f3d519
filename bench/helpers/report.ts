// How benchmarks print what they measured: the median with every raw value, and a line for the table of goals.

/** Begins a line for the program that runs the benchmarks (run.ts). It collects these lines and does not show them. */
export const RESULT = "RESULT ";

/** One row of the table of goals. */
export interface Result {
  readonly what: string;
  readonly goal: string;
  readonly measured: string;
  readonly isMet: boolean;
}

export function reportResult(result: Result): void {
  console.log(RESULT + JSON.stringify(result));
}

export interface Goal {
  readonly what: string;
  readonly values: readonly number[];
  readonly digits?: number;
  /** Follows each number of the row. Default: none, as the number is a ratio. */
  readonly unit?: string;
}

/** Prints the values, and reports whether their median is at most the limit. */
export function reportAtMost(goal: Goal, limit: number): void {
  report(goal, `≤ ${limit}`, toMedian(goal.values) <= limit);
}

/** Prints the values, and reports whether their median is at least the limit. */
export function reportAtLeast(goal: Goal, limit: number): void {
  report(goal, `≥ ${limit}`, toMedian(goal.values) >= limit);
}

function report({ what, values, digits = 2, unit = "" }: Goal, goal: string, isMet: boolean): void {
  console.log(`${what} (${goal}): ${toSummary(values, digits)}`);
  reportResult({ what, goal: goal + unit, measured: toMedian(values).toFixed(digits) + unit, isMet });
}

export function toSummary(values: readonly number[], digits: number): string {
  return `median ${toCell(values, digits)}`;
}

export function toMedian(values: readonly number[]): number {
  return toPercentile(values, 0.5);
}

/** The smallest value for which more than this share of the values are no larger (at most the largest value). */
export function toPercentile(values: readonly number[], share: number): number {
  const index = Math.min(values.length - 1, Math.floor(values.length * share));
  return values.toSorted((a, b) => a - b)[index] ?? NaN;
}

/** Divides each value by the other variant's value of the same round. */
export function toRatios(values: readonly number[], others: readonly number[]): readonly number[] {
  return values.map((value, round) => value / (others[round] ?? NaN));
}

/** A table in Markdown; all columns but the first are numbers. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const rule = head.map((_cell, i) => (i === 0 ? "---" : "---:"));
  for (const cells of [head, rule, ...rows]) console.log(`| ${cells.join(" | ")} |`);
}

/** The text of a table's cell: the median, then every raw value. */
export function toCell(values: readonly number[], digits: number): string {
  return `${toMedian(values).toFixed(digits)} (${values.map((value) => value.toFixed(digits)).join(", ")})`;
}
