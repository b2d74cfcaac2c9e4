// Drop files and watch them being processed. What is shown comes from the tracker alone: this page
// sends files, and forgets them.

import { Batch } from './batch.js';
import { problem, setHidden } from './dom.js';
import { View } from './view.js';

const view = new View();
const picker = document.getElementById('files');
const banner = document.getElementById('banner');
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
  if (files.length === 0) {
    warn({ message: 'There was no file in what was dropped' });
    return;
  }
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
  let response;
  try {
    response = await fetch(`/api/jobs?batch=${id}`, { method: 'POST', body: form });
  } catch {
    return {
      message: 'The upload did not get through: the connection broke, or the server refused it',
      solutions: ['Check the connection and that no file has changed or moved', 'Send fewer or smaller files'],
    };
  }
  if (response.ok) {
    return null;
  }
  const body = await response.json().catch(() => null);
  return body?.error ?? { message: `The server answered ${response.status} ${response.statusText}` };
}

/** A UUIDv4, also where the page is not served from a secure origin. */
function randomId() {
  if (crypto.randomUUID) {
    return crypto.randomUUID();
  }
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Shows an error object in the banner, or with null closes it. */
function warn(error) {
  if (error) {
    banner.querySelector('.banner-text').replaceChildren(...problem(error));
  }
  setHidden(banner, error === null);
}

/** The files of a drop or a paste. A folder looks like a file that cannot be read: it is left out. */
function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === 'file');
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory ?? false;
  const folders = items.filter(isFolder).length;
  const files = items
    .filter((item) => !isFolder(item))
    .map((item) => item.getAsFile())
    .filter(Boolean);
  return { files, folders };
}

async function sendTransfer(transfer) {
  const { files, folders } = filesOf(transfer);
  if (folders > 0 && files.length === 0) {
    warn({ message: 'A folder cannot be sent', solutions: ['Open it and drop the files in it'] });
    return;
  }
  const sent = send(files);
  if (folders > 0) {
    warn({ message: 'Folders were left out', solutions: ['Open them and drop the files in them'] });
  }
  await sent;
}

function listenForFiles() {
  picker.addEventListener('change', () => {
    const files = [...picker.files];
    // The same files can be chosen again.
    picker.value = '';
    if (files.length > 0) {
      send(files);
    }
  });
  document.getElementById('picker').addEventListener('submit', (event) => event.preventDefault());
  document.addEventListener('paste', (event) => {
    if (filesOf(event.clipboardData).files.length > 0) {
      sendTransfer(event.clipboardData);
    }
  });
  listenForDrops();
}

function listenForDrops() {
  const veil = document.getElementById('veil');
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragover', (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      event.dataTransfer.dropEffect = 'copy';
      setHidden(veil, false);
    }
  });
  document.addEventListener('dragleave', (event) => {
    // Left for nothing: for outside the window.
    if (event.relatedTarget === null) {
      setHidden(veil, true);
    }
  });
  document.addEventListener('drop', (event) => {
    setHidden(veil, true);
    if (carriesFiles(event)) {
      event.preventDefault();
      sendTransfer(event.dataTransfer);
    }
  });
}

banner.querySelector('button').addEventListener('click', () => warn(null));
addEventListener('popstate', showAddress);
listenForFiles();
showAddress();
