// The rules for a client certificate: each is broken by a certificate that keeps all others.
import { createHash, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { Secret } from "../../shared/base/secret.ts";
import {
  type CertificateRules,
  chooseCertificate,
  type ClientCertificate,
  judgeTime,
  readClientCertificate,
} from "../../shared/push/certificate.ts";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type Identity,
} from "../../local/certificateAuthority.ts";
import vector from "../vectors/clientCertificate.json" with { type: "json" };

const NAME = "push.example.com";
const now = new Date();
const inDays = (days: number) => new Date(Math.floor(now.getTime() / 1000) * 1000 + days * 86_400_000);

let root: CertificateAuthority;
let intermediate: CertificateAuthority;
let good: Identity;

beforeAll(async () => {
  root = await createCertificateAuthority("test root");
  intermediate = await root.issueAuthority("test intermediate");
  good = await intermediate.issue({ commonName: NAME, usages: ["client"] });
});

function read(text: string, rules: Partial<CertificateRules> = {}, privateKey?: string) {
  return readClientCertificate(
    {
      setting: "A_CERTIFICATE",
      certificate: new Secret(text),
      ...(privateKey === undefined ? {} : { privateKey: { setting: "A_KEY", text: new Secret(privateKey) } }),
    },
    { serviceName: NAME, authorities: [], ...rules },
  );
}

const join = (...parts: readonly string[]) => parts.join("");
const pemOf = ({ certificate, privateKey }: Identity) => `${certificate}${privateKey}`;

test("a certificate that keeps all rules is read, and its intermediates are sent with it, but not its root", () => {
  const result = read(join(root.certificate, good.privateKey, intermediate.certificate, good.certificate));
  expect(result.ok && result.value.chain).toBe(join(good.certificate, intermediate.certificate));
  expect(JSON.stringify(result)).not.toContain("PRIVATE KEY");
});

test("the key may be beside the certificate or in the setting of its own", () => {
  const chain = join(good.certificate, intermediate.certificate, root.certificate);
  expect(read(chain, {}, good.privateKey)).toMatchObject({ ok: true });
  expect(read(join(chain, good.privateKey))).toMatchObject({ ok: true });
  expect(read(join(chain, root.privateKey), {}, good.privateKey)).toMatchObject({ ok: true });
});

test("a private authority's root may be in MPNS_CA instead", () => {
  const authorities = [new X509Certificate(root.certificate)];
  expect(read(join(pemOf(good), intermediate.certificate), { authorities })).toMatchObject({ ok: true });
});

describe("a certificate is refused", () => {
  const chain = () => join(intermediate.certificate, root.certificate);
  const issue = (options: Partial<Parameters<CertificateAuthority["issue"]>[0]>) =>
    intermediate.issue({ commonName: NAME, usages: ["client"], ...options });

  test.each<[string, string, () => Promise<string> | string]>([
    ["is not there", "readable", () => root.privateKey],
    ["has no private key", "private_key", () => join(good.certificate, chain())],
    [
      "does not fit the private key",
      "private_key",
      async () => join(good.certificate, chain(), (await issue({})).privateKey),
    ],
    [
      "is for servers",
      "client_authentication",
      async () => join(pemOf(await issue({ usages: ["server"] })), chain()),
    ],
    [
      "names no purpose",
      "client_authentication",
      async () => join(pemOf(await issue({ usages: [] })), chain()),
    ],
    [
      "has another common name",
      "common_name",
      async () => join(pemOf(await issue({ commonName: "evil.example.com" })), chain()),
    ],
    [
      "has a common name that only begins like it",
      "common_name",
      async () => join(pemOf(await issue({ commonName: `${NAME}.evil.example` })), chain()),
    ],
    [
      "has the name only among its alternatives",
      "common_name",
      async () => join(pemOf(await issue({ commonName: "x", names: [NAME] })), chain()),
    ],
    ["lacks its intermediate", "chain", () => join(pemOf(good), root.certificate)],
    ["lacks its root", "chain", () => join(pemOf(good), intermediate.certificate)],
    ["comes with nothing else", "chain", () => pemOf(good)],
  ])("that %s (%s)", async (_what, rule, toText) => {
    const text = await toText();
    const result = read(text);
    expect(result).toMatchObject({ ok: false, error: { setting: "A_CERTIFICATE", rule } });
    for (const line of text.split("\n").filter((part) => part.length > 30))
      expect(JSON.stringify(result)).not.toContain(line);
  });

  test("whose key's setting is unreadable, and that setting is named", () => {
    expect(read(join(good.certificate, chain()), {}, "no key")).toMatchObject({
      ok: false,
      error: { setting: "A_KEY", rule: "readable" },
    });
  });

  test("whose key is too short for TLS", () => {
    expect(read(vector.weak)).toMatchObject({ error: { setting: "A_CERTIFICATE", rule: "tls" } });
  });

  test("when its authority has the right name and another key", async () => {
    const impostor = await createCertificateAuthority("test intermediate");
    const text = join(pemOf(good), impostor.certificate, root.certificate);
    expect(read(text)).toMatchObject({ error: { rule: "chain" } });
  });
});

describe("MPNS_ROOTS", () => {
  const fingerprint = (pem: string, digest: string) =>
    createHash(digest).update(new X509Certificate(pem).raw).digest("hex").toUpperCase();

  test.each(["sha256", "sha1"])("a root by its %s fingerprint is allowed, and any other is not", (digest) => {
    const text = join(pemOf(good), intermediate.certificate, root.certificate);
    expect(read(text, { roots: [fingerprint(root.certificate, digest)] })).toMatchObject({ ok: true });
    expect(read(text, { roots: [fingerprint(intermediate.certificate, digest)] })).toMatchObject({
      error: { rule: "root" },
    });
    expect(read(text, { roots: [] })).toMatchObject({ error: { rule: "root" } });
  });

  test("of two ways to a root the allowed one is taken and sent", async () => {
    const other = await createCertificateAuthority("test root of others");
    const crossed = await other.crossSign(intermediate);
    const text = join(pemOf(good), intermediate.certificate, root.certificate, crossed, other.certificate);
    const result = read(text, { roots: [fingerprint(other.certificate, "sha256")] });
    expect(result.ok && result.value.chain).toBe(join(good.certificate, crossed));
  });
});

describe("time", () => {
  const at = async (from: number, to: number): Promise<ClientCertificate> => {
    const identity = await intermediate.issue({
      commonName: NAME,
      usages: ["client"],
      validFrom: inDays(from),
      validTo: inDays(to),
    });
    const result = read(join(pemOf(identity), intermediate.certificate, root.certificate));
    if (!result.ok) throw new Error(result.error.error);
    return result.value;
  };
  const secondsFrom = (date: Date, seconds: number) => new Date(date.getTime() + seconds * 1000);

  test("a certificate is valid from its begin to its end, both included", async () => {
    const one = await at(1, 10);
    expect(judgeTime(one, secondsFrom(inDays(1), -1))).toBe("not_before");
    expect(judgeTime(one, inDays(1))).toBe("valid");
    expect(judgeTime(one, inDays(10))).toBe("valid");
    expect(judgeTime(one, secondsFrom(inDays(10), 1))).toBe("not_after");
  });

  test("an authority that ends first ends the certificate", async () => {
    const one = await at(0, 3650);
    const ends = [root, intermediate].map(({ certificate }) => new X509Certificate(certificate).validToDate);
    expect(one.validTo.getTime()).toBe(Math.min(...ends.map((end) => end.getTime())));
  });

  test("of two the newer is used as soon as it is valid, and the older until then and after the newer's end", async () => {
    const older = await at(0, 30);
    const newer = await at(10, 20);
    const chosenAt = (day: number) => chooseCertificate([older, newer], inDays(day));
    expect([1, 10, 15, 20, 21].map((day) => chosenAt(day) === newer)).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
    expect(chosenAt(21)).toBe(older);
    expect(chosenAt(31)).toBeUndefined();
    expect(chooseCertificate([newer, older], inDays(15))).toBe(newer);
  });
});
