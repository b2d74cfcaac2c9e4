// The batch as a whole: its bar, its numbers, and what they mean in plain sentences.

import { Bar, Chip, make, problem, setData, setHidden, setText } from './dom.js';
import { bytes, count, duration, files, fullSentence } from './words.js';

// Fewer rows are seen at a glance.
const MANY_ROWS = 12;
const COUNTED = ['failed', 'cancelled', 'abandoned', 'lost', 'running', 'paused', 'stalled', 'queued'];

export class Summary {
  #root;
  #bar;
  #chip;
  #title;
  #counts;
  #verdict;
  #outcome;
  #toFailed;
  #error = null;

  constructor(root) {
    this.#root = root;
    this.#bar = new Bar(root);
    this.#chip = new Chip(root.querySelector('.chip'));
    this.#title = root.querySelector('h2');
    this.#counts = root.querySelector('.counts');
    this.#verdict = root.querySelector('.verdict');
    this.#outcome = root.querySelector('.outcome');
    this.#toFailed = root.querySelector('#to-failed');
  }

  /** Shows how the batch stands, and returns it in words. */
  show(batch) {
    const { task } = batch;
    const known = task.snapshot !== null;
    const tally = countFiles(batch);
    const parts = known ? tallyParts(tally, task) : [];
    const numbers = parts.map(([, words]) => words).join(', ');
    const sentences = verdict(batch, tally);
    setData(this.#root, 'known', String(known));
    setData(this.#root, 'state', task.state);
    setText(this.#title, tally.total > 0 ? files(tally.total) : 'Batch');
    this.#chip.show(task.state);
    this.#showCounts(numbers, parts);
    this.#bar.show(task, numbers);
    setText(this.#verdict, sentences);
    setHidden(this.#toFailed, !tally.failed || tally.total < MANY_ROWS);
    this.#showError(task.snapshot?.error ?? batch.refusal);
    return { numbers, verdict: sentences, tally };
  }

  #showCounts(numbers, parts) {
    if (this.#counts.textContent === numbers) {
      return;
    }
    const spans = parts.map(([state, words]) => {
      const span = make('span', '', words);
      span.dataset.part = state;
      return span;
    });
    this.#counts.replaceChildren(...spans.flatMap((span, at) => (at > 0 ? [', ', span] : [span])));
  }

  #showError(error) {
    if (this.#error !== error) {
      this.#error = error;
      this.#outcome.replaceChildren(...(error ? problem(error) : []));
      setHidden(this.#outcome, !error);
    }
  }
}

/** Counts the rows, so that the numbers never contradict what stands below them. */
function countFiles({ task, files }) {
  const tally = { total: 0, listed: 0 };
  for (const { state } of files) {
    tally.listed += 1;
    tally[state] = (tally[state] ?? 0) + 1;
  }
  const announced = task.stage('files')?.total ?? 0;
  tally.total = Math.max(tally.listed, announced, task.snapshot?.result?.total ?? 0);
  return tally;
}

/** Pairs of a state and what is said of the files in it. */
function tallyParts(tally, task) {
  const parts = [['completed', `${tally.completed ?? 0} of ${tally.total} done`]];
  for (const state of COUNTED) {
    if (tally[state] > 0) {
      parts.push([state, `${tally[state]} ${state}`]);
    }
  }
  const missing = tally.total - tally.listed;
  if (missing > 0) {
    parts.push(['missing', `${missing} ${task.isOver ? 'never arrived' : 'to come'}`]);
  }
  return parts;
}

function verdict(batch, tally) {
  const { task, fate } = batch;
  switch (fate) {
    case 'missing':
      return 'No such batch: it may have expired or the server was restarted.';
    case 'restarted':
      return 'The server was restarted and has forgotten this batch. What stands here is the last that was known of it; what had not ended must be sent again.';
    case 'forgotten':
      return 'The server has forgotten this batch. What stands here is the last that was known of it.';
    case 'refused':
      return 'This batch cannot be watched.';
    default:
      break;
  }
  switch (task.state) {
    case 'waiting':
      return waiting(batch);
    case 'completed':
      return completed(task.snapshot, tally);
    case 'failed':
      return `The batch failed: ${leftovers(tally)}.`;
    case 'cancelled':
      return `The batch was cancelled: ${leftovers(tally)}.`;
    case 'abandoned':
      return `The batch was abandoned: ${leftovers(tally)}.`;
    default:
      return underWay(batch);
  }
}

function waiting({ connection, expected }) {
  if (expected) {
    return 'Sending…';
  }
  return connection === 'live' ? 'Waiting for this batch…' : 'Asking the server about this batch…';
}

function completed({ result, elapsed_ms: elapsed }, tally) {
  const took = `in ${duration(elapsed)}`;
  const done = result?.completed ?? tally.completed ?? 0;
  // Those that were refused, the batch knows nothing of.
  const failed = Math.max(result?.failed ?? 0, tally.failed ?? 0);
  if (failed === 0) {
    return done === 1 ? `The file is done, ${took}.` : `All ${files(done)} are done, ${took}.`;
  }
  return `Finished ${took}: ${count(done, 'file is', 'files are')} done, ${failed} failed.`;
}

function leftovers({ completed, total }) {
  if (!completed) {
    return total === 1 ? 'its file is not done' : `none of its ${files(total)} is done`;
  }
  return `${completed} of ${count(total, 'file is', 'files are')} done`;
}

function isArriving(file) {
  return file.uploaded !== null && file.uploaded < 100 && !file.isOver;
}

function underWay({ task, expected, files: all }) {
  const receive = task.stage('receive');
  if (receive && receive.progress < 100) {
    const total = receive.total ? ` of ${bytes(receive.total)}` : '';
    const received = `Receiving: ${bytes(receive.current ?? 0)}${total} so far.`;
    return expected ? `${received} Keep this page open until all files have arrived.` : received;
  }
  if (task.state === 'paused' || task.state === 'stalled') {
    return fullSentence(`The batch is ${task.state}`);
  }
  const arriving = [...all].filter(isArriving).length;
  if (arriving > 0) {
    const left = `${files(arriving)} still to arrive.`;
    return expected ? `${left} Keep this page open until then.` : left;
  }
  return 'All files have arrived. This page can be closed: the work goes on, and this address shows how it stands.';
}
