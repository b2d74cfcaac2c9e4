/** What requests have in common. */

import { refusal } from "../error.js";
import type { Loss } from "../machine.js";

/** How long an answer asks to wait, in ms; `Retry-After` is seconds or a date. */
export function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? ms : undefined;
}

/** What an answer that is no success means. What is not of our server's words may go away by itself. */
export async function lossOf(response: Response): Promise<Loss> {
  const { error } = refusal(response.status, await response.json().catch(() => null));
  const after = retryAfter(response) ?? error.retry_after_ms;
  return { error, ...(after === undefined ? {} : { after }) };
}
