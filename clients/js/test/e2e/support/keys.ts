/** Tokens and grants as a service signs them. */

import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SECRET = "0123456789abcdef0123456789abcdef";
/** How much longer than they say the server takes tokens, in s. */
const LEEWAY_S = 30;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const sign = (text: string): string => `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
const seconds = (): number => Math.floor(Date.now() / 1_000);

/** Flags of a server that knows the signatures of {@link tokenFor} and {@link grantFor}, and how to be rid of its files. */
export async function keyFlags(): Promise<{ flags: string[]; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), "keys-"));
  const key = { kty: "oct", alg: "HS256", kid: "test", k: Buffer.from(SECRET).toString("base64url") };
  await writeFile(join(dir, "keys.json"), JSON.stringify({ keys: [key] }));
  await writeFile(join(dir, "secret"), SECRET);
  const flags = [
    "--heartbeat",
    "2s",
    "--max-requests",
    "0",
    "--jwks",
    join(dir, "keys.json"),
    "--secret-file",
    join(dir, "secret"),
  ];
  return { flags, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** A token that the server takes for so many seconds; of less than none it takes none. */
export const tokenFor = (ttl: number, role = "viewer"): string =>
  sign(
    `${encode({ alg: "HS256", typ: "JWT", kid: "test" })}.${encode({ sub: "user-7", roles: [role], iat: seconds() - 60, exp: seconds() + ttl - LEEWAY_S })}`,
  );

/** A grant to watch a task for so many seconds. */
export const grantFor = (task: string, ttl: number): string =>
  sign(`g1.${encode({ task_id: task, iat: seconds(), exp: seconds() + ttl })}`);
