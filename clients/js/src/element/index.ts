/** The custom element `<progress-view>`, for pages with any framework or none. Importing it defines it. */

import { ProgressView } from "./progress-view.js";

export { ProgressView };
export { type SomeStrings, type Strings, setStrings } from "./strings.js";

/** Defines the element, once; where there are none, as on a server, it does nothing. */
if (typeof customElements !== "undefined" && customElements.get("progress-view") === undefined) {
  customElements.define("progress-view", ProgressView);
}

declare global {
  interface HTMLElementTagNameMap {
    "progress-view": ProgressView;
  }
  interface HTMLElementEventMap {
    "progress-complete": CustomEvent<{ result: unknown; snapshot: import("../types.js").Snapshot }>;
    "progress-error": CustomEvent<{
      error: import("../types.js").ProgressError;
      snapshot: import("../types.js").Snapshot | null;
    }>;
  }
}
