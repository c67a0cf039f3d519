// How benchmarks tell their results: the median, with every raw value.

export function toSummary(values: readonly number[], digits: number): string {
  const median = values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
  return `median ${median.toFixed(digits)} (${values.map((value) => value.toFixed(digits)).join(", ")})`;
}
