// Drop files and watch them being processed. What is shown comes from the tracker alone: this page
// sends files, and forgets them.

import { Batch } from './batch.js';
import { NOT_THROUGH, randomId, refusal, takeFiles, warn } from './shell.js';
import { View } from './view.js';

const view = new View();
// The batches that this page is sending at present.
const uploads = new Set();
let batch = null;

/** Watches the batch of the address, if it names one. */
function showAddress() {
  const id = new URLSearchParams(location.search).get('batch');
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

/** Tells the batch whether it is on its way from here. */
function expectUpload() {
  if (batch) {
    batch.expected = uploads.has(batch.id);
    view.changed();
  }
}

/** Sends files as a new batch. Its id is in the address before the first byte goes out, so that a
 * reload in the middle finds it. */
async function send(files) {
  const id = randomId();
  history.pushState(null, '', `?batch=${id}`);
  uploads.add(id);
  showBatch(id);
  const error = await upload(id, files);
  uploads.delete(id);
  expectUpload();
  // Whoever looks at another batch meanwhile finds this one's end at its address.
  if (error && batch?.id === id) {
    refuse(error);
  }
}

/** Shows why an upload was not taken. */
function refuse(error) {
  if (batch.task.snapshot === null) {
    // There never was such a batch: an address that names it would mislead.
    history.replaceState(null, '', location.pathname);
    showBatch(null);
  }
  // What the tracker says about it, the batch's summary shows already.
  if (batch?.task.snapshot?.error?.code !== error.code || !error.code) {
    warn(error);
  }
}

/** Answers the error object, if it did not go well. */
async function upload(id, files) {
  const form = new FormData();
  const manifest = files.map(({ name, size }) => ({ name, size }));
  // First, so that the server knows the totals before the first byte of a file.
  form.append('manifest', JSON.stringify(manifest));
  for (const file of files) {
    form.append('files', file, file.name);
  }
  try {
    const response = await fetch(`/api/jobs?batch=${id}`, { method: 'POST', body: form });
    return response.ok ? null : await refusal(response);
  } catch {
    return NOT_THROUGH;
  }
}

addEventListener('popstate', showAddress);
takeFiles(send);
showAddress();
