// The watch over certificates: what it says of one, and that dropExpired has it say so.
import { beforeAll, describe, expect, test } from "vitest";
import { createCertificateWatch } from "../../shared/push/certificate.ts";
import { createLog } from "../../shared/base/log.ts";
import { Secret } from "../../shared/base/secret.ts";
import { createApi } from "../helpers/api.ts";
import { createClientCertificate } from "../helpers/certificates.ts";

const DAY_SECONDS = 86_400;
const endsAt = new Date("2030-06-01T00:00:00Z");
let certificate: string;
let privateKey: string;
let other: string;

beforeAll(async () => {
  ({ certificate, privateKey } = await createClientCertificate(endsAt));
  ({ certificate: other } = await createClientCertificate(new Date("2040-01-01T00:00:00Z")));
});

/** What the watch says so long before the end of `certificate`. */
function watch(pem: string, secondsLeft = 10 * DAY_SECONDS): readonly unknown[] {
  const lines: string[] = [];
  const now = () => new Date(endsAt.getTime() - secondsLeft * 1000);
  const clock = { now, latest: now, observe: () => undefined, uncorrectedMs: () => now().getTime() };
  createCertificateWatch({ certificates: [{ setting: "A_CERTIFICATE", pem: new Secret(pem) }], clock })(
    createLog((_level, line) => lines.push(line), now),
  );
  const time = now().toISOString();
  expect(lines.join("\n")).not.toContain("CERTIFICATE-----");
  return lines.map((line) => {
    const { time: at, ...rest } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    expect(at).toBe(time);
    return rest;
  });
}

const toChecked = (daysLeft: number) => [
  { level: "info", event: "certificate_checked", setting: "A_CERTIFICATE", daysLeft },
];
const UNREADABLE = [{ level: "error", event: "certificate_unreadable", setting: "A_CERTIFICATE" }];

test.each([
  ["ten days", 10 * DAY_SECONDS, 10],
  ["a second less than ten days", 10 * DAY_SECONDS - 1, 9],
  ["an hour", 3600, 0],
  ["no time", 0, 0],
  ["a second less than none", -1, -1],
  ["ten days less than none", -10 * DAY_SECONDS, -10],
])("a certificate that has %s left", (_what, secondsLeft, daysLeft) => {
  expect(watch(certificate, secondsLeft)).toEqual(toChecked(daysLeft));
});

test("of a text with a key and several certificates the first certificate counts", () => {
  expect(watch(`${privateKey}\n${certificate}\n${other}`)).toEqual(toChecked(10));
  expect(watch(`${other}\n${certificate}`)).not.toEqual(toChecked(10));
});

test("a text without its last line break, as a setting is read, is a certificate", () => {
  expect(watch(certificate.trim())).toEqual(toChecked(10));
});

test.each([
  ["text that is not PEM", () => "not a certificate"],
  ["a key alone", () => privateKey],
  ["a certificate without its line breaks", () => certificate.replaceAll(/\r?\n/g, " ")],
  ["a certificate that is cut", () => certificate.slice(0, 300)],
  ["a reference that the platform left as it was", () => "@Microsoft.KeyVault(SecretUri=https://kv/s)"],
  ["a certificate whose end is no time", () => spoilEnd(certificate)],
])("%s is unreadable", (_what, toText) => {
  expect(watch(toText())).toEqual(UNREADABLE);
});

/** The end, in the text of its DER: a time that is none. */
function spoilEnd(pem: string): string {
  const der = Buffer.from(pem.replaceAll(/-----.*?-----/g, ""), "base64").toString("latin1");
  const spoilt = der.replace("300601000000Z", "309901000000Z");
  if (spoilt === der) throw new Error("the end was not found");
  const lines = Buffer.from(spoilt, "latin1")
    .toString("base64")
    .match(/.{1,64}/g);
  return ["-----BEGIN CERTIFICATE-----", ...(lines ?? []), "-----END CERTIFICATE-----"].join("\n");
}

describe("dropExpired", () => {
  const linesOf = async (settings: Readonly<Record<string, string>>) => {
    const api = await createApi("in process", { settings });
    const failed = await api.runTimer("dropExpired").then(
      () => false,
      () => true,
    );
    await api.close();
    const lines = api.lines.filter((line) => line.includes('"event":"certificate_'));
    return { failed, lines: lines.map((line) => JSON.parse(line) as unknown), all: api.lines.join("\n") };
  };
  let soon: string;
  beforeAll(async () => {
    const inTenDays = new Date(Date.now() + (10 * DAY_SECONDS + 3600) * 1000);
    ({ certificate: soon } = await createClientCertificate(inTenDays));
  });

  test("tells of MPNS_CERTIFICATE, and never its text", async () => {
    const { lines, all } = await linesOf({ MPNS_CERTIFICATE: soon });
    expect(lines).toMatchObject([
      { event: "certificate_checked", setting: "MPNS_CERTIFICATE", daysLeft: 10 },
    ]);
    for (const line of soon.split(/\r?\n/).filter((text) => text !== "")) expect(all).not.toContain(line);
  });

  test("says nothing where there is none", async () => {
    expect((await linesOf({})).lines).toEqual([]);
    expect((await linesOf({ MPNS_CERTIFICATE: " " })).lines).toEqual([]);
  });

  test.each(["not a certificate", "@Microsoft.KeyVault(SecretUri=https://kv/s)"])(
    "runs with %s in its place, which it tells of",
    async (text) => {
      const { failed, lines, all } = await linesOf({ MPNS_CERTIFICATE: text });
      expect(failed).toBe(false);
      expect(lines).toMatchObject([{ level: "error", setting: "MPNS_CERTIFICATE" }]);
      expect(all).not.toContain(text);
    },
  );

  test("tells of it also where the store is away", async () => {
    const nowhere = "http://127.0.0.1:1/devstoreaccount1";
    const { failed, lines } = await linesOf({
      MPNS_CERTIFICATE: soon,
      STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;TableEndpoint=${nowhere};`,
    });
    expect(failed).toBe(true);
    expect(lines).toMatchObject([{ event: "certificate_checked", daysLeft: 10 }]);
  });
});
