// Reads ASN.1 in BER, of which DER is the strict form (X.690): as much as PKCS #12 files need. Some programs write
// those with indefinite lengths and strings in parts, so both are read. No I/O.

export interface BerNode {
  /** The identifier octet: class, the constructed bit, and the number. */
  readonly tag: number;
  /** What is between the header and the end. */
  readonly content: Buffer;
  /** The whole node, header included. */
  readonly encoded: Buffer;
}

export const TAG = { integer: 0x02, octetString: 0x04, oid: 0x06, sequence: 0x30, context0: 0xa0 } as const;

const CONSTRUCTED = 0x20;
const CONTEXT_CLASS = 0x80;
const MAX_DEPTH = 32;

/** The text is not BER, or not what was expected there. Holds nothing of the text. */
export class BerError extends Error {}

/** Reads one node, which must fill the whole buffer. Throws `BerError`. */
export function readBer(bytes: Buffer): BerNode {
  const node = readNode(bytes, 0);
  if (node.encoded.length !== bytes.length) throw new BerError("bytes follow the end");
  return node;
}

/** The nodes of a SEQUENCE or another constructed node. */
export function readChildren(node: BerNode | undefined): readonly BerNode[] {
  if (node === undefined || (node.tag & CONSTRUCTED) === 0) throw new BerError("a sequence was expected");
  return readAll(node.content, 0);
}

/** The single node inside an explicit context tag. */
export function readInner(node: BerNode | undefined): BerNode {
  const [inner] = readChildren(node);
  if (inner === undefined) throw new BerError("an explicit tag is empty");
  return inner;
}

/** The bytes of an OCTET STRING, or of one with an implicit context tag; the parts of a constructed one are joined. */
export function readOctets(node: BerNode | undefined, depth = 0): Buffer {
  const kind = (node?.tag ?? 0) & ~CONSTRUCTED;
  if (node === undefined || (kind !== TAG.octetString && kind !== CONTEXT_CLASS) || depth > MAX_DEPTH)
    throw new BerError("an octet string was expected");
  if ((node.tag & CONSTRUCTED) === 0) return node.content;
  return Buffer.concat(readChildren(node).map((part) => readOctets(part, depth + 1)));
}

/** A small non-negative INTEGER. */
export function readInteger(node: BerNode | undefined): number {
  if (node?.tag !== TAG.integer || node.content.length < 1 || node.content.length > 5)
    throw new BerError("a small integer was expected");
  return node.content.readUIntBE(0, node.content.length);
}

/** An OBJECT IDENTIFIER in dotted form (X.690 §8.19). */
export function readOid(node: BerNode | undefined): string {
  if (node?.tag !== TAG.oid) throw new BerError("an object identifier was expected");
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of node.content) {
    arc = arc * 128 + (octet & 0x7f);
    if ((octet & 0x80) !== 0) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...rest].join(".");
}

function readAll(bytes: Buffer, depth: number): readonly BerNode[] {
  const nodes: BerNode[] = [];
  for (let rest = bytes; rest.length > 0; rest = rest.subarray(nodes.at(-1)?.encoded.length))
    nodes.push(readNode(rest, depth));
  return nodes;
}

function readNode(bytes: Buffer, depth: number): BerNode {
  const [tag, first] = bytes;
  // Numbers above 30 take more octets; certificates and keys have none.
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || depth > MAX_DEPTH)
    throw new BerError("not BER");
  if (first === 0x80) return readIndefinite(bytes, tag, depth);
  const lengthOctets = first < 0x80 ? 0 : first & 0x7f;
  const start = 2 + lengthOctets;
  if (lengthOctets > 4 || bytes.length < start) throw new BerError("a length is out of bounds");
  const length = lengthOctets === 0 ? first : bytes.readUIntBE(2, lengthOctets);
  const end = start + length;
  if (end > bytes.length) throw new BerError("a node is cut off");
  return { tag, content: bytes.subarray(start, end), encoded: bytes.subarray(0, end) };
}

/** X.690 §8.1.3.6: the content is nodes that end with two zero octets. */
function readIndefinite(bytes: Buffer, tag: number, depth: number): BerNode {
  if ((tag & CONSTRUCTED) === 0) throw new BerError("a primitive node without a length");
  let end = 2;
  while (bytes[end] !== 0 || bytes[end + 1] !== 0)
    end += readNode(bytes.subarray(end), depth + 1).encoded.length;
  return { tag, content: bytes.subarray(2, end), encoded: bytes.subarray(0, end + 2) };
}
