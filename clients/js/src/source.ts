/** Where frames come from: a connection of this page, or that of all tabs. Loaded when something is watched. */

import type { Connection, Source, Watcher } from "./connection.js";
import type { TabHost } from "./share/tabs.js";
import type { Env } from "./transports/transport.js";

export async function openSource(env: Env, host: TabHost): Promise<Source> {
  // In a worker, an old browser, an insecure page: each for itself.
  const canShare =
    env.options.share !== false && typeof BroadcastChannel === "function" && !!globalThis.navigator?.locks;
  if (!canShare) return openConnection(env, host);
  const { Tabs } = await import("./share/tabs.js");
  return new Tabs(env, host, openConnection);
}

async function openConnection(env: Env, watcher: Watcher): Promise<Connection> {
  const { Connection } = await import("./connection.js");
  return new Connection(env, watcher);
}
