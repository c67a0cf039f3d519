// The certificate signing request of the MPNS sender, from the command to a certificate that the sender accepts.
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { createCertificateAuthority } from "../../local/certificateAuthority.ts";
import { root } from "../../scripts/root.ts";
import { createSigningRequest, isServiceName } from "../../scripts/signingRequest.ts";
import { Secret } from "../../shared/base/secret.ts";
import { readClientCertificate } from "../../shared/push/certificate.ts";

const NAME = "push.example.com";

test.each(["p256", "rsa"] as const)(
  "a %s request, once signed, is a certificate that breaks no rule",
  async (kind) => {
    const authority = await createCertificateAuthority("root");
    const { privateKey, request } = await createSigningRequest(NAME, kind);
    const certificate = await authority.signRequest(request);
    const result = readClientCertificate(
      {
        setting: "A_CERTIFICATE",
        certificate: new Secret(certificate),
        privateKey: { setting: "A_KEY", text: new Secret(privateKey) },
      },
      { serviceName: NAME, authorities: [new X509Certificate(authority.certificate)] },
    );
    expect(result).toMatchObject({ ok: true });
    const { publicKey, subjectAltName } = new X509Certificate(certificate);
    expect(subjectAltName).toBe(`DNS:${NAME}`);
    expect(publicKey.asymmetricKeyDetails).toMatchObject(
      kind === "rsa" ? { modulusLength: 3072 } : { namedCurve: "prime256v1" },
    );
  },
);

test("the command writes a key for its owner alone, prints the steps, and never overwrites a key", async () => {
  const directory = await mkdtemp(join(tmpdir(), "csr-"));
  const run = (...options: readonly string[]) =>
    promisify(execFile)(process.execPath, [join(root, "scripts/mpnsCsr.ts"), ...options]).then(
      ({ stdout }) => ({ code: 0, output: stdout }),
      (error: { readonly code: number; readonly stderr: string }) => ({
        code: error.code,
        output: error.stderr,
      }),
    );
  try {
    const made = await run("--name", NAME, "--directory", directory);
    expect(made.code).toBe(0);
    const path = join(directory, `${NAME}.key.pem`);
    const key = await readFile(path, "utf8");
    if (process.platform !== "win32") expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(made.output).toContain("MPNS_SERVICE_NAME");
    expect(made.output).not.toContain(key.split("\n")[1]);

    expect(await run("--name", NAME, "--directory", directory)).toMatchObject({ code: 1 });
    expect(await readFile(path, "utf8")).toBe(key);
    const refused = await run("--name", "../x", "--directory", directory);
    expect(refused).toMatchObject({ code: 2, output: expect.stringContaining("usage:") as string });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test.each([
  [NAME, true],
  ["localhost", true],
  ["a".repeat(63), true],
  ["", false],
  ["..", false],
  ["a b", false],
  ["a/b", false],
  ["-a.example", false],
  [`${"a".repeat(60)}.example`, false],
])("%j as a service name: %s", (name, isOne) => {
  expect(isServiceName(name)).toBe(isOne);
});
