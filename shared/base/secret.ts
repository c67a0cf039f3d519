// A value that must not be printed. No I/O.
import { inspect } from "node:util";

/**
 * Keeps a secret (a key, a token, a payload) out of logs, errors and JSON: whatever turns it into text gets
 * "[secret]". Only `reveal()` returns the value, so a search for it finds every use.
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
