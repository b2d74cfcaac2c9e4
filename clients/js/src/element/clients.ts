import type { ClientOptions, ProgressClient } from "../types.js";

/** Clients that are shared by url: whoever comes first makes one, and it is closed some time after the last has gone. */

export type CreateClient = (options: ClientOptions) => ProgressClient;

/** What gives back the client; calling it again does nothing. */
export interface Lease {
  readonly client: ProgressClient;
  release(): void;
}

/** How long a client that nobody uses is kept: elements are moved and pages change without a new connection. */
const LINGER_MS = 5_000;

interface Shared {
  readonly client: ProgressClient;
  users: number;
  closing: ReturnType<typeof setTimeout> | undefined;
}

const shared = new Map<string, Shared>();

/** The client of these options, made by `create` if nobody uses one. Only `url` and `transports` tell them apart. */
export function lease(options: ClientOptions, create: CreateClient): Lease {
  const key = JSON.stringify([options.url, options.transports ?? null]);
  const entry: Shared = shared.get(key) ?? { client: create(options), users: 0, closing: undefined };
  shared.set(key, entry);
  clearTimeout(entry.closing);
  entry.users += 1;
  let held = true;
  return {
    client: entry.client,
    release() {
      if (!held) return;
      held = false;
      entry.users -= 1;
      if (entry.users > 0) return;
      entry.closing = setTimeout(() => {
        shared.delete(key);
        entry.client.close();
      }, LINGER_MS);
    },
  };
}
