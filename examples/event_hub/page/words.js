// What an event says, in a sentence; and how names, sizes and times are written.

const of = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const short = (id) => id.slice(0, 8);
const error = ({ code, message }) => `${message} (${code})`;

const SENTENCES = {
  job_created: (data) => `job ${short(data.job_id)} waits: ${of(data.total, 'picture')}, priority ${data.priority}`,
  job_started: (data) => `job ${short(data.job_id)} began after ${duration(data.waited_ms)}`,
  job_progress: (data) => `job ${short(data.job_id)}: ${data.current} of ${data.total}`,
  job_completed: (data) => {
    const failed = data.failed ? `, ${data.failed} failed` : '';
    return `job ${short(data.job_id)} done: ${data.imported} imported${failed}, in ${duration(data.duration_ms)}`;
  },
  job_failed: (data) => `job ${short(data.job_id)} failed: ${error(data.error)}`,
  photo_imported: (data) => `${data.name} arrived, ${bytes(data.bytes)}`,
  photo_analyzed: (data) => `${short(data.photo_id)} is ${data.format}, ${data.width} × ${data.height}`,
  photo_selected: (data) => `${short(data.photo_id)} ${data.selected ? 'selected' : 'no longer selected'} by ${data.by}`,
  photo_approved: (data) => `${short(data.photo_id)} approved by ${data.by}`,
  photo_rejected: (data) => `${short(data.photo_id)} rejected by ${data.by}${data.reason ? `: ${data.reason}` : ''}`,
  session_created: (data) => `“${data.name}” was created`,
  session_updated: (data) => `“${data.name}” was changed`,
  session_completed: (data) => `completed with ${of(data.photos, 'picture')}, ${data.approved} approved`,
  system_status: (data) => {
    const memory = Math.round((100 * data.memory_used) / data.memory_total);
    return `CPU ${Math.round(data.cpu_percent)} %, memory ${memory} %, ${of(data.clients, 'client')}`;
  },
  resource_warning: (data) => `${data.resource} is at ${Math.round(data.percent)} % (limit ${data.limit_percent} %)`,
  error_occurred: (data) => `${data.subject}: ${error(data.error)}`,
  queue_status: (data) => `${data.waiting} waiting, ${data.running} running`,
  priority_changed: (data) => `job ${short(data.job_id)} now has priority ${data.new_priority}, place ${data.place}`,
  approval_queue_updated: (data) => `${data.pending} pending, ${data.approved} approved, ${data.rejected} rejected`,
  export_started: (data) => `export of ${of(data.photos, 'picture')} began`,
  export_completed: (data) => `export of ${of(data.photos, 'picture')} is there, ${bytes(data.bytes)}`,
  export_failed: (data) => `export failed: ${error(data.error)}`,
};

export function sentence(event) {
  return SENTENCES[event.event_type]?.(event.data) ?? JSON.stringify(event.data);
}

/** How much it matters: `bad`, `odd` or nothing. */
export function weight(event) {
  if (/_failed$|^error_/.test(event.event_type)) {
    return 'bad';
  }
  return event.event_type === 'resource_warning' ? 'odd' : '';
}

export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(count, 1)) / 10), units.length - 1);
  const value = count / 1024 ** power;
  return `${value.toFixed(power > 0 && value < 10 ? 1 : 0)} ${units[power]}`;
}

function duration(ms) {
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

export function time(timestamp) {
  return new Date(timestamp).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}
