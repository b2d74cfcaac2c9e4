// Puts the page together: what is told changes what is shown.

import { blobUrl, patch, post, read, token } from './api.js';
import { Channels } from './channels.js';
import { Clients } from './clients.js';
import { List } from './list.js';
import { Photos } from './photos.js';
import { Presence } from './presence.js';
import { Sessions } from './sessions.js';
import { Watch } from './watch.js';
import { sentence } from './words.js';
import { Work } from './work.js';

const NAMES = ['jobs', 'photos', 'sessions', 'queue', 'approval', 'system', 'export'];
const CONNECTION = {
  idle: 'Nothing is watched',
  connecting: 'Connecting…',
  live: 'Live',
  resyncing: 'Catching up…',
  stale: 'Connection lost, trying again…',
  polling: 'No stream gets through, trying again…',
  ended: 'Not connected',
};
const RANKS = { viewer: 1, reviewer: 2, operator: 3 };

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

function showConnection(state, error) {
  const connection = find('#connection');
  connection.dataset.connection = state;
  connection.querySelector('.word').textContent = CONNECTION[state] + (error ? `: ${error.message}` : '');
  find('#again').hidden = state !== 'ended';
}

function showNotice(frame) {
  find('#notice-line').textContent = `Notice: ${frame.data?.text ?? sentence(frame)}`;
  find('#notice-line').hidden = false;
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
  const cards = new Channels(NAMES, me.channels, {
    onSwitch: (name, on) => (on ? watch.start(name) : watch.stop(name)),
  });

  /** By channel, by the type of an event: what it changes. */
  const changes = {
    sessions: {
      session_created: (data) => sessions.put({ ...data, state: 'open' }),
      session_updated: (data) => sessions.put(data),
      session_completed: ({ session_id }) => sessions.put({ session_id, state: 'completed' }),
    },
    photos: {
      photo_imported: (data) => putPhoto({ ...data, state: 'imported' }),
      photo_analyzed: ({ width, height, ...data }) => putPhoto({ ...data, state: 'pending', facts: { width, height } }),
      photo_selected: ({ photo_id, session_id, selected }) => putPhoto({ photo_id, session_id, selected }),
      photo_approved: (data) => putPhoto({ ...data, state: 'approved', decided_by: data.by }),
      photo_rejected: (data) => putPhoto({ ...data, state: 'rejected', decided_by: data.by }),
    },
    jobs: {
      job_created: (data) => work.put({ ...data, state: 'waiting' }),
      job_started: ({ job_id }) => work.put({ job_id, state: 'running' }),
      job_progress: ({ job_id, current, total }) => work.put({ job_id, current, total }),
      // What was no picture is gone.
      job_completed: ({ job_id }) => (work.put({ job_id, state: 'completed' }), renew('photos')),
      job_failed: ({ job_id, error }) => (work.put({ job_id, state: 'failed', error }), renew('photos')),
    },
    queue: { queue_status: (data) => work.order(data) },
    approval: { approval_queue_updated: showApprovals },
    export: {
      export_started: () => renew('export'),
      export_completed: () => renew('export'),
      export_failed: () => renew('export'),
    },
  };

  /** By channel: asks for what there is, and shows it. */
  const questions = {
    sessions: async () => show(await read('/api/sessions'), (list) => sessions.replace(list.sessions)),
    photos: async () => {
      const asked = sessions.chosen;
      const list = await read(`/api/photos?session_id=${asked ?? ''}`);
      return show(list, () => asked === sessions.chosen && photos.replace(list.photos));
    },
    jobs: async () => show(await read('/api/jobs'), (list) => work.replace(list.jobs)),
    queue: async () => show(await read('/api/queue'), (queue) => work.order(queue)),
    approval: async () => show(await read('/api/approvals'), showApprovals),
    export: async () => show(await read('/api/exports'), (list) => showExport(list.exports)),
  };

  function show(answer, how) {
    how(answer);
    return answer.as_of;
  }

  const lists = Object.fromEntries(
    Object.entries(questions).map(([name, ask]) => {
      const asked = async () => {
        const asOf = await ask();
        cards.enter(name, asOf.split(':')[0]);
        return asOf;
      };
      return [name, new List(asked, (event) => changes[name][event.event_type]?.(event.data))];
    }),
  );

  function renew(name) {
    lists[name].renew().catch(showProblem);
  }

  function putPhoto(change) {
    if (change.session_id === sessions.chosen) {
      photos.put(change);
    }
  }

  function chooseSession(id) {
    find('#photos-section').hidden = id === null;
    find('#photos-title').textContent = id ? `Pictures of ${sessions.get(id)?.name ?? ''}` : 'Pictures';
    find('#exports').replaceChildren();
    photos.replace([]);
    renew('photos');
    if (rank >= RANKS.operator) {
      renew('export');
    }
  }

  function showApprovals({ pending, approved, rejected }) {
    find('#approvals').textContent = `Reviews: ${pending} pending, ${approved} approved, ${rejected} rejected`;
  }

  function showExport(exports) {
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

  const watch = new Watch({
    token,
    share: `${me.role} ${me.name}`,
    cards,
    lists,
    onProblem,
    onState: (state, error) => {
      showConnection(state, error);
      presence.come();
      clients?.refresh();
    },
  });
  const presence = new Presence({
    token,
    name: `page ${crypto.randomUUID?.().slice(0, 4) ?? ''}`.trim(),
    isWanted: () => watch.isLive,
    onNotice: showNotice,
    onSentAway: () => watch.end({ message: 'an operator has sent this page away' }),
  });
  const clients = rank >= RANKS.operator ? new Clients({ onProblem }) : null;
  me.channels.forEach((name) => watch.start(name));
  if (rank >= RANKS.operator) {
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

find('#again').onclick = () => location.reload();
start().catch((error) => {
  showConnection('ended', { message: error.status === 401 ? 'this page needs a token' : error.message });
  if (error.status === 401) {
    showProblem({ message: 'Open the page by one of the addresses that the hub printed at its start' });
  }
});
