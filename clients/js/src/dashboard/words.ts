import { number, replace, type Some } from "../element/strings.js";
import type { ConnectionState, TransportName } from "../types.js";
import type { Sort } from "./query.js";

/** What the dashboard says, beside the words of the element; see {@link setWords}. */
export const words = {
  title: "Tasks",
  search: "Search",
  searchHint: "Name, id, message…  ( / )",
  state: "State",
  kind: "Kind",
  label: "Label",
  labelHint: "name:value",
  sort: "Order",
  anyKind: "All kinds",
  list: "Tasks",
  detail: "Task",
  progress: "Progress",
  groups: { active: "Active", ended: "Ended", all: "All" } as Record<string, string>,
  sorts: {
    newest: "Newest first",
    oldest: "Oldest first",
    name: "By name",
    progress: "By progress",
    eta: "Soonest done",
    state: "Attention first",
  } as Record<Sort, string>,
  transports: {
    websocket: "WebSocket",
    "fetch-sse": "event stream",
    "event-source": "event stream",
    poll: "polling",
  } as Record<TransportName, string>,
  connections: {
    idle: "Not connected",
    connecting: "Connecting…",
    live: "Live",
    stale: "Reconnecting…",
    resyncing: "Catching up…",
    polling: "Polling",
    ended: "Disconnected",
  } as Record<ConnectionState, string>,
  listPolls: "The list is asked for every few seconds: its changes cannot be streamed to you.",
  listFails: (message: string) => `The list cannot be loaded now: ${message}. It is tried again.`,
  loading: "Loading tasks…",
  noTasks: "No tasks yet. What is started shows here at once.",
  noMatches: "Nothing matches.",
  clear: "Clear filters",
  shown: (shown: number, all: number) => (shown === all ? `${count(all)} tasks` : `${count(shown)} of ${count(all)} tasks`),
  choose: "Choose a task to see its stages, log and errors.",
  keys: "Arrow keys move, Enter opens, / searches, Escape goes back.",
  back: "All tasks",
  facts: { kind: "Kind", started: "Started", attempt: "Attempt", parent: "Part of", children: "Parts" },
  result: "Result",
  metadata: "Metadata",
  custom: "Values",
  cut: "… (cut)",
  refusedTitle: "You may not list tasks here",
  unknownTitle: "Who are you?",
  needsList: "This page lists all tasks. That takes the permission “list”, and “channel” to see changes at once.",
  needsToken: "The server has to know who asks before it lists its tasks. Give it a token, or sign in where this service lets you and come back.",
  token: "Token",
  remember: "Keep it in this tab until it is closed",
  use: "Use token",
  forget: "Forget token",
  tokenHint: "It is sent in a header, never in an address.",
  solutions: "What may help",
};

/** All that the dashboard says beside the element. */
export type Words = typeof words;

/** What may be given to {@link setWords}: any of the words. */
export type SomeWords = Some<Words>;

/**
 * Replaces some of the words of dashboards that are made from now on. Those of states, times and errors are the
 * element's: `setStrings`, which also says by which language numbers are written.
 *
 * @example
 * setStrings({ locale: "de", states: { running: "Läuft" } });
 * setWords({ title: "Aufgaben", search: "Suche", groups: { active: "Aktiv", ended: "Beendet", all: "Alle" } });
 * document.body.append(new Dashboard({ url: "/api" }).root);
 */
export function setWords(some: SomeWords): void {
  replace(words, some);
}

/** A number, by the language of `setStrings`. */
export const count = number;
