// XML as the hub writes it: elements without attributes but for the root's namespace. No I/O.

/** The namespace of the hub's own documents. */
const CONNECT_NAMESPACE = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

export function escapeXml(text: string): string {
  // What XML 1.0 §2.2 cannot hold at all becomes the replacement character, so that a reader never chokes.
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\u0020-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

export function unescapeXml(text: string): string {
  return text.replaceAll(
    /&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi,
    (whole, hex, decimal, name) => {
      if (typeof name === "string")
        return Object.keys(ENTITIES).find((char) => ENTITIES[char] === `&${name};`) ?? whole;
      const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

/** An element that holds text. */
export function textElement(name: string, text: string | number): string {
  return `<${name}>${escapeXml(String(text))}</${name}>`;
}

/** An element that holds elements; `children` is XML already. */
export function element(name: string, children: readonly string[]): string {
  return `<${name}>${children.join("")}</${name}>`;
}

/** A whole document of the hub's own namespace. */
export function connectDocument(name: string, children: readonly string[]): string {
  return `<${name} xmlns="${CONNECT_NAMESPACE}">${children.join("")}</${name}>`;
}
