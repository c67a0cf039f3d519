// Certificates for tests, made anew each time: an authority and a server under it.
import { createCertificateAuthority } from "../../local/certificateAuthority.ts";

export interface ServerCertificate {
  /** The authority's certificate, which clients trust. PEM, as the others. */
  readonly ca: string;
  readonly certificate: string;
  readonly privateKey: string;
}

/** For these names; an IP address counts as one. */
export async function createServerCertificate(...names: readonly string[]): Promise<ServerCertificate> {
  const authority = await createCertificateAuthority("test authority");
  const server = await authority.issue({ commonName: names[0] ?? "localhost", names, usages: ["server"] });
  return { ca: authority.certificate, ...server };
}
