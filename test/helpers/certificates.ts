// Certificates for tests, made anew each time: of an authority and a server under it, and of a client alone.
import { generate } from "selfsigned";

export interface ServerCertificate {
  /** The authority's certificate: what a client is told to trust. PEM, as the others. */
  readonly ca: string;
  readonly certificate: string;
  readonly privateKey: string;
}

/** For these names; an IP address counts as one. */
export async function createServerCertificate(...names: readonly string[]): Promise<ServerCertificate> {
  const authority = await generate([{ name: "commonName", value: "test authority" }], {
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: "commonName", value: names[0] ?? "localhost" }], {
    algorithm: "sha256",
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, keyEncipherment: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      {
        name: "subjectAltName",
        altNames: names.map((name) =>
          /^[\d.]+$/.test(name) ? { type: 7 as const, ip: name } : { type: 2 as const, value: name },
        ),
      },
    ],
  });
  return { ca: authority.cert, certificate: server.cert, privateKey: server.private };
}

/** A client's, signed by itself. */
export async function createClientCertificate(
  endsAt: Date,
): Promise<Pick<ServerCertificate, "certificate" | "privateKey">> {
  const client = await generate([{ name: "commonName", value: "test client" }], {
    algorithm: "sha256",
    notAfterDate: endsAt,
  });
  return { certificate: client.cert, privateKey: client.private };
}
