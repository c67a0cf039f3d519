// A value that must not be printed. No I/O.
import { inspect } from "node:util";

/**
 * Keeps a secret (a key, a token, a payload) out of logs, errors and JSON: every way of turning it into text
 * gives "[secret]". `reveal()` is the one way to the value, so that each use can be found by searching for it.
 */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}
