// HTTP/2 under the transport of senders: when a session takes no more calls, and which of its calls are made again.
// Sections are of RFC 9113 unless named.
import { constants, type ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { CUT_OFF } from "../../shared/push/sender.ts";
import {
  accept,
  ACCEPTED,
  answerHttp1,
  anyCode,
  createHttp2Bench,
  post,
  toFailed,
} from "../helpers/http2.ts";
import { ACK, createFrameServer, END_HEADERS, FRAMES, toFrame, toHead } from "../helpers/http2Frames.ts";

const { NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } =
  constants;
const { create, identity, later, serve } = createHttp2Bench();

const MAX_STREAM_ID = 2 ** 31 - 1;
/** SETTINGS_MAX_CONCURRENT_STREAMS (§6.5.2). */
const ONE_STREAM = toFrame({ type: FRAMES.settings, payload: Buffer.from([0, 3, 0, 0, 0, 1]) });

function toGoaway(lastStreamId: number, code: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  return toFrame({ type: FRAMES.goaway, payload });
}

/** A server by hand. `receive` sees the HEADERS of each call, with the number of its connection, from 1. */
async function serveFrames(
  receive: (call: { connection: number; stream: number; socket: TLSSocket }) => void,
  settings = toFrame({ type: FRAMES.settings }),
) {
  const sockets: TLSSocket[] = [];
  const server = await createFrameServer(
    identity(),
    (socket) => {
      sockets.push(socket);
      socket.write(settings);
    },
    ({ type, flags, stream }, socket) => {
      if (type === FRAMES.settings && flags !== ACK)
        socket.write(toFrame({ type: FRAMES.settings, flags: ACK }));
      if (type === FRAMES.headers) receive({ connection: sockets.indexOf(socket) + 1, stream, socket });
    },
  );
  later(server.close);
  return server;
}

describe("a session that answers no call", () => {
  test("is replaced after three, though other frames arrive", async () => {
    const window = toFrame({ type: FRAMES.windowUpdate, payload: Buffer.from([0, 0, 0, 1]) });
    const server = await serveFrames(({ connection, stream, socket }) => {
      socket.write(connection === 1 ? window : toHead(stream));
    });
    const transport = create(server.port, { timeoutMs: 200 });
    for (let i = 0; i < 3; i++) expect(await post(transport, server.port)).toEqual(toFailed("timeout"));
    expect(await post(transport, server.port)).toMatchObject(ACCEPTED);
    expect(server.connections()).toBe(2);
  });

  test("is kept where an answer came in between", async () => {
    const { port, sessions } = await serve((stream, headers) => {
      if (headers[":path"] === "/silent") stream.session?.ping(() => undefined);
      else accept(stream, headers);
    });
    const transport = create(port, { timeoutMs: 250 });
    for (const path of ["/", "/silent", "/silent", "/", "/silent", "/silent"])
      expect(await post(transport, port, path)).toMatchObject({ ok: path === "/" });
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });

  test("is kept where the callers cut their calls off early", async () => {
    const { port, sessions } = await serve((stream, headers) => {
      if (headers[":path"] !== "/silent") accept(stream, headers);
    });
    const transport = create(port, { timeoutMs: 5_000 });
    await post(transport, port);
    for (let i = 0; i < 4; i++)
      expect(await post(transport, port, "/silent", AbortSignal.timeout(10))).toEqual(toFailed(CUT_OFF));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });
});

describe("GOAWAY (§6.8)", () => {
  test("makes calls that wait above the limit of streams go to a new session at once", async () => {
    const paths: string[] = [];
    const held: ServerHttp2Stream[] = [];
    const { port, sessions } = await serve(
      (stream, headers) => {
        paths.push(String(headers[":path"]));
        if (sessions.length > 1) accept(stream, headers);
        else held.push(stream);
      },
      { settings: { maxConcurrentStreams: 1 } },
    );
    const transport = create(port);
    const first = post(transport, port, "/held");
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const others = [post(transport, port, "/a"), post(transport, port, "/b")];
    await new Promise((resolve) => setImmediate(resolve));
    held[0]?.session?.goaway(NGHTTP2_NO_ERROR, MAX_STREAM_ID);
    expect(await Promise.all(others)).toMatchObject([ACCEPTED, ACCEPTED]);
    for (const stream of held) accept(stream, {});
    expect(await first).toMatchObject(ACCEPTED);
    expect(paths.toSorted()).toEqual(["/a", "/b", "/held"]);
    expect(sessions).toHaveLength(2);
  });

  test.each([
    ["before", (stream: number) => [toGoaway(MAX_STREAM_ID, NGHTTP2_NO_ERROR), toHead(stream)]],
    ["after", (stream: number) => [toHead(stream), toGoaway(MAX_STREAM_ID, NGHTTP2_NO_ERROR)]],
  ])("%s an answer, in one packet: calls that wait for a stream are made again", async (_when, answer) => {
    const calls: number[] = [];
    const waits = Promise.withResolvers<void>();
    const server = await serveFrames(({ connection, stream, socket }) => {
      calls.push(connection);
      if (connection > 1) socket.write(toHead(stream));
      else void waits.promise.then(() => socket.write(Buffer.concat(answer(stream))));
    }, ONE_STREAM);
    const transport = create(server.port);
    const first = post(transport, server.port);
    await vi.waitFor(() => expect(calls).toHaveLength(1));
    const others = [post(transport, server.port), post(transport, server.port)];
    await new Promise((resolve) => setImmediate(resolve));
    waits.resolve();
    expect(await Promise.all([first, ...others])).toMatchObject([ACCEPTED, ACCEPTED, ACCEPTED]);
    expect(calls).toEqual([1, 2, 2]);
  });

  test.each([NGHTTP2_REFUSED_STREAM, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_INTERNAL_ERROR])(
    "with the error %i proves nothing about a stream at its last ID: the call is not made again",
    async (code) => {
      let calls = 0;
      const server = await serveFrames(({ stream, socket }) => {
        calls++;
        socket.write(toGoaway(stream, code));
      });
      expect(await post(create(server.port), server.port)).toEqual(toFailed(anyCode));
      expect(calls).toBe(1);
    },
  );

  test.each([NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR])(
    "with the error %i makes a stream above its last ID be sent again",
    async (code) => {
      const server = await serveFrames(({ connection, stream, socket }) => {
        socket.write(connection === 1 ? toGoaway(0, code) : toHead(stream));
      });
      expect(await post(create(server.port), server.port)).toMatchObject(ACCEPTED);
      expect(server.connections()).toBe(2);
    },
  );

  test("with HTTP_1_1_REQUIRED makes the next call use HTTP/1.1", async () => {
    const { port, server } = await serve((stream) =>
      stream.session?.goaway(NGHTTP2_HTTP_1_1_REQUIRED, stream.id),
    );
    answerHttp1(server);
    const transport = create(port);
    expect(await post(transport, port)).toEqual(toFailed(anyCode));
    expect(await post(transport, port)).toMatchObject({ value: { headers: { "x-version": "1.1" } } });
  });
});

test("a stream that is refused after the head of its answer is not made again", async () => {
  let calls = 0;
  const server = await serveFrames(({ stream, socket }) => {
    calls++;
    const code = Buffer.from([0, 0, 0, NGHTTP2_REFUSED_STREAM]);
    socket.write(
      Buffer.concat([toHead(stream, END_HEADERS), toFrame({ type: FRAMES.reset, stream, payload: code })]),
    );
  });
  expect(await post(create(server.port), server.port)).toEqual(toFailed(anyCode));
  expect(calls).toBe(1);
});

test("a choice of HTTP/1.1 is forgotten when a call fails", async () => {
  let choice = "http/1.1";
  const { port, server, sessions } = await serve(accept, { ALPNCallback: () => choice });
  server.on("request", (request) => {
    if (request.httpVersion === "1.1") request.socket.destroy();
  });
  const transport = create(port);
  expect(await post(transport, port)).toEqual(toFailed(anyCode));
  choice = "h2";
  expect(await post(transport, port)).toMatchObject(ACCEPTED);
  expect(sessions).toHaveLength(1);
});

test("a session that answers 421 (RFC 9110 §15.5.20) takes no more calls", async () => {
  const { port, sessions } = await serve((stream, headers) => {
    if (sessions.length > 1) accept(stream, headers);
    else stream.respond({ ":status": 421 }, { endStream: true });
  });
  const transport = create(port);
  expect(await post(transport, port)).toMatchObject({ value: { status: 421 } });
  expect(await post(transport, port)).toMatchObject(ACCEPTED);
  expect(sessions).toHaveLength(2);
});
