import { make, setHidden, setText } from "../element/dom.js";
import { type Drawable, forgetDraw, requestDraw } from "../element/frame.js";
import { createProgressClient } from "../index.js";
import type { ClientOptions, ProgressClient, ProgressError } from "../types.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { gate } from "./gate.js";
import { readPlace, writePlace } from "./hash.js";
import { Header } from "./header.js";
import { VirtualList } from "./list.js";
import { DEFAULT_QUERY, type Query, select } from "./query.js";
import type { Row } from "./row.js";
import { ROW_HEIGHT, TaskFace } from "./row-face.js";
import { Session } from "./session.js";
import { TaskStore } from "./store.js";
import { Toolbar } from "./toolbar.js";
import { words } from "./words.js";

export interface DashboardOptions {
  /** Where the routes are mounted. */
  readonly url: string;
  /** Makes the client (default: the one of this package). */
  readonly create?: (options: ClientOptions) => ProgressClient;
}

/** How often the list is put in order: rows that change places with each event cannot be read. */
const ORDER_MS = 500;

/** The live list of tasks, and one of them in full. */
export class Dashboard implements Drawable {
  readonly root: HTMLElement;
  readonly #options: DashboardOptions;
  readonly #session = new Session();
  readonly #header: Header;
  readonly #toolbar: Toolbar;
  readonly #list: VirtualList<Row>;
  readonly #note = make("p", { class: "note", role: "status", hidden: "" });
  readonly #blank = make("p", { class: "blank quiet" });
  readonly #detail: Detail;
  readonly #main: HTMLElement;
  readonly #leaving = new AbortController();
  #gate: { readonly root: HTMLElement; readonly error: ProgressError } | null = null;
  #client: ProgressClient | null = null;
  #store = new TaskStore();
  #feed: Feed | null = null;
  #query: Query = DEFAULT_QUERY;
  #orderedAt = -Infinity;
  #ordered = -1;
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor(options: DashboardOptions) {
    this.#options = options;
    this.#header = new Header(() => this.#use(null, false));
    this.#toolbar = new Toolbar((query) => this.#ask(query));
    this.#detail = new Detail(() => this.#choose(null), (id) => this.#choose(id));
    this.#list = new VirtualList<Row>({
      label: words.list,
      rowHeight: ROW_HEIGHT,
      create: () => new TaskFace(),
      choose: (id) => this.#choose(id),
      moved: () => requestDraw(this, true),
    });
    this.#main = make(
      "main",
      { class: "panes" },
      make("section", { class: "tasks", "aria-label": words.list }, this.#toolbar.root, this.#note, this.#blank, this.#list.root),
      this.#detail.root,
    );
    this.root = make("div", { class: "dashboard" }, this.#header.root, this.#main);
    const { signal } = this.#leaving;
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    addEventListener("popstate", () => this.#place(), { signal });
  }

  start(): void {
    this.#connect();
    this.#place();
  }

  /** Ends all connections, timers and listeners. */
  close(): void {
    this.#leaving.abort();
    this.#disconnect();
    forgetDraw(this);
    clearTimeout(this.#late);
  }

  draw(now: number): void {
    const client = this.#client;
    const feed = this.#feed;
    if (client === null || feed === null) return;
    this.#header.draw(client.connection, client.transport, this.#session.token !== null);
    this.#drawGate(feed);
    if (this.#gate !== null) return;
    this.#order(now);
    this.#drawNotes(feed);
    this.#list.draw((row) => this.#store.get(row.id) ?? row);
  }

  #connect(): void {
    const { url, create = createProgressClient } = this.#options;
    const { token } = this.#session;
    // What a token of this tab may see is not for the others.
    const client = create({ url, getToken: () => token, share: token === null });
    this.#client = client;
    this.#store = new TaskStore();
    this.#ordered = -1;
    this.#feed = new Feed(client, this.#store, () => requestDraw(this));
    client.subscribe(() => requestDraw(this));
    this.#feed.start();
    requestDraw(this);
  }

  #disconnect(): void {
    this.#detail.show(null, null);
    this.#feed?.stop();
    this.#client?.close();
    this.#feed = this.#client = null;
  }

  /** Goes on with another token, or with none. */
  #use(token: string | null, remember: boolean): void {
    this.#session.set(token, remember);
    this.#disconnect();
    this.#connect();
    this.#place();
  }

  /** While another token is tried, the page that asked for it stays. */
  #drawGate({ state }: Feed): void {
    const error = state.kind === "refused" ? state.error : null;
    if (state.kind !== "loading" && error !== (this.#gate?.error ?? null)) {
      this.#gate?.root.remove();
      this.#gate = error === null ? null : { error, root: gate(error, (token, remember) => this.#use(token, remember)) };
      if (this.#gate !== null) {
        this.#header.count(null);
        this.root.append(this.#gate.root);
        this.#gate.root.querySelector("input")?.focus();
      }
    }
    setHidden(this.#main, this.#gate !== null);
  }

  /** Puts the list in order, if it is time; what happens meanwhile is shown in the places where it is. */
  #order(now: number): void {
    if (this.#ordered === this.#store.version) return;
    const rest = this.#orderedAt + ORDER_MS - now;
    if (rest > 0 && this.#orderedAt <= now) {
      this.#late ??= setTimeout(() => {
        this.#late = undefined;
        requestDraw(this);
      }, rest);
      return;
    }
    this.#ordered = this.#store.version;
    this.#orderedAt = now;
    this.#list.items = select(this.#store.rows(), this.#query);
    this.#header.count(this.#store.rows());
    this.#toolbar.offer(this.#store.rows());
    this.#toolbar.found(this.#list.items.length, this.#store.size);
  }

  #drawNotes(feed: Feed): void {
    const { state } = feed;
    const note = state.kind === "failed" ? words.listFails(state.error.message) : feed.polls && state.kind === "ready" ? words.listPolls : "";
    setText(this.#note, note);
    setHidden(this.#note, note === "");
    const none = this.#list.items.length === 0;
    setHidden(this.#blank, !none);
    setHidden(this.#list.root, none);
    if (none) setText(this.#blank, state.kind === "loading" ? words.loading : this.#store.size === 0 ? words.noTasks : words.noMatches);
  }

  #ask(query: Query): void {
    this.#query = query;
    this.#ordered = -1;
    this.#orderedAt = -Infinity;
    history.replaceState(null, "", writePlace({ query, task: this.#detail.task }));
    requestDraw(this);
  }

  /** Opens a task, or goes back to the list; the browser's way back does the same. */
  #choose(task: string | null): void {
    if (task !== this.#detail.task) history.pushState(null, "", writePlace({ query: this.#query, task }));
    this.#show(task);
    if (task === null) this.#list.focus();
    else if (getComputedStyle(this.#list.root.parentElement!).display === "none") this.#detail.focus();
  }

  #show(task: string | null): void {
    if (task !== this.#detail.task) this.#detail.show(this.#client, task);
    if (this.#feed !== null) this.#feed.selected = task;
    this.#list.chosen = task;
    this.root.classList.toggle("open", task !== null);
    requestDraw(this);
  }

  /** Shows what the page's address says. */
  #place(): void {
    const { query, task } = readPlace(location.hash);
    this.#query = query;
    this.#toolbar.query = query;
    this.#ordered = -1;
    this.#orderedAt = -Infinity;
    this.#show(task);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || this.#gate !== null) return;
    const typing = event.target instanceof HTMLElement && event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      this.#toolbar.focus();
    } else if (event.key === "Escape" && typing) {
      this.#list.focus();
    } else if (event.key === "Escape" && this.#detail.task !== null) {
      this.#choose(null);
    }
  }
}
