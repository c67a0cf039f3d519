// Small helpers for building elements. Text is set as text, never as HTML.

type Child = Node | string | undefined;

/** An element with attributes, listeners (`onclick`) and children. An attribute that is `undefined` is left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | (() => void) | undefined>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** @throws Error when the page has no such element. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element ${id}`);
  return element;
}

/** A form field by its id. */
export function field(id: string): HTMLInputElement {
  return byId(id) as HTMLInputElement; // inputs, text areas and selects alike have a `value`
}

/** Replaces the children, and keeps the focus on the button that had it: by its `data-key`, or else on the parent. */
export function replaceChildren(parent: HTMLElement, ...children: readonly Child[]): void {
  const active = parent.contains(document.activeElement) ? document.activeElement : null;
  const key = active instanceof HTMLElement && active !== parent ? active.dataset["key"] : undefined;
  parent.replaceChildren(...children.filter((child) => child !== undefined));
  if (key === undefined) return;
  const same = [...parent.querySelectorAll<HTMLElement>("[data-key]")].find(
    (element) => element.dataset["key"] === key,
  );
  if (same === undefined) parent.setAttribute("tabindex", "-1");
  (same ?? parent).focus();
}

/** Preformatted text that can be scrolled with the keyboard. */
export function listing(label: string, text: string): HTMLElement {
  return h("pre", { tabindex: "0", role: "region", "aria-label": label, "data-key": label }, text);
}
