// A server in a process of its own, so that its CPU is not counted with the caller's: a hub that answers 201, or, with the port of a table
// server, a proxy in front of it. Both wait DELAY_MS before each answer.
// Arguments: DELAY_MS [PORT]
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";

const [delayText, port] = process.argv.slice(2);
const delayMs = Number(delayText);
const agent = new Agent({ keepAlive: true });

const server = createServer((incoming, outgoing) => {
  const answer = port === undefined ? accept : forward;
  if (delayMs === 0) answer(incoming, outgoing);
  else setTimeout(answer, delayMs, incoming, outgoing);
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.once("disconnect", () => process.exit());
process.send?.(server.address());

/** A send is accepted with 201. Registrations get their 200, removals their 204. */
function accept(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const status = { POST: 201, DELETE: 204 }[incoming.method ?? ""] ?? 200;
  incoming.resume();
  incoming.once("end", () => outgoing.writeHead(status, { "content-length": "0", trackingid: "t" }).end());
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, url: path, headers } = incoming;
  const onward = request({ host: "127.0.0.1", port, method, path, headers, agent }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  onward.once("error", () => outgoing.destroy());
  incoming.pipe(onward);
}
