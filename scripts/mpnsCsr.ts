// npm run mpns-csr -- --name push.example.com [--key p256|rsa] [--directory .]
// Makes a private key and a certificate signing request for the MPNS sender, and prints what to do with them. The key is
// written to this machine alone: only the request goes to a certificate authority. docs/mpns.md explains the steps.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createSigningRequest, isKeyKind, isServiceName } from "./signingRequest.ts";

const USAGE = `usage: npm run mpns-csr -- --name push.example.com [--key p256|rsa] [--directory DIR]
  --name       the service name: what the app passes to HttpNotificationChannel
  --key        p256 (default) or rsa (3072 bits), if the authority or the gateway needs RSA
  --directory  where NAME.key.pem and NAME.csr.pem are written; default: here`;

process.exitCode = await run();

async function run(): Promise<number> {
  const options = readOptions();
  if (options === undefined) {
    console.error(USAGE);
    return 2;
  }
  const { name, key, directory } = options;
  const { privateKey, request } = await createSigningRequest(name, key);
  const keyPath = join(directory, `${name}.key.pem`);
  const requestPath = join(directory, `${name}.csr.pem`);
  try {
    await mkdir(directory, { recursive: true });
    // An existing key may belong to a certificate in use: never overwrite it.
    await writeFile(keyPath, privateKey, { mode: 0o600, flag: "wx" });
    await writeFile(requestPath, request, { flag: "wx" });
  } catch (error) {
    console.error(`Nothing is overwritten: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  console.log(toSteps(name, keyPath, requestPath));
  return 0;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        name: { type: "string" },
        key: { type: "string", default: "p256" },
        directory: { type: "string", default: "." },
      },
    });
    const { name, key, directory } = values;
    return name !== undefined && isServiceName(name) && isKeyKind(key) ? { name, key, directory } : undefined;
  } catch {
    return undefined; // an unknown option
  }
}

function toSteps(name: string, keyPath: string, requestPath: string): string {
  return `Written:
  ${keyPath} (keep it secret)
  ${requestPath}

1. Have the request signed by the authority that your gateway trusts: your own,
   or the gateway's. The certificate needs the purpose "client authentication",
   which the large public authorities have not issued since May 2026.
2. Save the certificate, then its intermediates, as one PEM file: chain.pem.
3. If the gateway wants the public certificate, upload it without the key:
     openssl x509 -in chain.pem -outform der -out ${name}.cer
4. Set the app's settings:
     MPNS_CERTIFICATE    the content of chain.pem
     MPNS_PRIVATE_KEY    the content of ${keyPath}
     MPNS_SERVICE_NAME   ${name}
   To renew without a gap: MPNS_CERTIFICATE_NEXT and MPNS_PRIVATE_KEY_NEXT.
5. Let the app open its channel under the same name:
     new HttpNotificationChannel("myChannel", "${name}")
   and register the channel's URI with platform "mpns".`;
}
