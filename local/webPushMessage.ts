// What a browser does with the body of a push message: RFC 8188 and RFC 8291, the receiving side, and strictly. No I/O.
import { createDecipheriv, type ECDH, hkdfSync } from "node:crypto";

export interface EncryptedMessage {
  readonly salt: Buffer;
  readonly recordSize: number;
  readonly keyId: Buffer;
  /** All of them, one after the other. */
  readonly records: Buffer;
}

/** A browser's half of a subscription. */
export interface ReceiverKeys {
  /** Holds the user agent's key pair. */
  readonly ecdh: ECDH;
  readonly authSecret: Buffer;
}

const HEADER_BYTES = 21;
const TAG_BYTES = 16;
const PUBLIC_KEY_BYTES = 65;

/** The header of RFC 8188 §2.1. @throws Error when it is cut or its record size is below 18. */
export function parseMessage(body: Buffer): EncryptedMessage {
  if (body.length < HEADER_BYTES) throw new Error("the header is cut");
  const recordSize = body.readUInt32BE(16);
  if (recordSize < 18) throw new Error("the record size is below 18");
  const end = HEADER_BYTES + body.readUInt8(20);
  if (body.length < end) throw new Error("the key id is cut");
  return {
    salt: body.subarray(0, 16),
    recordSize,
    keyId: body.subarray(HEADER_BYTES, end),
    records: body.subarray(end),
  };
}

/** @throws Error when anything differs from RFC 8291 §4: one record, a sender's key on P-256, the exact delimiter. */
export function decryptPush(body: Buffer, { ecdh, authSecret }: ReceiverKeys): Buffer {
  const message = parseMessage(body);
  const { keyId, records, recordSize } = message;
  if (keyId.length !== PUBLIC_KEY_BYTES || keyId[0] !== 4) throw new Error("the key id is not a public key");
  if (records.length >= recordSize)
    throw new Error("the message is not one record that is shorter than its size");
  const info = Buffer.concat([Buffer.from("WebPush: info\0"), ecdh.getPublicKey(), keyId]);
  return decryptRecords(message, hkdf(ecdh.computeSecret(keyId), authSecret, info, 32));
}

/** RFC 8188 §2. @throws Error when a record is forged, cut, or has a wrong delimiter. */
export function decryptRecords({ salt, recordSize, records }: EncryptedMessage, inputKey: Buffer): Buffer {
  const key = hkdf(inputKey, salt, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
  const nonce = hkdf(inputKey, salt, Buffer.from("Content-Encoding: nonce\0"), 12);
  const parts: Buffer[] = [];
  for (let sequence = 0, start = 0; start < records.length; sequence++, start += recordSize) {
    const isLast = start + recordSize >= records.length;
    const record = decryptRecord(records.subarray(start, start + recordSize), key, toNonce(nonce, sequence));
    const end = record.findLastIndex((octet) => octet !== 0);
    if (record[end] !== (isLast ? 2 : 1)) throw new Error("a record has no delimiter, or another's");
    parts.push(record.subarray(0, end));
  }
  if (parts.length === 0) throw new Error("there is no record");
  return Buffer.concat(parts);
}

function decryptRecord(record: Buffer, key: Buffer, nonce: Buffer): Buffer {
  if (record.length <= TAG_BYTES) throw new Error("a record is cut");
  const decipher = createDecipheriv("aes-128-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(record.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(record.subarray(0, -TAG_BYTES)), decipher.final()]);
}

/** RFC 8188 §2.3: XOR with the number of the record. */
function toNonce(base: Buffer, sequence: number): Buffer {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  return nonce;
}

function hkdf(key: Buffer, salt: Buffer, info: Buffer, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", key, salt, info, length));
}
