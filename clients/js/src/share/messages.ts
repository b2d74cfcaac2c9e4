/** What tabs say to each other over a `BroadcastChannel`. */

import type { Frame, Wanted } from "../frames.js";
import type { ConnectionState, ErrorObject, TransportName } from "../types.js";

/** Raised when old and new tabs could not understand each other: they are in different channels then. */
export const VERSION = 1;

/** A topic that a tab watches, and whether it knows where that stands. */
export interface Asked extends Wanted {
  readonly told: boolean;
}

export type Say =
  /** This tab has the connection from now on. */
  | { readonly type: "lead" }
  /** All that this tab watches, in place of what it said before. */
  | { readonly type: "want"; readonly topics: readonly Asked[] }
  | { readonly type: "frames"; readonly frames: readonly Frame[] }
  | {
      readonly type: "status";
      readonly link: ConnectionState;
      readonly transport: TransportName | null;
      /** Whether verdicts from before count no more. */
      readonly lost: boolean;
    }
  | { readonly type: "fail"; readonly error: ErrorObject }
  /** Is anybody there? Whoever has the connection answers with a `status`. */
  | { readonly type: "ping" };

/** To all tabs, or to one. */
export type Message = Say & { readonly from: string; readonly to?: string };
