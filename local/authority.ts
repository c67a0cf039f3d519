// A certificate authority of this machine's own, for the push services of the local stack. It is made anew at each
// start, and only the processes that are given its certificate trust it (EXTRA_CA_FILE).
import { generate } from "selfsigned";

export interface Authority {
  /** PEM. */
  readonly certificate: string;
  /** A server's certificate for names; an IPv4 address counts as one. PEM. */
  readonly issueServer: (
    ...names: readonly string[]
  ) => Promise<{ readonly cert: string; readonly key: string }>;
}

export async function createAuthority(): Promise<Authority> {
  const authority = await generate([{ name: "commonName", value: "local push services" }], {
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return {
    certificate: authority.cert,
    issueServer: async (...names) => {
      const { cert, private: key } = await generate(
        [{ name: "commonName", value: names[0] ?? "localhost" }],
        {
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
        },
      );
      return { cert, key };
    },
  };
}
