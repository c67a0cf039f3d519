// The graphs of the benchmarks: valid XML, with everything that a reader needs, and the same for the same values.
import { expect, test } from "vitest";
import { type Chart, toLineChart } from "../../bench/helpers/svg.ts";

const chart: Chart = {
  title: "Time of a send <1 KB> & more",
  xLabel: "stored rows",
  yLabel: "time, ms",
  categories: ["0", "10,000", "100,000"],
  series: [
    { name: "1 recipient", values: [4, 4.25, 4.123456] },
    { name: "100 recipients", values: [120, 118, 1234.5] },
  ],
};

test("every element is closed, in the order of its opening, and text is escaped", () => {
  const svg = toLineChart(chart);
  const open: string[] = [];
  const rest = svg.replaceAll(
    /<(\/?)([a-z]+)((?: [\w:-]+="[^"<&]*")*)(\/?)>/g,
    (_tag, end, name, _, empty) => {
      if (end === "/") expect(open.pop()).toBe(name);
      else if (empty !== "/") open.push(String(name));
      return "";
    },
  );
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]|&(?!(?:amp|lt|gt);)/);
  expect(svg).toContain("Time of a send &lt;1 KB&gt; &amp; more");
});

test("title, labels, categories and names are in it, and it brings its own background", () => {
  const svg = toLineChart(chart);
  const wanted = [chart.xLabel, chart.yLabel, ...chart.categories, ...chart.series.map(({ name }) => name)];
  for (const text of wanted) expect(svg).toContain(`>${text}</text>`);
  expect(svg).toMatch(/<rect width="\d+" height="\d+" fill="#ffffff"\/>/);
  expect(svg).not.toContain("currentColor");
});

test("the same values make the same file, and other values another", () => {
  expect(toLineChart(chart)).toBe(toLineChart(structuredClone(chart)));
  const [first] = chart.series;
  expect(toLineChart({ ...chart, series: first === undefined ? [] : [first] })).not.toBe(toLineChart(chart));
});

test("the largest value lies inside the plot, and 0 on its axis", () => {
  const svg = toLineChart({ ...chart, series: [{ name: "one", values: [0, 50, 1000] }] });
  const heights = [...svg.matchAll(/<circle cx="[\d.]+" cy="([\d.]+)"/g)].map(([, y]) => Number(y));
  expect(heights).toEqual([350, expect.any(Number), expect.any(Number)]);
  expect(Math.min(...heights)).toBeGreaterThanOrEqual(56);
});

test("a chart without values is still a chart", () => {
  expect(toLineChart({ ...chart, series: [] })).toContain("</svg>");
});
