// HTTP/2 under the transport of senders: what it makes of answers, and of calls that the server did not process. Sections
// are of RFC 9113.
import { constants, type ServerHttp2Stream } from "node:http2";
import { describe, expect, test, vi } from "vitest";
import {
  accept,
  ACCEPTED,
  answerHttp1,
  anyCode,
  createHttp2Bench,
  post,
  toFailed,
} from "../helpers/http2.ts";

const { NGHTTP2_CANCEL, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;
const { create, serve } = createHttp2Bench();

describe("what it makes of answers", () => {
  test("of a long answer 4 KiB are read, and the session goes on (R136)", async () => {
    const { port, sessions } = await serve((stream) => {
      stream.respond({ ":status": 400 });
      const write = () => {
        while (!stream.destroyed && stream.write("x".repeat(1024)));
      };
      stream.on("drain", write);
      write();
    });
    const transport = create(port);
    // More than the flow-control windows of the whole session hold.
    for (let i = 0; i < 30; i++) {
      const result = await post(transport, port);
      expect(result.ok && [result.value.status, result.value.body.length]).toEqual([400, 4096]);
    }
    expect(sessions).toHaveLength(1);
  });

  test("informational answers are ignored (§8.1), and so are trailers", async () => {
    const { port } = await serve((stream) => {
      stream.additionalHeaders({ ":status": 100 });
      stream.additionalHeaders({ ":status": 103, link: "</a>; rel=preload" });
      stream.respond({ ":status": 201, location: "/m/1" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "1" }));
      stream.end("text");
    });
    const result = await post(create(port), port);
    expect(result).toMatchObject({ ok: true, value: { status: 201, body: "text" } });
    expect(result.ok && Object.keys(result.value.headers).toSorted()).toEqual(["date", "location"]);
  });

  test.each([NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, constants.NGHTTP2_ENHANCE_YOUR_CALM])(
    "a stream that is reset with code %i before an answer is a failure",
    async (code) => {
      const { port } = await serve((stream) => stream.close(code));
      expect(await post(create(port), port)).toEqual(toFailed(anyCode));
    },
  );

  test("a header section above 16 KiB is a failure of that stream alone", async () => {
    const { port, sessions } = await serve((stream, headers) => {
      const fields = headers[":path"] === "/" ? {} : { "x-bomb": "x".repeat(40_000) };
      stream.respond({ ":status": 201, ...fields }, { endStream: true });
    });
    const transport = create(port);
    expect(await post(transport, port)).toMatchObject(ACCEPTED); // by then the limit is acknowledged (§6.5.3)
    expect(await post(transport, port, "/bomb")).toEqual(toFailed(anyCode));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(1);
  });
});

describe("what the server did not process (§8.7)", () => {
  test("a stream above GOAWAY's last one is sent again on a new session; those below end normally", async () => {
    const paths: string[] = [];
    const held: ServerHttp2Stream[] = [];
    const { port, sessions } = await serve((stream, headers) => {
      paths.push(String(headers[":path"]));
      if (headers[":path"] === "/held") {
        held.push(stream);
        return;
      }
      if (sessions.length > 1) return accept(stream, headers);
      stream.session?.goaway(NGHTTP2_NO_ERROR, held[0]?.id);
    });
    const transport = create(port);
    const below = post(transport, port, "/held");
    await vi.waitFor(() => expect(held).toHaveLength(1));
    expect(await post(transport, port, "/above")).toMatchObject(ACCEPTED);
    for (const stream of held) accept(stream, {});
    expect(await below).toMatchObject(ACCEPTED);
    expect(paths).toEqual(["/held", "/above", "/above"]);
    expect(sessions).toHaveLength(2);
  });

  test("a refused stream is sent once more, and then is a failure", async () => {
    let refusals = 1;
    let streams = 0;
    const { port } = await serve((stream, headers) => {
      streams++;
      if (refusals-- > 0) stream.close(NGHTTP2_REFUSED_STREAM);
      else accept(stream, headers);
    });
    const transport = create(port);
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(streams).toBe(2);
    refusals = 5;
    expect(await post(transport, port)).toEqual(toFailed("REFUSED_STREAM"));
    expect(streams).toBe(4);
  });

  test("a GOAWAY with an error is a failure, and the next call has a new session", async () => {
    const { port, sessions } = await serve((stream, headers) => {
      if (sessions.length > 1) accept(stream, headers);
      else stream.session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
    const transport = create(port);
    expect(await post(transport, port)).toEqual(toFailed(anyCode));
    expect(await post(transport, port)).toMatchObject(ACCEPTED);
    expect(sessions).toHaveLength(2);
  });

  test("a server that demands HTTP/1.1 (§7) gets it, from then on", async () => {
    const { port, sessions, server } = await serve((stream) => stream.close(NGHTTP2_HTTP_1_1_REQUIRED));
    answerHttp1(server);
    const transport = create(port);
    for (let i = 0; i < 3; i++)
      expect(await post(transport, port)).toMatchObject({
        ok: true,
        value: { status: 201, headers: { "x-version": "1.1" } },
      });
    expect(sessions).toHaveLength(1);
  });
});
