// Chooses how files are sent: together in one request, or, where they are large, in chunks. What is
// shown comes from the tracker alone.

import { Batch } from './batch.js';
import { LARGE, announce, sendMissing, standingOf } from './chunks.js';
import { client } from './client.js';
import { NOT_THROUGH, randomId, refusal, takeFiles, warn } from './shell.js';
import { drawThumbnail } from './thumb.js';
import { View } from './view.js';
import { bytes } from './words.js';

// Nothing has come of an upload for this long, and it is not sent from here.
const INTERRUPTED_MS = 3_000;

// What this page has in hand, by the id of its item.
const files = new Map();
// What it is sending at present: batch and items, each with what stops it.
const sending = new Map();
let batch = null;

const view = new View({
  cancel: (id) => cancel(id),
  cancelAll: () => cancel(batch.id),
  thumbnail: (id, element) => {
    if (files.has(id)) {
      drawThumbnail(files.get(id), element);
    }
  },
  instead: (task) => interruption(task),
});

/** Watches the batch of the address, if it names one. */
function showAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get('batch');
  if (id !== (batch?.id ?? null)) {
    showBatch(id);
  }
}

function showBatch(id) {
  batch?.stop();
  batch = id === null ? null : new Batch(id, (task) => view.changed(task));
  expectUpload();
  view.show(batch);
  warn(null);
  scrollTo(0, 0);
}

function expectUpload() {
  if (batch) {
    batch.expected = sending.has(batch.id);
    view.changed();
  }
}

/** Goes on with uploads that were left, and sends the others as a new batch. */
async function send(chosen) {
  warn(null);
  const rest = [];
  for (const file of chosen) {
    const left = leftUpload(file);
    if (left) {
      resume(left.id, file);
    } else {
      rest.push(file);
    }
  }
  if (rest.length > 0) {
    await sendBatch(rest);
  }
}

async function sendBatch(chosen) {
  const id = randomId();
  const items = chosen.map((file) => ({ file, name: file.name, task_id: randomId() }));
  for (const { file, task_id: item } of items) {
    files.set(item, file);
  }
  sending.set(id, new AbortController());
  // In the address before the first byte goes out, so that a reload finds it.
  history.pushState(null, '', `#batch=${id}`);
  showBatch(id);
  batch.plan(items.map(({ name, task_id }) => ({ name, task_id })));
  const large = items.filter(({ file }) => file.size > LARGE);
  const small = items.filter(({ file }) => file.size <= LARGE);
  // These first: each keeps the batch open until it is through.
  const announced = await Promise.all(large.map((item) => announceItem(item, id)));
  const work = announced.filter(Boolean).map(({ item, standing }) => sendItem(item.task_id, item.file, standing));
  if (small.length > 0) {
    work.push(sendTogether(id, small));
  }
  await Promise.all(work);
  sending.delete(id);
  expectUpload();
}

async function announceItem(item, batchId) {
  const { standing, error } = await announce(item.file, item.task_id, batchId);
  if (error) {
    showRefusal(batchId, [item], error);
    return null;
  }
  return { item, standing };
}

/** Sends files in one request. Each is announced with its id, so that all can be watched at once. */
async function sendTogether(batchId, items) {
  const form = new FormData();
  const manifest = items.map(({ file, task_id: id }) => ({ name: file.name, size: file.size, id }));
  form.append('manifest', JSON.stringify(manifest));
  for (const { file } of items) {
    form.append('files', file, file.name);
  }
  const { signal } = sending.get(batchId);
  let error = NOT_THROUGH;
  try {
    const url = `/api/agent/analyze-media?batch=${batchId}`;
    const response = await fetch(url, { method: 'POST', body: form, signal });
    error = response.ok ? null : await refusal(response);
  } catch {
    // It was broken off, here or on the way.
  }
  if (error && !signal.aborted) {
    showRefusal(batchId, items, error);
  }
}

/** Shows at the items why they were not taken, and what the tracker does not show at the top. */
function showRefusal(batchId, items, error) {
  if (batch?.id === batchId) {
    items.forEach((item) => batch.refuse(item.task_id, error));
    warn(error);
  }
}

/** Sends what is missing of a large file. */
async function sendItem(id, file, standing) {
  const stop = new AbortController();
  sending.set(id, stop);
  const error = await sendMissing(file, standing, stop.signal);
  sending.delete(id);
  if (error && !stop.signal.aborted && batch?.file(id)?.isOver === false) {
    warn({ ...error, solutions: [...(error.solutions ?? []), 'Choose the file again to go on where it stopped'] });
  }
}

async function resume(id, file) {
  files.set(id, file);
  const { standing, error } = await standingOf(id);
  if (error) {
    warn(error);
  } else {
    await sendItem(id, file, standing);
  }
}

/** The task of the batch that is shown whose upload was left and whose file this seems to be. */
function leftUpload({ name, size }) {
  const isIt = (task) => task.name === name && task.file?.size === size && isLeft(task);
  return batch && [...batch.files].find(isIt);
}

/** Whether its upload in chunks has not come to its end, and is not going on from here. */
function isLeft({ id, file, isOver, uploaded }) {
  return file?.chunked && !isOver && !sending.has(id) && uploaded !== null && uploaded < 100;
}

/** What is said of an upload that was left. */
function interruption(task) {
  if (!isLeft(task) || Date.now() - task.movedAt < INTERRUPTED_MS) {
    return null;
  }
  const there = task.stage('upload').current ?? 0;
  return `Interrupted at ${bytes(there)} of ${bytes(task.file.size)}: choose the file again to go on`;
}

async function cancel(id) {
  try {
    await client.task(id).cancel('user');
  } catch (refused) {
    // Else it has ended meanwhile.
    if (refused.status !== 409) {
      warn(refused.error ?? { message: 'The request did not get through', solutions: ['Check the connection'] });
      return;
    }
  }
  sending.get(id)?.abort();
  if (id === batch?.id) {
    [...batch.files].forEach((task) => sending.get(task.id)?.abort());
  }
}

addEventListener('popstate', showAddress);
addEventListener('hashchange', showAddress);
takeFiles(send);
showAddress();
