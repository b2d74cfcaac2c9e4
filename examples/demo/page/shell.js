// The frame of a page that takes files: the picker, drops, pastes, the banner.

import { problem, setHidden } from './dom.js';

const banner = document.getElementById('banner');

/** Shows an error object in the banner, or with null closes it. */
export function warn(error) {
  if (error) {
    banner.querySelector('.banner-text').replaceChildren(...problem(error));
  }
  setHidden(banner, error === null);
}

/** A UUIDv4, also where the page is not served from a secure origin. */
export function randomId() {
  if (crypto.randomUUID) {
    return crypto.randomUUID();
  }
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The error object of an answer that is none of success. */
export async function refusal(response) {
  const body = await response.json().catch(() => null);
  return body?.error ?? { message: `The server answered ${response.status} ${response.statusText}` };
}

/** What to say where no answer came at all. */
export const NOT_THROUGH = {
  message: 'The upload did not get through: the connection broke, or the server refused it',
  solutions: ['Check the connection and that no file has changed or moved', 'Send fewer or smaller files'],
};

/** Sends files as they are chosen, dropped or pasted, by `send(files)`. */
export function takeFiles(send) {
  const picker = document.getElementById('files');
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
      sendTransfer(event.clipboardData, send);
    }
  });
  listenForDrops(send);
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

async function sendTransfer(transfer, send) {
  const { files, folders } = filesOf(transfer);
  if (folders > 0 && files.length === 0) {
    warn({ message: 'A folder cannot be sent', solutions: ['Open it and drop the files in it'] });
    return;
  }
  if (files.length === 0) {
    warn({ message: 'There was no file in what was dropped' });
    return;
  }
  const sent = send(files);
  if (folders > 0) {
    warn({ message: 'Folders were left out', solutions: ['Open them and drop the files in them'] });
  }
  await sent;
}

function listenForDrops(send) {
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
      sendTransfer(event.dataTransfer, send);
    }
  });
}

banner.querySelector('button').addEventListener('click', () => warn(null));
