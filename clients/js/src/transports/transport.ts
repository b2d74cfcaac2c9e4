/** What all transports have in common. */

import type { Frame, Wanted } from "../frames.js";
import type { Loss } from "../machine.js";
import type { ClientOptions } from "../types.js";

/** What a transport needs of its client. */
export interface Env {
  /** Where the routes are, absolute and without a slash at its end. */
  readonly url: string;
  readonly options: ClientOptions;
  /** `Authorization`, by a token that is asked for now. */
  headers(): Promise<Record<string, string>>;
}

/** What a transport tells: nothing more after `closed`. */
export interface Wire {
  /** The server has spoken: frames of topics may follow. */
  open(heartbeat: number | undefined): void;
  frame(frame: Frame): void;
  /** Frames are held back on the way. */
  buffered(): void;
  closed(loss?: Loss): void;
}

/** A connection, for all topics. */
export interface Link {
  /** What is to be watched from now on: all of it. */
  watch(topics: readonly Wanted[]): void;
  /** Asks for a sign of life; false where that cannot be. */
  ping(): boolean;
  /** Says nothing more. */
  close(): void;
}

/** Opens a connection that watches what `wanted` gives once it is there. */
export type Opener = (env: Env, wanted: () => readonly Wanted[], wire: Wire) => Link;
