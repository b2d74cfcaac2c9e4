/**
 * When to connect, by what, and when to give a connection up: without a socket, a timer or a clock.
 *
 * There are two places for a link: the `current` one, whose frames count, and the `next`, which takes its place
 * once it has spoken. With no current link the next is a plain attempt; beside one it is a climb to a better
 * transport, or the way to another node before this one drains.
 */

import type { ErrorObject } from "./types.js";

/** How long an attempt may take, in ms. */
export const OPEN_MS = 10_000;
/** How long a `ping` may go unanswered after a wake from sleep, in ms. */
export const PING_MS = 5_000;
/** The same where the browser says that there is no network, in ms. */
export const OFFLINE_MS = 1_000;
/** How long a link has to live for its end to be no failure of the next attempt, in ms. */
export const STEADY_MS = 5_000;
/** So many links in a row that opened and then said nothing, and their transport is of no use on this network. */
export const SILENT_TRIES = 2;
/** So many failures to open in a row, and a transport is left for the one below. */
export const OPEN_TRIES = 2;
/** When a better transport is tried again, in ms: doubled to the second each time it fails. */
export const CLIMB_MS = [60_000, 600_000] as const;
/** The same after an outage, where the better one is known to work here. */
export const RECLIMB_MS = 1_000;

/** Why a link is closed, as far as its transport knows. */
export interface Loss {
  readonly error?: ErrorObject;
  /** How long the server asks to wait, in ms. */
  readonly after?: number;
  /** Nothing has come over it for two heartbeats. */
  readonly isSilent?: boolean;
  /** It cannot watch so much: a lower transport has to. */
  readonly isUnfit?: boolean;
}

export interface MachineOptions {
  /** How many transports there are, best first. */
  readonly rungs: number;
  readonly min: number;
  readonly max: number;
  readonly maxAttempts: number;
  readonly random: () => number;
}

/** What the machine has done in the world. */
export interface Effects {
  open(link: number, rung: number): void;
  close(link: number): void;
  /** Asks for a sign of life; false where the transport cannot. */
  ping(link: number): boolean;
  /** Nothing more is tried. */
  fail(error: ErrorObject): void;
}

interface Next {
  readonly id: number;
  readonly rung: number;
  readonly by: number;
}

interface Current {
  readonly id: number;
  readonly rung: number;
  readonly since: number;
  heard: number;
}

export class Machine {
  current: Current | null = null;
  next: Next | null = null;
  isOn = false;
  /** Failed attempts since a link has lived for a while. */
  tries = 0;
  heartbeat = 30_000;

  readonly #options: MachineOptions;
  readonly #effects: Effects;
  #ids = 0;
  /** The transport that the next plain attempt is made by. */
  #rung = 0;
  /** Of each transport: failures to open in a row, links in a row that said nothing, whether it has ever worked, and whether it is of no use on this network. */
  readonly #failed: number[] = [];
  readonly #silent: number[] = [];
  readonly #worked: boolean[] = [];
  readonly #spoiled: boolean[] = [];
  /** Refusals of credentials in a row: the second is final. */
  #denied = 0;
  #retryAt = Infinity;
  #climbAt = Infinity;
  #climbWait: number = CLIMB_MS[0];
  /** When the way to another node is made, beside the current link. */
  #moveAt = Infinity;
  #pongBy = Infinity;

  constructor(options: MachineOptions, effects: Effects) {
    this.#options = options;
    this.#effects = effects;
  }

  /** When {@link tick} has something to do. */
  get due(): number {
    const { current, next } = this;
    const beside = current && !next ? Math.min(this.#climbAt, this.#moveAt) : Infinity;
    const dead = current ? Math.min(current.heard + 2 * this.heartbeat, this.#pongBy) : Infinity;
    return Math.min(this.#retryAt, next?.by ?? Infinity, beside, dead);
  }

  /** There is something to watch. */
  start(now: number): void {
    if (this.isOn) return;
    this.isOn = true;
    this.#connect(now);
  }

  /** There is nothing to watch any more. */
  stop(): void {
    this.isOn = false;
    this.#drop("current");
    this.#drop("next");
    this.#retryAt = this.#climbAt = this.#moveAt = this.#pongBy = Infinity;
    this.tries = 0;
  }

  /** A link has had its first word of the server. */
  opened(id: number, now: number): void {
    const { next } = this;
    if (next?.id !== id) return;
    const { rung } = next;
    const lower = this.current ? rung > this.current.rung : true;
    this.next = null;
    this.#drop("current");
    this.current = { id, rung, since: now, heard: now };
    this.#rung = rung;
    this.#failed[rung] = this.#denied = 0;
    this.#worked[rung] = true;
    this.#moveAt = this.#pongBy = this.#retryAt = Infinity;
    const better = this.#better();
    if (lower || better < 0) this.#climbWait = CLIMB_MS[0];
    this.#climbAt = better < 0 ? Infinity : now + (lower && this.#worked[better] ? RECLIMB_MS : this.#climbWait);
  }

  /** Something has come over a link. */
  heard(id: number, now: number): void {
    if (this.current?.id !== id) return;
    this.current.heard = now;
    this.#pongBy = Infinity;
  }

  /** A link is closed, or could not be opened. */
  lost(id: number, now: number, loss: Loss = {}): void {
    const { current, next } = this;
    const code = loss.error?.code;
    const isFinal = loss.error?.is_retryable === false;
    if (current?.id === id) {
      this.current = null;
      const lived = now - current.since >= STEADY_MS;
      if (lived) this.tries = 0;
      const { rung, heard, since } = current;
      const wasMute = loss.isSilent && heard - since < this.heartbeat;
      this.#silent[rung] = wasMute ? (this.#silent[rung] ?? 0) + 1 : 0;
      if (loss.isUnfit || this.#silent[rung] >= SILENT_TRIES) this.#spoil(rung);
      if (isFinal && !this.#refused(code)) return this.#fail(loss.error!);
      if (next) return;
      // New credentials are asked for with each attempt, so that the old ones' end is no reason to wait.
      if (loss.isUnfit || isFinal || (code === "CREDENTIAL_EXPIRED" && lived)) return this.#connect(now);
      this.#retry(now, this.#moveAt < Infinity ? this.#moveAt - now : loss.after);
    } else if (next?.id === id) {
      this.next = null;
      if (loss.isUnfit) this.#spoil(next.rung);
      if (current) {
        this.#climbWait = Math.min(this.#climbWait * 2, CLIMB_MS[1]);
        if (this.#climbAt <= now) this.#climbAt = now + this.#climbWait;
        if (this.#moveAt <= now) this.#moveAt = now + this.#wait(loss.after);
        return;
      }
      if (isFinal && !this.#refused(code)) return this.#fail(loss.error!);
      if (isFinal || loss.isUnfit) return this.#connect(now);
      this.#failed[next.rung] = (this.#failed[next.rung] ?? 0) + 1;
      if (this.#failed[next.rung]! >= OPEN_TRIES) this.#leave(next.rung);
      this.#retry(now, loss.after);
    }
  }

  /** The server goes down, or wants to share its connections: on to the next before this one is closed. */
  draining(id: number, now: number, after: number): void {
    if (this.current?.id === id) this.#moveAt = now + after;
  }

  /** Frames come through a proxy that holds them back: transports like this one are of no use here. */
  buffered(id: number, now: number, rungs: readonly number[]): void {
    if (this.current?.id !== id) return;
    for (const rung of rungs) this.#spoil(rung);
    this.#leave(this.current.rung);
    if (!this.#spoiled[this.#rung]) this.#connect(now);
  }

  /** The network is another or is back: what was not to be had may be now. */
  online(now: number): void {
    this.#spoiled.length = 0;
    this.tries = 0;
    if (this.current) {
      if (this.#better() >= 0) this.#climbAt = now;
    } else if (this.next) {
      // Begun when there was no way.
      this.#drop("next");
      this.#connect(now);
    }
    this.visible(now);
  }

  /** Somebody looks: a lost connection is made at once, a silent one asked. */
  visible(now: number): void {
    if (this.#retryAt < Infinity) this.#connect(now);
    else this.check(now);
  }

  /** The machine has slept, or has no network: whether the link lives is asked, or another is made. */
  check(now: number, within = PING_MS): void {
    const { current } = this;
    if (!current || this.#pongBy <= now + within) return;
    if (this.#effects.ping(current.id)) this.#pongBy = now + within;
    else if (now - current.heard > this.heartbeat && !this.next) this.#moveAt = now;
  }

  /** Does what is due. */
  tick(now: number): void {
    const { current, next } = this;
    if (next && next.by <= now) {
      this.#effects.close(next.id);
      this.lost(next.id, now);
    }
    if (current && Math.min(current.heard + 2 * this.heartbeat, this.#pongBy) <= now) {
      this.#effects.close(current.id);
      this.#pongBy = Infinity;
      this.lost(current.id, now, { isSilent: true });
    }
    if (this.#retryAt <= now) this.#connect(now);
    if (!this.current || this.next) return;
    if (this.#moveAt <= now) this.#connect(now, this.current.rung);
    else if (this.#climbAt <= now) this.#connect(now, this.#better());
  }

  #connect(now: number, rung = this.#rung): void {
    this.#retryAt = Infinity;
    if (!this.isOn || this.next) return;
    const id = ++this.#ids;
    this.next = { id, rung, by: now + OPEN_MS };
    this.#effects.open(id, rung);
  }

  /** Full jitter: the whole wait is random, so that those who were cut off together come back apart. */
  #wait(after = 0): number {
    const { min, max, random } = this.#options;
    return after + random() * Math.min(max, min * 2 ** Math.min(this.tries, 30));
  }

  #retry(now: number, after?: number): void {
    if (!this.isOn) return;
    if (this.tries >= this.#options.maxAttempts) {
      return this.#fail({ code: "UNREACHABLE", message: "the server cannot be reached", is_retryable: true });
    }
    this.#retryAt = now + this.#wait(after);
    this.tries++;
  }

  /** Of no use until the network is another. */
  #spoil(rung: number): void {
    this.#spoiled[rung] = true;
    if (this.#rung === rung) this.#leave(rung);
  }

  /** One rung down, and from the lowest to the top again: where nothing works, none of them is to blame. */
  #leave(rung: number): void {
    this.#failed[rung] = 0;
    const { rungs } = this.#options;
    for (let step = 1; step <= rungs; step++) {
      this.#rung = (rung + step) % rungs;
      if (!this.#spoiled[this.#rung]) return;
    }
  }

  /** The best transport above the current one that is not known to be held back; -1 for none. */
  #better(): number {
    for (let rung = 0; rung < (this.current?.rung ?? 0); rung++) if (!this.#spoiled[rung]) return rung;
    return -1;
  }

  /** Whether credentials were refused for the first time: others are asked for once. */
  #refused(code: string | undefined): boolean {
    return code === "UNAUTHENTICATED" && this.#denied++ === 0;
  }

  #fail(error: ErrorObject): void {
    this.stop();
    this.#effects.fail(error);
  }

  #drop(place: "current" | "next"): void {
    const link = this[place];
    this[place] = null;
    if (link) this.#effects.close(link.id);
  }
}
