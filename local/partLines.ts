// The lines with which a start reports one of its parts. No I/O.
import { wrap } from "./columns.ts";

const NAME_COLUMNS = 18;

/** The part's name in a column of its own, and the text next to it. */
export function toPartLines(name: string, text: string): readonly string[] {
  return wrap(text, { first: `  ${name.padEnd(NAME_COLUMNS)}` });
}
