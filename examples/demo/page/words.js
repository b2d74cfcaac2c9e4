// What the wire says, in words for people.

const STATES = {
  waiting: 'Waiting',
  queued: 'Queued',
  running: 'Running',
  uploading: 'Uploading',
  analyzing: 'Analysing',
  retrying: 'Retrying',
  paused: 'Paused',
  stalled: 'Stalled',
  completed: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  abandoned: 'Abandoned',
  lost: 'Lost',
};

const STAGES = {
  receive: 'Receiving',
  upload: 'Uploading',
  analyze: 'Analysing',
  hash: 'Computing the checksum',
  decode: 'Decoding the picture',
  exif: 'Reading the camera’s notes',
  colours: 'Finding the main colours',
  blurhash: 'Making a preview',
  sharpness: 'Measuring sharpness',
};

const CAUSES = {
  dropped: 'nobody finished it',
  panicked: 'the work on it broke down',
  parent_ended: 'its batch ended first',
  lease_expired: 'the server that worked on it is gone',
  silent: 'nothing was heard of it for too long',
  user: 'you asked for it',
};

const PHASES = { upload: 'uploading', analyze: 'analyzing' };

const CONNECTIONS = {
  connecting: 'connecting…',
  live: 'live',
  reconnecting: 'reconnecting…',
  polling: 'asking now and then',
  final: 'finished',
};

// Between a number and its unit no line breaks.
export const GLUE = '\u00a0';

const integer = new Intl.NumberFormat('en');
const decimal = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** The state, more exact where more is known: `uploading`, `analyzing`, `retrying`. */
export function phaseOf(task) {
  if (task.state !== 'running') {
    return task.state;
  }
  if (task.attempt && task.attempt.at > Date.now()) {
    return 'retrying';
  }
  const [top] = (task.snapshot.stage ?? '').split('/');
  return PHASES[top] ?? task.state;
}

export function stateWord(state) {
  return STATES[state] ?? sentence(state);
}

export function connectionWord(connection, lostAt) {
  if (connection === 'stale') {
    return `stale: connection lost ${duration(Date.now() - lostAt)} ago`;
  }
  return CONNECTIONS[connection];
}

export function count(number, one, many) {
  return `${integer.format(number)} ${number === 1 ? one : many}`;
}

export function files(number) {
  return count(number, 'file', 'files');
}

export function bytes(number) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let rest = number;
  while (rest >= 999.95 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return unit === 0 ? count(number, 'byte', 'bytes') : `${decimal.format(rest)}${GLUE}${units[unit]}`;
}

/** Rounded down: 100 % is said of what is completed, and of nothing else. */
export function percent(progress) {
  return Math.floor(progress);
}

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 1) {
    return 'less than a second';
  }
  if (seconds < 60) {
    return `${seconds}${GLUE}s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    const rest = seconds % 60;
    return `${minutes}${GLUE}min${rest === 0 ? '' : ` ${rest}${GLUE}s`}`;
  }
  return `${Math.floor(minutes / 60)}${GLUE}h ${minutes % 60}${GLUE}min`;
}

/** An estimate is rounded, so that it neither flickers nor pretends. */
export function remaining(ms) {
  const seconds = ms / 1000;
  // It was to be done by now: the estimate was wrong.
  if (seconds < -3) {
    return '';
  }
  if (seconds < 3) {
    return 'a moment left';
  }
  if (seconds < 55) {
    const step = seconds < 15 ? 1 : 5;
    return `about ${Math.round(seconds / step) * step}${GLUE}s left`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return minutes <= 1 ? 'about a minute left' : `about ${minutes}${GLUE}min left`;
  }
  const hours = Math.round(minutes / 60);
  return hours === 1 ? 'about an hour left' : `about ${hours} hours left`;
}

/** What a file's task is at, or why it ended without a result of its own. */
export function activity(task) {
  switch (task.state) {
    case 'waiting':
      return 'Its state is on the way';
    case 'queued':
      return waitingWord(task);
    case 'running':
      return attemptWord(task) ?? task.snapshot.message ?? stageWord(task) ?? 'Starting';
    case 'stalled':
      return 'Nothing has moved for a while';
    case 'cancelled':
    case 'abandoned':
      return causeWord(task.snapshot);
    case 'lost':
      return task.snapshot === null
        ? 'The server knows nothing of it'
        : 'The server has forgotten it; this is the last that was known';
    default:
      return '';
  }
}

/** Which attempt it is, and when it comes. */
function attemptWord(task) {
  if (!task.attempt) {
    return null;
  }
  const { number, of, at, error } = task.attempt;
  const attempt = `Attempt ${number} of ${of}`;
  const wait = at - Date.now();
  return wait > 0
    ? `${attempt} in ${decimal.format(wait / 1000)}${GLUE}s: ${error.message}`
    : `${attempt}: ${uncapital(stageWord(task) ?? 'starting')}`;
}

export function uncapital(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function waitingWord(task) {
  if (task.stage('upload')) {
    return 'Its upload has not begun';
  }
  const receive = task.stage('receive');
  if (receive && receive.progress < 100) {
    return stageWord(task) ?? 'Its upload has not begun';
  }
  return 'Waiting for its turn';
}

function causeWord({ cause }) {
  return cause ? sentence(CAUSES[cause] ?? cause) : '';
}

/** The stage, and how far it is where that means something to people. */
export function stageWord(task, path = task.snapshot?.stage) {
  if (!path) {
    return null;
  }
  if (task.isWaiting) {
    return 'Waiting for its turn';
  }
  const stage = task.stage(path);
  const last = path.slice(path.lastIndexOf('/') + 1);
  const word = STAGES[last] ?? sentence(stage?.label ?? last);
  // Batches count bytes with what encloses the files, so the unit is not always said.
  const counted = last === 'receive' || stage?.unit === 'bytes';
  if (counted && stage?.total > 0 && stage.current < stage.total) {
    return `${word}, ${bytes(stage.current ?? 0)} of ${bytes(stage.total)}`;
  }
  return word;
}

/** Makes a text a sentence's beginning. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Makes a text a whole sentence. */
export function fullSentence(text) {
  return /[.!?…]$/.test(text) ? sentence(text) : `${sentence(text)}.`;
}
