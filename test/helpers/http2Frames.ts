// A server that speaks HTTP/2 by hand, frame by frame (RFC 9113 §4.1), for what no library would send.
import { once } from "node:events";
import { createServer, type TLSSocket } from "node:tls";
import { toPort } from "../../local/server.ts";
import type { ServerCertificate } from "./certificates.ts";

/** RFC 9113 §6. */
export const FRAMES = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
/** A flag of SETTINGS. */
export const ACK = 1;
/** Flags of HEADERS. */
export const END_STREAM = 1;
export const END_HEADERS = 4;
const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;

interface Frame {
  readonly type: number;
  readonly flags?: number;
  readonly stream?: number;
  readonly payload?: Uint8Array;
}

interface FrameServer {
  readonly port: number;
  readonly connections: () => number;
  readonly close: () => void;
}

export function toFrame({ type, flags = 0, stream = 0, payload = Buffer.alloc(0) }: Frame): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field block without compression (RFC 7541 §6.2.2); values of at most 126 bytes. */
export function toFields(fields: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
  return Buffer.concat(parts);
}

/** The header section of an answer. */
export function toHead(stream: number, flags = END_STREAM | END_HEADERS, status = 201): Buffer {
  return toFrame({ type: FRAMES.headers, flags, stream, payload: toFields({ ":status": String(status) }) });
}

/**
 * `open` sees every connection once TLS stands, `receive` every frame of the client. Nothing is sent but what they send,
 * not even the server's SETTINGS.
 */
export async function createFrameServer(
  identity: ServerCertificate,
  open: (socket: TLSSocket) => void,
  receive: (frame: Required<Frame>, socket: TLSSocket) => void = () => undefined,
): Promise<FrameServer> {
  const sockets = new Set<TLSSocket>();
  let connections = 0;
  const server = createServer(
    {
      key: identity.privateKey,
      cert: identity.certificate,
      ALPNProtocols: ["h2"],
      allowHalfOpen: true, // a peer that has gone silent does not end its side
    },
    (socket) => {
      connections++;
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
      const read = createReader((frame) => receive(frame, socket));
      socket.on("data", read);
      open(socket);
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: toPort(server),
    connections: () => connections,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Takes bytes as they come, the client's preface first (§3.4). */
function createReader(receive: (frame: Required<Frame>) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let toSkip = PREFACE_BYTES;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    if (rest.length < toSkip) return;
    rest = rest.subarray(toSkip);
    toSkip = 0;
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUIntBE(0, 3);
      if (rest.length < end) return;
      const [, , , type = 0, flags = 0] = rest;
      receive({ type, flags, stream: rest.readUInt32BE(5), payload: rest.subarray(HEAD_BYTES, end) });
      rest = rest.subarray(end);
    }
  };
}
