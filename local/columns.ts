// Text for a terminal of 80 columns. No I/O.

/** Wider terminals get the same lines, so that what is copied from one looks the same everywhere. */
export const COLUMNS = 80;

export interface WrapOptions {
  /** Put before the first line. Later lines are indented by as many spaces. */
  readonly first?: string;
  /** Where a line may end. Default: after a space. JSON is best broken after a comma. */
  readonly after?: " " | ",";
}

/** Breaks a text into lines that fit. A word that is longer than a line gets a line of its own. */
export function wrap(text: string, { first = "", after = " " }: WrapOptions = {}): readonly string[] {
  const indent = " ".repeat(first.length);
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const piece of text.split(after === " " ? /(?<= )/ : /(?<=,)/)) {
    if (!isEmpty && line.length + piece.trimEnd().length > COLUMNS) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += piece;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()];
}
