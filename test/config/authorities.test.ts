// EXTRA_CA_FILE: what it may hold, and what stops the start.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readExtraAuthorities } from "../../shared/config/authorities.ts";
import { type ConfigError, createSettingsReader } from "../../shared/config/settingsReader.ts";
import { createServerCertificate } from "../helpers/certificates.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "authorities-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function read(content: string) {
  const path = join(directory, "ca.pem");
  await writeFile(path, content);
  return readPath(path);
}

function readPath(path: string) {
  const errors: ConfigError[] = [];
  const value = readExtraAuthorities(createSettingsReader({ EXTRA_CA_FILE: path }, errors));
  return { value, errors };
}

test("one or more PEM certificates are taken, whatever stands around them", async () => {
  const { ca, certificate } = await createServerCertificate("push.example");
  const { value, errors } = await read(`company root\n${ca}\n${certificate}`);
  expect(errors).toEqual([]);
  expect(value).toHaveLength(2);
});

test("without the setting there are none", () => {
  expect(readPath("")).toEqual({ value: undefined, errors: [] });
});

test("a file that cannot be used is an error, which names neither file nor content", async () => {
  const { ca, privateKey } = await createServerCertificate("push.example");
  for (const { value, errors } of [
    await read(privateKey),
    await read(ca.replace(/^MII.{8}/m, "MIIAAAAAAAA")),
    readPath(join(directory, "absent")),
    readPath(directory),
  ]) {
    expect(value).toBeUndefined();
    expect(errors).toHaveLength(1);
    expect(errors[0]?.setting).toBe("EXTRA_CA_FILE");
    expect(JSON.stringify(errors)).not.toMatch(/authorities-|MII/);
  }
});
