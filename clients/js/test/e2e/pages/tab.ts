/** A page that watches tasks and keeps all that it is told, for a test to look at. */

import {
  createProgressClient,
  type ClientOptions,
  type ConnectionState,
  type ProgressClient,
  type ProgressEvent,
  type Snapshot,
} from "../../../src/index.js";

/** An event, as short as a test needs it. */
export interface Seen {
  readonly epoch: string;
  readonly from: number;
  readonly seq: number;
  readonly type: string;
  /** Of the test's own events: which. */
  readonly n?: number;
}

export interface Watched {
  connection: ConnectionState;
  snapshot: Snapshot | null;
  logs: number;
  readonly events: Seen[];
  /** Each state that it was in, and since when. */
  readonly states: { readonly state: ConnectionState; readonly at: number }[];
  readonly completes: unknown[];
  readonly errors: string[];
}

export interface Settings extends Omit<ClientOptions, "url" | "getToken" | "getGrant"> {
  /** The test gives `token` or `grant` by functions of the page. */
  readonly hasToken?: boolean;
  readonly hasGrant?: boolean;
}

declare global {
  interface Window {
    token(): Promise<string>;
    grant(task: string): Promise<string>;
    tab: typeof tab;
  }
}

const seen = ({ epoch, seq, from = seq, event_type, data }: ProgressEvent): Seen => ({
  epoch,
  from,
  seq,
  type: event_type,
  ...(event_type === "step" ? { n: data.n as number } : {}),
});

let client: ProgressClient;
const watched = new Map<string, Watched>();
const iterated = new Map<string, Seen[]>();

const tab = {
  /** Whether "back" has shown the very page that was left. */
  persisted: false,
  start({ hasToken, hasGrant, ...options }: Settings): void {
    client = createProgressClient({
      url: location.origin,
      ...options,
      ...(hasToken ? { getToken: () => window.token() } : {}),
      ...(hasGrant ? { getGrant: (task) => window.grant(task) } : {}),
    });
  },
  watch(ids: readonly string[]): void {
    for (const id of ids) {
      const all: Watched = {
        connection: "idle",
        snapshot: null,
        logs: 0,
        events: [],
        states: [],
        completes: [],
        errors: [],
      };
      watched.set(id, all);
      const task = client.task(id, {
        onEvent: (event) => void all.events.push(seen(event)),
        onComplete: (result) => void all.completes.push(result ?? null),
        onError: ({ code }) => void all.errors.push(code),
      });
      task.subscribe(({ connection, snapshot, logs }) => {
        if (connection !== all.connection) all.states.push({ state: connection, at: Date.now() });
        Object.assign(all, { connection, snapshot, logs: logs.length });
      });
    }
  },
  /** Reads a task's events from its beginning to its end. */
  async iterate(id: string): Promise<void> {
    const all: Seen[] = [];
    iterated.set(id, all);
    for await (const event of client.task(id)) all.push(seen(event));
  },
  task: (id: string): Watched => watched.get(id)!,
  tasks: (): Record<string, Watched> => Object.fromEntries(watched),
  read: (id: string): Seen[] => iterated.get(id) ?? [],
  link: () => ({ transport: client.transport, connection: client.connection }),
  /** Whether every task is in this state. */
  are: (state: ConnectionState): boolean =>
    watched.size > 0 && [...watched.values()].every(({ connection }) => connection === state),
  close: () => client.close(),
};
window.tab = tab;
addEventListener("pageshow", ({ persisted }) => (tab.persisted ||= persisted));
