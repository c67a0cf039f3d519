// P5 and P6 against the storage itself: what lies there, what a thief could do with it, and when it is gone.
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TableClient, TableServiceClient, type TableEntity } from "@azure/data-tables";
import { expect, inject, test } from "vitest";
import { createAzurite } from "../../local/azurite.ts";
import { DAY_MS } from "../../shared/domain/id.ts";
import { type Api, createApi } from "../helpers/api.ts";
import { findTraces } from "../helpers/traces.ts";

const plain = { allowInsecureConnection: true };

function tableOf(api: Api, name: string, connectionString = inject("storageConnectionString")): TableClient {
  return TableClient.fromConnectionString(connectionString, api.tablePrefix + name, plain);
}

async function listRows(table: TableClient): Promise<readonly TableEntity[]> {
  return Array.fromAsync(table.listEntities<TableEntity>());
}

function expiryTable(expiresAt: unknown): string {
  return `notifications${String(expiresAt).slice(0, 10).replaceAll("-", "")}`;
}

test("P6: sealed at rest: no file and no row holds payload, user, push channel or topic, in any shape", async () => {
  const directory = await mkdtemp(join(tmpdir(), "secure-push-"));
  const azurite = await createAzurite({ directory });
  const marker = () => `marker-${randomBytes(12).toString("hex")}`;
  const markers = { payload: marker(), user: marker(), channel: marker(), topic: marker().slice(0, 31) };
  try {
    const api = await createApi("in process", { storageConnectionString: azurite.connectionString });
    try {
      const device = { platform: "fcmv1", pushChannel: markers.channel };
      expect((await api.as(markers.user, "PUT", "/api/installations/phone", device)).status).toBe(201);
      const payload = { text: markers.payload, list: [markers.payload] };
      const sent = await api.send({ to: [markers.user], payload, topic: markers.topic });
      expect(sent.json()["push"]).toBe("accepted");
      const got = await api.as(markers.user, "GET", `/api/notifications/${String(sent.json()["id"])}`);
      expect(got.json()["payload"]).toEqual(payload);

      const service = TableServiceClient.fromConnectionString(azurite.connectionString, plain);
      const rows: TableEntity[] = [];
      for await (const { name } of service.listTables())
        rows.push(
          ...(await listRows(TableClient.fromConnectionString(azurite.connectionString, name ?? "", plain))),
        );
      expect(rows.length).toBeGreaterThanOrEqual(5);
      // Every value as the bytes that it is: binary ones not as base64 alone.
      const values = rows.flatMap((row) => Object.values(row));
      const bytes = values.map((value) =>
        value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value)),
      );
      for (const [what, text] of Object.entries(markers))
        expect(
          bytes.flatMap((value) => findTraces(value, text)),
          what,
        ).toEqual([]);
    } finally {
      await api.close();
    }
  } finally {
    await azurite.close(); // which writes what it held
  }
  try {
    const files = await readdir(directory, { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name))),
    );
    // The files are the data: what may lie there in the clear does.
    expect(contents.some((content) => content.includes("recipientKey"))).toBe(true);
    for (const [what, text] of Object.entries(markers))
      expect(
        contents.flatMap((content) => findTraces(content, text)),
        what,
      ).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("P6, R98: a row that is moved to another user, ID or expiry, cut or altered is not served", async () => {
  const api = await createApi("in process");
  try {
    const alices = (await api.send({ to: ["alice"], payload: "alice's own" })).json();
    const bobs = (await api.send({ to: ["bob"], payload: "bob's own" })).json();
    const seconds = (await api.send({ to: ["alice"], payload: "alice's second" })).json();
    const table = tableOf(api, expiryTable(alices["expiresAt"]));
    const rows = await listRows(table);
    const rowOf = (id: unknown) => {
      const row = rows.find((candidate) => candidate["rowKey"] === id);
      if (row === undefined) throw new Error("no such row");
      return row;
    };
    const get = (user: string, id: unknown) => api.as(user, "GET", `/api/notifications/${String(id)}`);
    const sealed = rowOf(alices["id"])["sealed0"] as Uint8Array;
    const original = rowOf(bobs["id"]);
    const tampered: readonly (readonly [string, object])[] = [
      ["alice's ciphertext in bob's row", { sealed0: sealed }],
      [
        "a flipped bit",
        {
          sealed0: Buffer.from(original["sealed0"] as Uint8Array).map((byte, i) =>
            i === 20 ? byte ^ 1 : byte,
          ),
        },
      ],
      ["cut short", { sealed0: Buffer.from(original["sealed0"] as Uint8Array).subarray(0, -1) }],
      ["empty", { sealed0: new Uint8Array() }],
      ["a later expiry", { expiresAt: new Date(Date.parse(String(bobs["expiresAt"])) + 1000) }],
      ["an earlier expiry", { expiresAt: new Date(Date.parse(String(bobs["expiresAt"])) - 1000) }],
    ];
    for (const [what, change] of tampered) {
      await table.upsertEntity({ ...original, ...change }, "Replace");
      const answer = await get("bob", bobs["id"]);
      expect(answer.status, what).toBe(404);
      expect(answer.text, what).not.toContain("'s own");
    }
    // Under another ID of the same user.
    await table.upsertEntity({ ...rowOf(seconds["id"]), sealed0: sealed }, "Replace");
    expect((await get("alice", seconds["id"])).status).toBe(404);
    // The rows beside them are none the worse, and what is put back opens again.
    expect((await get("alice", alices["id"])).json()["payload"]).toBe("alice's own");
    await table.upsertEntity(original, "Replace");
    expect((await get("bob", bobs["id"])).json()["payload"]).toBe("bob's own");
    expect(api.lines.filter((line) => line.includes("payload_unreadable"))).toHaveLength(tampered.length + 1);
  } finally {
    await api.close();
  }
});

test("P5: gone is gone: after its day and dropExpired, table and key are gone, and a restored row does not open", async () => {
  const api = await createApi("in process");
  try {
    const sent = (await api.send({ to: ["alice"], payload: "short-lived", ttl: 3600 })).json();
    const path = `/api/notifications/${String(sent["id"])}`;
    const table = tableOf(api, expiryTable(sent["expiresAt"]));
    const [copy] = await listRows(table);
    if (copy === undefined) throw new Error("nothing was stored");
    expect((await api.as("alice", "GET", path)).status).toBe(200);

    const untilNextDay = DAY_MS - (Date.parse(String(sent["expiresAt"])) % DAY_MS) + 3_600_000;
    api.advance(untilNextDay / 1000);
    await api.runTimer("dropExpired");
    await expect(listRows(table)).rejects.toMatchObject({ statusCode: 404 });
    const keys = await listRows(tableOf(api, "keys"));
    expect(keys.map((key) => key["rowKey"])).not.toContain(expiryTable(sent["expiresAt"]).slice(-8));

    // A thief of a backup puts the row back, and the clock too.
    await table.createTable();
    await table.createEntity(copy);
    api.advance(-untilNextDay / 1000);
    const fresh = await createApiLike(api);
    try {
      const answer = await fresh.as("alice", "GET", path);
      expect(answer.status).toBe(404);
      expect(fresh.lines.some((line) => line.includes('"hasKey":false'))).toBe(true);
    } finally {
      await fresh.close();
    }
  } finally {
    await api.close();
  }
});

/** Another instance over the same storage and keys: one that has nothing in memory. */
function createApiLike(api: Api): Promise<Api> {
  return createApi("in process", { settings: { TABLE_PREFIX: api.tablePrefix, ...api.keySettings } });
}
