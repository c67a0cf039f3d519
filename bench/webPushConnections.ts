// Question: what does one POST to a push service cost over HTTP/2, beside HTTP/1.1 with connections kept alive, one at a
// time and eight at a time?
// The push service is a process of its own, which offers both. The variants alternate in slices within one process, a fresh
// one for each round; CPU time of that process for each POST, through the transport that pushes use. Run:
// npm run bench -- webPushConnections
import { fork } from "node:child_process";
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import { fileURLToPath } from "node:url";
import { createCertificateAuthority } from "../local/certificateAuthority.ts";
import { toPort } from "../local/server.ts";
import { parseHostRules } from "../shared/config/hostRules.ts";
import { createPinnedTransport, type PinnedTransport } from "../shared/push/pinnedTransport.ts";
import { runChild } from "./helpers/children.ts";
import { toMedian, toSummary } from "./helpers/report.ts";

const ROUNDS = 7;
/** In each round every variant makes this many slices. The first ones warm up and are not counted. */
const SLICES = 16;
const WARM_UP_SLICES = 4;
const SLICE_POSTS = 400;
const IN_FLIGHT = [1, 8] as const;
const PROTOCOLS = ["HTTP/1.1", "HTTP/2"] as const;

interface Service {
  readonly port: number;
  readonly authority: string;
}

/** Microseconds of CPU for one POST. */
interface Cost {
  readonly inFlight: number;
  readonly http1: number;
  readonly http2: number;
}

const [, , role, port = "", authority = ""] = process.argv;
if (role === "service") process.send?.(await serve());
else if (role === "round") process.send?.(await measure({ port: Number(port), authority }));
else await compare();

/** Accepts every push at once. */
async function serve(): Promise<Service> {
  const issuer = await createCertificateAuthority("bench authority");
  const identity = await issuer.issue({ commonName: "localhost", names: ["localhost"], usages: ["server"] });
  const server = createSecureServer(
    { key: identity.privateKey, cert: identity.certificate, allowHTTP1: true },
    (request, response) => {
      request.resume();
      request.on("end", () => response.writeHead(201, { Location: "/m/1", TTL: "60" }).end());
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.on("disconnect", () => process.exit());
  return { port: toPort(server), authority: issuer.certificate };
}

async function measure(service: Service): Promise<readonly Cost[]> {
  const hosts = parseHostRules(`localhost:${service.port};private`);
  if (!hosts.ok) throw new Error(hosts.error);
  const create = (offersHttp2: boolean) =>
    createPinnedTransport({
      hosts: hosts.value,
      extraAuthorities: [service.authority],
      resolve: () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]),
      offersHttp2,
    });
  const variants = IN_FLIGHT.flatMap((inFlight) =>
    PROTOCOLS.map((protocol) => ({
      inFlight,
      protocol,
      transport: create(protocol === "HTTP/2"),
      costs: [] as number[],
    })),
  );
  const url = `https://localhost:${service.port}/send/${"x".repeat(80)}`;
  for (let slice = 0; slice < SLICES; slice++)
    for (const { transport, inFlight, costs } of slice % 2 === 0 ? variants : variants.toReversed()) {
      const before = process.cpuUsage();
      await postAll(transport, url, inFlight);
      const { user, system } = process.cpuUsage(before);
      if (slice >= WARM_UP_SLICES) costs.push((user + system) / SLICE_POSTS);
    }
  await Promise.all(variants.map(({ transport }) => transport.close()));
  const of = (wanted: number, name: string) =>
    toMedian(
      variants.find(({ inFlight, protocol }) => inFlight === wanted && protocol === name)?.costs ?? [],
    );
  return IN_FLIGHT.map((inFlight) => ({
    inFlight,
    http1: of(inFlight, "HTTP/1.1"),
    http2: of(inFlight, "HTTP/2"),
  }));
}

/** The size and the header fields are those of a Web Push message. */
async function postAll(transport: PinnedTransport, url: string, inFlight: number): Promise<void> {
  const { signal } = new AbortController();
  const body = Buffer.alloc(231);
  const headers = {
    TTL: "3600",
    Urgency: "normal",
    "Content-Encoding": "aes128gcm",
    "Content-Type": "application/octet-stream",
    Authorization: `vapid t=${"t".repeat(250)}, k=${"k".repeat(87)}`,
  };
  let left = SLICE_POSTS;
  const run = async () => {
    while (left-- > 0) {
      const answer = await transport.post({ url, headers, body, signal });
      if (!answer.ok || answer.value.status !== 201) throw new Error("not accepted");
    }
  };
  await Promise.all(Array.from({ length: inFlight }, run));
}

async function compare(): Promise<void> {
  const service = fork(fileURLToPath(import.meta.url), ["service"]);
  const [started] = (await once(service, "message")) as readonly Service[];
  if (started === undefined) throw new Error("no service");
  const rounds: (readonly Cost[])[] = [];
  for (let round = 0; round < ROUNDS; round++)
    rounds.push(
      (await runChild(import.meta.url, [
        "round",
        String(started.port),
        started.authority,
      ])) as readonly Cost[],
    );
  service.disconnect();
  for (const wanted of IN_FLIGHT) {
    const costs = rounds.flat().filter(({ inFlight }) => inFlight === wanted);
    const toLine = (name: string, of: (cost: Cost) => number, digits: number) =>
      `${wanted} in flight, ${name}: ${toSummary(costs.map(of), digits)}`;
    console.log(toLine("HTTP/1.1, µs of CPU", ({ http1 }) => http1, 1));
    console.log(toLine("HTTP/2, µs of CPU", ({ http2 }) => http2, 1));
    console.log(toLine("HTTP/2 / HTTP/1.1", ({ http1, http2 }) => http2 / http1, 2));
  }
}
