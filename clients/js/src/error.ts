/** Errors as the server tells them, and as this client throws them. */

import type { ErrorObject } from "./types.js";

/** Why something was refused or could not be done, as the server told it. */
export class ProgressError extends Error {
  override readonly name = "ProgressError";
  /** A stable name in `UPPER_SNAKE`, such as `FORBIDDEN`. */
  readonly code: string;
  /** Whether the same thing may succeed later. */
  readonly isRetryable: boolean;
  /** The status of the answer, where there was one. */
  declare readonly status?: number;
  /** All that the server said. */
  readonly error: ErrorObject;

  constructor(error: ErrorObject, status?: number) {
    super(error.message);
    this.code = error.code;
    this.isRetryable = !!error.is_retryable;
    this.error = error;
    if (status) this.status = status;
  }
}

/** The error that an answer of the server tells; another's page gets one of its status. */
export function refusal(status: number, body: unknown): ProgressError {
  const told = (body as { error?: ErrorObject } | null | undefined)?.error;
  return new ProgressError(
    told?.code ? told : { code: `HTTP_${status}`, message: `the answer was ${status}`, is_retryable: true },
    status,
  );
}
