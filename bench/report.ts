// How benchmarks tell their results: the median, with every raw value.

export function toSummary(values: readonly number[], digits: number): string {
  return `median ${toMedian(values).toFixed(digits)} (${values.map((value) => value.toFixed(digits)).join(", ")})`;
}

export function toMedian(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
