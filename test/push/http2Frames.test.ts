// HTTP/2 under the transport of senders: frames that no honest server sends. None of them may end more than its
// session. Sections are of RFC 9113.
import { constants } from "node:http2";
import { describe, expect, test, vi } from "vitest";
import { ACCEPTED, anyCode, createHttp2Bench, post, toFailed } from "../helpers/http2.ts";
import {
  ACK,
  createFrameServer,
  END_HEADERS,
  END_STREAM,
  FRAMES,
  toFields,
  toFrame,
  toHead,
} from "../helpers/http2Frames.ts";

const { NGHTTP2_CANCEL } = constants;
const { create, identity, later } = createHttp2Bench();

describe("what a server may send without harm", () => {
  const settings = toFrame({ type: FRAMES.settings });
  async function talk(
    open: (socket: { write: (bytes: Uint8Array) => unknown; end: () => unknown }) => void,
    onRequest: (stream: number) => Buffer = toHead,
  ) {
    const server = await createFrameServer(
      identity(),
      (socket) => open(socket),
      (frame, socket) => {
        if (frame.type === FRAMES.headers) socket.write(onRequest(frame.stream));
        if (frame.type === FRAMES.settings && frame.flags !== ACK)
          socket.write(toFrame({ type: FRAMES.settings, flags: ACK }));
      },
    );
    later(server.close);
    const transport = create(server.port);
    return { server, transport, result: await post(transport, server.port) };
  }

  /** The first call gets this, and later ones an answer. */
  async function talkOnce(onFirst: (stream: number) => Buffer) {
    let isFirst = true;
    return talk(
      (socket) => socket.write(settings),
      (stream) => {
        if (!isFirst) return toHead(stream);
        isFirst = false;
        return onFirst(stream);
      },
    );
  }

  test("what it does right is answered", async () => {
    expect((await talk((socket) => socket.write(settings))).result).toMatchObject(ACCEPTED);
  });

  test("GOAWAY with the first SETTINGS (§6.8): the call is made on a new session", async () => {
    const goaway = toFrame({ type: FRAMES.goaway, payload: Buffer.alloc(8) });
    let isFirst = true;
    const { server, result } = await talk((socket) => {
      socket.write(isFirst ? Buffer.concat([settings, goaway]) : settings);
      isFirst = false;
    });
    expect(result).toMatchObject(ACCEPTED);
    expect(server.connections()).toBe(2);
  });

  test("no SETTINGS: the call ends at its deadline, and the connection with it", async () => {
    const server = await createFrameServer(identity(), () => undefined);
    later(server.close);
    const transport = create(server.port, { timeoutMs: 200 });
    expect(await post(transport, server.port)).toEqual(toFailed("timeout"));
    expect(await post(transport, server.port)).toEqual(toFailed("timeout"));
    expect(server.connections()).toBe(2);
  });

  test("no answer: the connection is destroyed, also where the peer does not end its side", async () => {
    const closed = Promise.withResolvers<void>();
    const server = await createFrameServer(identity(), (socket) => {
      socket.write(settings);
      socket.on("end", () => {
        const writing = setInterval(() => socket.write(settings), 5);
        socket.on("close", () => {
          clearInterval(writing);
          closed.resolve();
        });
      });
    });
    later(server.close);
    const transport = create(server.port, { timeoutMs: 500 });
    expect(await post(transport, server.port)).toEqual(toFailed("timeout"));
    await closed.promise;
    expect(await post(transport, server.port)).toEqual(toFailed("timeout"));
    expect(server.connections()).toBe(2);
  });

  test.each([
    ["text", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["noise", Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 89) % 256))],
    ["a frame of 16 MiB", Buffer.from([255, 255, 255, 4, 0, 0, 0, 0, 0])],
    ["SETTINGS of seven bytes (§6.5)", toFrame({ type: FRAMES.settings, payload: Buffer.alloc(7) })],
  ])("%s instead of SETTINGS is a failure", async (_what, bytes) => {
    expect((await talk((socket) => socket.write(bytes))).result).toEqual(toFailed(anyCode));
  });

  test("the end of the connection instead of SETTINGS is a failure", async () => {
    expect((await talk((socket) => socket.end())).result).toEqual(toFailed(anyCode));
  });

  test.each<[string, (stream: number) => Buffer]>([
    ["garbage", () => Buffer.alloc(200, 0xee)],
    [
      "PUSH_PROMISE (§8.4)",
      (stream) =>
        toFrame({
          type: FRAMES.pushPromise,
          flags: END_HEADERS,
          stream,
          payload: Buffer.concat([
            Buffer.from([0, 0, 0, 2]),
            toFields({ ":method": "GET", ":scheme": "https", ":authority": "push.example", ":path": "/" }),
          ]),
        }),
    ],
    [
      "DATA before HEADERS (§8.1)",
      (stream) => toFrame({ type: FRAMES.data, stream, payload: Buffer.from("x") }),
    ],
    [
      "a field block that cannot be decoded (§4.3)",
      (stream) =>
        toFrame({
          type: FRAMES.headers,
          flags: END_HEADERS,
          stream,
          payload: Buffer.from([0xff, 0xff, 0xff]),
        }),
    ],
    [
      "an answer without a status (§8.3.2)",
      (stream) =>
        toFrame({
          type: FRAMES.headers,
          flags: END_HEADERS | END_STREAM,
          stream,
          payload: toFields({ location: "/" }),
        }),
    ],
    [
      "a stream that the client never opened",
      () => toFrame({ type: FRAMES.data, stream: 99, payload: Buffer.from("x") }),
    ],
    [
      "1,000 CONTINUATION frames",
      (stream) =>
        Buffer.concat([
          toFrame({ type: FRAMES.headers, stream, payload: toFields({ ":status": "201" }) }),
          ...Array.from({ length: 1000 }, (_, i) =>
            toFrame({ type: FRAMES.continuation, stream, payload: toFields({ [`x-${i}`]: "y" }) }),
          ),
        ]),
    ],
    ...[NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR].map(
      (code): [string, (stream: number) => Buffer] => [
        `RST_STREAM ${code} in the middle of a body`,
        (stream) =>
          Buffer.concat([
            toFrame({
              type: FRAMES.headers,
              flags: END_HEADERS,
              stream,
              payload: toFields({ ":status": "201" }),
            }),
            toFrame({ type: FRAMES.data, stream, payload: Buffer.from("half") }),
            toFrame({ type: FRAMES.reset, stream, payload: Buffer.from([0, 0, 0, code]) }),
          ]),
      ],
    ),
    [
      "an informational answer that ends the stream",
      (stream) => toHead(stream, END_HEADERS | END_STREAM, 103),
    ],
  ])("%s is a failure, and the next call is made", async (_what, onRequest) => {
    const { server, transport, result } = await talkOnce(onRequest);
    expect(result).toEqual(toFailed(anyCode)); // and not the deadline
    await vi.waitFor(async () => expect(await post(transport, server.port)).toMatchObject(ACCEPTED));
  });

  test.each([
    ["PING", toFrame({ type: FRAMES.ping, payload: Buffer.alloc(8) })],
    ["SETTINGS", settings],
    ["empty DATA", toFrame({ type: FRAMES.data, stream: 1 })],
    ["RST_STREAM", toFrame({ type: FRAMES.reset, stream: 1, payload: Buffer.from([0, 0, 0, 8]) })],
  ])("a flood of %s ends no more than its session", async (_what, frame) => {
    const flood = Buffer.concat(Array.from({ length: 50_000 }, () => frame));
    const { server, transport, result } = await talkOnce(() => flood);
    expect(result).toMatchObject({ ok: false });
    await vi.waitFor(async () => expect(await post(transport, server.port)).toMatchObject(ACCEPTED));
  });
});
