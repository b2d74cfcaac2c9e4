// Puts the page together: what is told changes what is shown.

import { blobUrl, patch, post, read, token } from './api.js';
import { Channels } from './channels.js';
import { Clients } from './clients.js';
import { Hub } from './hub.js';
import { Photos } from './photos.js';
import { Sessions } from './sessions.js';
import { sentence } from './words.js';
import { Work } from './work.js';

const NAMES = ['jobs', 'photos', 'sessions', 'queue', 'approval', 'system', 'export'];
const CONNECTION = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Connection lost, trying again…',
  refused: 'Refused',
};
const RANKS = { viewer: 1, reviewer: 2, operator: 3 };
// Changes that come together are asked for together.
const GATHER_MS = 100;

const find = (selector) => document.querySelector(selector);

function showProblem(error) {
  const problem = find('#problem');
  problem.textContent = [error.message, ...(error.solutions ?? [])].join('. ');
  problem.hidden = false;
}

/** Has a form or a button do something, and says what went wrong with it. */
function act(work) {
  return async (event) => {
    event.preventDefault();
    find('#problem').hidden = true;
    try {
      await work(event);
    } catch (error) {
      showProblem(error);
    }
  };
}

function showConnection({ state, reason }) {
  const connection = find('#connection');
  connection.dataset.state = state;
  connection.querySelector('.word').textContent = CONNECTION[state] + (reason && state === 'refused' ? `: ${reason}` : '');
}

/** Runs at most once per moment, however often it is asked for. */
function gathered(work) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      work().catch(showProblem);
    }, GATHER_MS);
  };
}

async function start() {
  const me = await read('/api/me');
  const rank = RANKS[me.role] ?? 0;
  find('#who').textContent = token ? `${me.name}, ${me.role ?? 'no role'}` : 'open to everybody';
  for (const element of document.querySelectorAll('[data-role]')) {
    element.hidden = rank < RANKS[element.dataset.role];
  }

  const onProblem = showProblem;
  const photos = new Photos({ mayReview: rank >= RANKS.reviewer, onProblem });
  const work = new Work({ mayOrder: rank >= RANKS.operator, onProblem });
  const sessions = new Sessions({ onChoose: chooseSession });
  const refresh = {
    sessions: gathered(async () => sessions.replace((await read('/api/sessions')).sessions)),
    photos: gathered(async () => {
      const asked = sessions.chosen;
      const found = asked ? (await read(`/api/photos?session_id=${asked}`)).photos : [];
      if (asked === sessions.chosen) {
        photos.replace(found);
      }
    }),
    jobs: gathered(async () => {
      const [{ jobs }, queue] = await Promise.all([read('/api/jobs'), read('/api/queue')]);
      work.replace(jobs, queue);
    }),
    export: gathered(showExport),
  };
  refresh.queue = refresh.jobs;

  function chooseSession(id) {
    find('#photos-section').hidden = id === null;
    find('#photos-title').textContent = id ? `Pictures of ${sessions.get(id)?.name ?? ''}` : 'Pictures';
    find('#exports').replaceChildren();
    photos.replace([]);
    refresh.photos();
    if (rank >= RANKS.operator) {
      refresh.export();
    }
  }

  async function showExport() {
    const { exports } = await read('/api/exports');
    const newest = exports.find((known) => known.session_id === sessions.chosen);
    const line = find('#exports');
    line.replaceChildren();
    if (newest?.state === 'completed') {
      const button = document.createElement('button');
      button.textContent = `Download the export of ${newest.photos}`;
      button.onclick = act(() => download(newest.url));
      line.append(button);
    } else if (newest) {
      line.textContent = newest.error ? `Export: ${newest.error.message}` : 'Exporting…';
    }
  }

  const apply = {
    session_created: (data) => sessions.put({ ...data, state: 'open' }),
    session_updated: (data) => sessions.put(data),
    session_completed: (data) => sessions.put({ session_id: data.session_id, state: 'completed' }),
    photo_imported: (data) => put({ ...data, state: 'imported' }),
    photo_analyzed: ({ width, height, ...data }) => put({ ...data, state: 'pending', facts: { width, height } }),
    photo_selected: ({ photo_id, session_id, selected }) => put({ photo_id, session_id, selected }),
    photo_approved: (data) => put({ ...data, state: 'approved', decided_by: data.by }),
    photo_rejected: (data) => put({ ...data, state: 'rejected', decided_by: data.by }),
    job_created: (data) => work.put({ ...data, state: 'waiting' }),
    job_started: ({ job_id }) => work.put({ job_id, state: 'running' }),
    job_progress: ({ job_id, current, total }) => work.put({ job_id, current, total }),
    // What was no picture is gone.
    job_completed: ({ job_id }) => (work.put({ job_id, state: 'completed' }), refresh.photos()),
    job_failed: ({ job_id, error }) => (work.put({ job_id, state: 'failed', error }), refresh.photos()),
    queue_status: (data) => work.order(data),
    export_started: refresh.export,
    export_completed: refresh.export,
    export_failed: refresh.export,
  };

  function put(change) {
    if (change.session_id === sessions.chosen) {
      photos.put(change);
    }
  }

  const hub = new Hub({ token, name: `page ${crypto.randomUUID?.().slice(0, 4) ?? ''}`.trim(), channels: me.channels });
  const channels = new Channels(NAMES, me.channels, {
    onSwitch: (name, on) => (on ? (channels.status(name, 'waiting'), hub.subscribe(name)) : hub.unsubscribe(name)),
  });
  hub.addEventListener('state', ({ detail }) => showConnection(detail));
  hub.addEventListener('channel', ({ detail: { channel, status } }) => {
    channels.status(channel, status);
    if (status === 'stale') {
      channels.clear(channel);
      refresh[channel]?.();
    }
  });
  hub.addEventListener('event', ({ detail: { channel, event, history } }) => {
    channels.add(channel, event);
    if (!history) {
      apply[event.event_type]?.(event.data);
    }
  });
  hub.addEventListener('notice', ({ detail }) => {
    find('#notice-line').textContent = `Notice: ${detail.data?.text ?? sentence(detail)}`;
    find('#notice-line').hidden = false;
  });

  if (rank >= RANKS.operator) {
    new Clients({ onProblem });
    listen();
  }

  function listen() {
    find('#new-session').onsubmit = act(async ({ target }) => {
      const session = await post('/api/sessions', { name: target.elements.name.value });
      target.reset();
      sessions.put(session);
      sessions.choose(session.session_id);
    });
    find('#files').onchange = act(async ({ target }) => {
      const form = new FormData();
      form.append('session_id', sessions.chosen);
      form.append('priority', find('#priority').value);
      for (const file of target.files) {
        form.append('files', file);
      }
      target.value = '';
      await post('/api/jobs', form);
    });
    find('#complete').onclick = act(() => post(`/api/sessions/${sessions.chosen}/complete`));
    find('#export').onclick = act(() => post('/api/exports', { session_id: sessions.chosen }));
    find('#rename').onclick = act(async () => {
      const name = prompt('Another name', sessions.get(sessions.chosen).name);
      if (name) {
        await patch(`/api/sessions/${sessions.chosen}`, { name });
      }
    });
  }
}

async function download(url) {
  const link = document.createElement('a');
  link.href = await blobUrl(url);
  link.download = 'export.tar';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

start().catch((error) => {
  showConnection({ state: 'refused', reason: error.status === 401 ? 'this page needs a token' : error.message });
  if (error.status === 401) {
    showProblem({ message: 'Open the page by one of the addresses that the hub printed at its start' });
  }
});
