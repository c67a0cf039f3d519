// Parts that were started one after the other, and how to end them.

export interface Closing {
  /** Remembers a part, and returns it. */
  readonly keep: <T extends { readonly close: () => Promise<void> }>(part: T) => T;
  /** Ends the parts, the last one first, since later parts use earlier ones. Ends each part once. */
  readonly close: () => Promise<void>;
}

export function createClosing(): Closing {
  const started: (() => Promise<void>)[] = [];
  return {
    keep: (part) => {
      started.push(part.close);
      return part;
    },
    close: async () => {
      for (const close of started.splice(0).toReversed()) await close();
    },
  };
}
