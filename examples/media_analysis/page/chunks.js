// Sends a file in chunks, each again where it fails, and goes on where an upload was left.

import { NOT_THROUGH, refusal } from './shell.js';

// What is above this many bytes is sent in chunks.
export const LARGE = 100_000_000;

const AT_ONCE = 3;
const TRIES = 6;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 8_000;

/** Announces a file; answers `{standing}` or `{error}`. */
export async function announce(file, id, batch) {
  const { name, size } = file;
  const body = JSON.stringify({ name, size, batch, id });
  const headers = { 'Content-Type': 'application/json' };
  const announced = await attempt(() => fetch('/api/uploads', { method: 'POST', headers, body }));
  // An attempt before may have got through without its answer.
  return announced.error?.code === 'ALREADY_EXISTS' ? standingOf(id) : announced;
}

/** What the server has of an upload; answers `{standing}` or `{error}`. */
export function standingOf(id) {
  return attempt(() => fetch(`/api/uploads/${id}`));
}

/** Sends what is missing, and says that it is all there. Answers the error, if it did not go well. */
export async function sendMissing(file, standing, signal) {
  const missing = standing.missing.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, at) => first + at),
  );
  let error = null;
  const work = async () => {
    while (missing.length > 0 && !error && !signal.aborted) {
      const sent = await sendChunk(file, standing, missing.shift(), signal);
      error ??= sent.error ?? null;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (error || signal.aborted) {
    return error;
  }
  const url = `/api/uploads/${standing.upload_id}/complete`;
  const completed = await attempt(() => fetch(url, { method: 'POST', signal }));
  return completed.error ?? null;
}

function sendChunk(file, { upload_id: id, chunk_size: length, size }, number, signal) {
  const first = number * length;
  const last = Math.min(first + length, size);
  const headers = { 'Content-Range': `bytes ${first}-${last - 1}/${size}` };
  const url = `/api/uploads/${id}/chunks/${number}`;
  const body = file.slice(first, last);
  return attempt(() => fetch(url, { method: 'PUT', headers, body, signal }), signal);
}

/** Without a network no attempt is worth anything. */
async function untilOnline(signal) {
  while (!navigator.onLine && !signal?.aborted) {
    await new Promise((resolve) => {
      addEventListener('online', resolve, { once: true });
      signal?.addEventListener('abort', resolve, { once: true });
    });
  }
}

/** Asks until it is answered with something that will not change by asking again. */
async function attempt(ask, signal) {
  let error = NOT_THROUGH;
  for (let tries = 0; tries < TRIES && !signal?.aborted; tries += 1) {
    if (tries > 0) {
      const most = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** tries);
      await new Promise((resolve) => setTimeout(resolve, most * (0.5 + Math.random() / 2)));
    }
    await untilOnline(signal);
    try {
      const response = await ask();
      if (response.ok) {
        return { standing: await response.json() };
      }
      error = await refusal(response);
      if (!error.is_retryable) {
        break;
      }
    } catch {
      error = NOT_THROUGH;
    }
  }
  return { error };
}
