// Line charts as SVG: a small file that is the same for the same values, with a white background, so that it can be read on
// any page. No I/O.

export interface Chart {
  readonly title: string;
  /** With the unit. */
  readonly xLabel: string;
  readonly yLabel: string;
  /** The places on the x axis, at equal distances. */
  readonly categories: readonly string[];
  /** One value for each category. */
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
}

const WIDTH = 720;
const HEIGHT = 420;
const PLOT = { left: 80, right: 560, top: 56, bottom: 350 };
const COLOURS = ["#1f5fa8", "#c2410c", "#15803d", "#7e22ce"];
const TICKS = 5;
const INK = "#1f2937";
const GRID = "#d1d5db";

/** The y axis begins at 0. At most four series. */
export function toLineChart({ title, xLabel, yLabel, categories, series }: Chart): string {
  const step = toStep(Math.max(...series.flatMap(({ values }) => values), 0) / TICKS);
  const toX = (i: number) =>
    round(PLOT.left + ((i + 0.5) * (PLOT.right - PLOT.left)) / Math.max(1, categories.length));
  const toY = (value: number) => round(PLOT.bottom - (value / (step * TICKS)) * (PLOT.bottom - PLOT.top));
  const ticks = Array.from({ length: TICKS + 1 }, (_, i) => i * step);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-family="sans-serif" font-size="13" fill="${INK}">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(title, { x: PLOT.left, y: 30, size: 16 }),
    ...ticks.flatMap((value) => [
      `<line x1="${PLOT.left}" y1="${toY(value)}" x2="${PLOT.right}" y2="${toY(value)}" stroke="${GRID}"/>`,
      text(toLabel(value), { x: PLOT.left - 8, y: toY(value) + 4, anchor: "end" }),
    ]),
    ...categories.map((name, i) => text(name, { x: toX(i), y: PLOT.bottom + 20, anchor: "middle" })),
    text(xLabel, { x: (PLOT.left + PLOT.right) / 2, y: PLOT.bottom + 46, anchor: "middle" }),
    `<g transform="rotate(-90 24 ${(PLOT.top + PLOT.bottom) / 2})">`,
    text(yLabel, { x: 24, y: (PLOT.top + PLOT.bottom) / 2, anchor: "middle" }),
    "</g>",
    ...series.flatMap(({ name, values }, i) => {
      const colour = COLOURS[i % COLOURS.length] ?? INK;
      const points = values.map((value, at) => `${toX(at)},${toY(value)}`);
      const legendY = PLOT.top + 16 + i * 24;
      return [
        `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...values.map((value, at) => `<circle cx="${toX(at)}" cy="${toY(value)}" r="3.5" fill="${colour}"/>`),
        ...values.map((value, at) =>
          text(toLabel(value), { x: toX(at), y: toY(value) - 9, anchor: "middle", size: 11 }),
        ),
        `<rect x="${PLOT.right + 20}" y="${legendY - 8}" width="16" height="4" fill="${colour}"/>`,
        text(name, { x: PLOT.right + 44, y: legendY }),
      ];
    }),
    "</svg>",
    "",
  ].join("\n");
}

interface TextOptions {
  readonly x: number;
  readonly y: number;
  readonly anchor?: "start" | "middle" | "end";
  readonly size?: number;
}

function text(content: string, { x, y, anchor = "start", size }: TextOptions): string {
  const fontSize = size === undefined ? "" : ` font-size="${size}"`;
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${fontSize}>${escape(content)}</text>`;
}

/** The next of 1, 2, 5, 10, 20 … that is not smaller. */
function toStep(least: number): number {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}

/** Three significant digits, thousands separated. */
function toLabel(value: number): string {
  const rounded = Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
