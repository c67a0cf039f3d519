// Reading certificates as people have them. The PFX files are OpenSSL's (test/vectors/README.md), so that no code of
// ours reads what it wrote itself.
import { X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BerNode, readBer, readChildren } from "../../shared/push/certificateDer.ts";
import { readMaterial } from "../../shared/push/certificatePem.ts";
import vector from "../vectors/clientCertificate.json" with { type: "json" };

const { password, certificate, intermediate, root, privateKey, sec1Key, encryptedKey, traditionalKey, pfx } =
  vector;
const all = `${certificate}${intermediate}${root}${privateKey}`;

/** The names of the certificates, and how many of the keys fit the first vector certificate. */
function read(text: string, secret = password) {
  const material = readMaterial(text, secret);
  if (!material.ok) return material.error;
  const { certificates, keys } = material.value;
  const own = new X509Certificate(certificate);
  return {
    names: certificates.map(({ subject }) => subject.replace("CN=", "")).toSorted(),
    fitting: keys.filter((key) => own.checkPrivateKey(key)).length,
    others: keys.filter((key) => !own.checkPrivateKey(key)).length,
  };
}

const CHAIN = ["push.example.com", "test intermediate", "test root"];
const COMPLETE = { names: CHAIN, fitting: 1, others: 0 };

describe("PEM as an app setting holds it", () => {
  const one = all.trim();
  test.each([
    ["real line breaks", one],
    ["CR LF", one.replaceAll("\n", "\r\n")],
    ["literal \\n", one.replaceAll("\n", "\\n")],
    ["literal \\r\\n", one.replaceAll("\n", "\\r\\n")],
    ["doubly escaped \\\\n", one.replaceAll("\n", "\\\\n")],
    ["spaces for line breaks", one.replaceAll("\n", " ")],
    ["no line breaks at all", one.replaceAll("\n", "")],
    ["indented lines", one.replaceAll("\n", "\n    ")],
    ["double quotes around it", `"${one.replaceAll("\n", "\\n")}"`],
    ["single quotes around it", `'${one}'`],
    ["base64 of the whole", Buffer.from(all).toString("base64")],
    [
      "base64 in lines",
      (
        Buffer.from(all)
          .toString("base64")
          .match(/.{1,76}/g) ?? []
      ).join("\r\n"),
    ],
    ["base64 in quotes", `"${Buffer.from(all).toString("base64")}"`],
    ["base64url", Buffer.from(all).toString("base64url")],
    ["a byte order mark", `\uFEFF${one}`],
    [
      "text between the blocks",
      `Bag Attributes\n    friendlyName: push\n${certificate}subject=CN = x\n${intermediate}${root}\nKey:\n${privateKey}`,
    ],
    ["any order", `${privateKey}${root}${certificate}${intermediate}`],
    [
      "a SEC1 key with its parameters",
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${sec1Key}${certificate}${intermediate}${root}`,
    ],
    ["an encrypted key", `${certificate}${intermediate}${root}${encryptedKey}`],
    ["an encrypted key of the traditional form", `${certificate}${intermediate}${root}${traditionalKey}`],
    [
      "an encrypted traditional key with \\n",
      `${certificate}${intermediate}${root}${traditionalKey}`.replaceAll("\n", "\\n"),
    ],
    [
      "an encrypted traditional key with spaces",
      `${certificate}${intermediate}${root}${traditionalKey}`.replaceAll("\n", " "),
    ],
  ])("%s", (_what, text) => {
    expect(read(text)).toEqual(COMPLETE);
  });

  test("a DER certificate in base64 is one", () => {
    const der = new X509Certificate(certificate).raw.toString("base64");
    expect(read(der)).toEqual({ names: ["push.example.com"], fitting: 0, others: 0 });
  });
});

describe("PFX", () => {
  test.each(["aes256", "aes128and192", "tripleDes", "plain"] as const)(
    "%s opens with its password",
    (name) => {
      expect(read(pfx[name])).toEqual(COMPLETE);
    },
  );

  test.each(["aes256EmptyPassword", "tripleDesEmptyPassword"] as const)(
    "%s opens without a password",
    (name) => {
      expect(read(pfx[name], "")).toEqual(COMPLETE);
    },
  );

  test.each(["aes256", "aes128and192", "tripleDes"] as const)(
    "%s does not open with another password",
    (name) => {
      for (const secret of ["", "password", `${password} `])
        expect(read(pfx[name], secret)).toMatchObject({ rule: "password" });
    },
  );

  test.each(["rc2", "rc4"] as const)(
    "%s is recognised as a legacy cipher, with the way to convert it",
    (name) => {
      expect(read(pfx[name])).toMatchObject({
        rule: "legacy_cipher",
        error: expect.stringContaining("openssl pkcs12 -legacy -in old.pfx") as string,
      });
    },
  );

  test.each(["aes256", "tripleDes", "plain"] as const)(
    "%s in BER with indefinite lengths opens too",
    (name) => {
      const indefinite = toIndefinite(readBer(Buffer.from(pfx[name], "base64")));
      expect(indefinite.length).toBeGreaterThan(Buffer.from(pfx[name], "base64").length);
      expect(read(indefinite.toString("base64"))).toEqual(COMPLETE);
    },
  );

  test("no change of a file makes it throw, and none shows its content", () => {
    const bytes = Buffer.from(pfx.aes256, "base64");
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        (at, octet, isCut) => {
          const changed = isCut ? bytes.subarray(0, at) : Buffer.from(bytes);
          if (!isCut) changed[at] = octet;
          const material = readMaterial(changed.toString("base64"), password);
          if (!material.ok) expect(["readable", "password", "legacy_cipher"]).toContain(material.error.rule);
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** The same content with the end marked by two zero octets, and each octet string of a context tag left as it is. */
function toIndefinite(node: BerNode): Buffer {
  if ((node.tag & 0x20) === 0) return node.encoded;
  const children = readChildren(node).map(toIndefinite);
  return Buffer.concat([Buffer.from([node.tag, 0x80]), ...children, Buffer.alloc(2)]);
}

test.each([
  ["text that is neither", "not a certificate", "readable"],
  ["base64 of something else", Buffer.alloc(60, "x").toString("base64"), "readable"],
  ["a block that is cut off", all.trim().slice(0, -10), "readable"],
  ["a certificate that is cut", certificate.replace(/\n.{40}/, "\n"), "readable"],
  ["a certificate whose end is no time", spoilEnd(certificate), "readable"],
  ["a key that is cut", privateKey.replace(/\n.{40}/, "\n"), "readable"],
  ["an unresolved reference", "@Microsoft.KeyVault(SecretUri=https://kv/s)", "readable"],
  [
    "a PFX without content",
    Buffer.from("3009020103300406022a03", "hex").toString("base64").padEnd(16, "A"),
    "readable",
  ],
])("%s is refused, and the error holds nothing of it", (_what, text, rule) => {
  const refused = read(text);
  expect(refused).toMatchObject({ rule });
  for (const part of text.match(/[A-Za-z0-9+/]{9,}/g) ?? [])
    expect(JSON.stringify(refused).replace("Microsoft", "")).not.toContain(part);
});

test.each([encryptedKey, traditionalKey])("an encrypted key needs its password", (key) => {
  expect(read(key, "")).toMatchObject({
    rule: "password",
    error: expect.stringContaining("no password") as string,
  });
  expect(read(key, "wrong")).toMatchObject({
    rule: "password",
    error: expect.stringContaining("not open") as string,
  });
});

/** Changes the end, in the text of its DER, to a time that does not exist. */
function spoilEnd(pem: string): string {
  const der = new X509Certificate(pem).raw.toString("latin1");
  const spoilt = der.replace(/\d{14}Z/, "99999999999999Z");
  if (spoilt === der) throw new Error("the end was not found");
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(spoilt, "latin1").toString("base64")}\n-----END CERTIFICATE-----`;
}
