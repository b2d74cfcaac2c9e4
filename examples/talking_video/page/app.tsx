/** The page: a form, a bar, and the video. */

import { createProgressClient, type Snapshot } from "@progress-rs/client";
import { ProgressProvider, useProgress, useProgressClient, useProgressTracking } from "@progress-rs/client/react";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

/** What `POST /api/video-generation/generate` answers. */
interface Accepted {
  task_id: string;
  result_url: string;
  token?: string;
}

/** An error object, as every answer that is a refusal has it. */
interface Refusal {
  code: string;
  message: string;
  solutions?: readonly string[] | undefined;
}

const UNREACHABLE: Refusal = { code: "UNREACHABLE", message: "The server cannot be reached.", solutions: ["Try again in a moment"] };

/** A file as something that an element can show; it is let go when another comes. */
function useObjectUrl(file: Blob | null): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (file === null) return;
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => {
      setUrl(undefined);
      URL.revokeObjectURL(made);
    };
  }, [file]);
  return url;
}

async function refusalOf(response: Response): Promise<Refusal> {
  const body = (await response.json().catch(() => null)) as { error?: Refusal } | null;
  return body?.error ?? { code: String(response.status), message: response.statusText };
}

/** A task and its token are kept behind the #, which is sent to nobody, so that a page that is loaded again goes on. */
function remembered(): Accepted | null {
  const held = new URLSearchParams(location.hash.slice(1));
  const [task_id, token] = [held.get("task"), held.get("token")];
  if (task_id === null || !/^[\w-]{36}$/.test(task_id)) return null;
  const result_url = `/api/video-generation/${task_id}/result`;
  return token === null ? { task_id, result_url } : { task_id, result_url, token };
}

function remember(task: Accepted | null): void {
  const held = new URLSearchParams();
  if (task !== null) held.set("task", task.task_id);
  if (task?.token !== undefined) held.set("token", task.token);
  history.replaceState(null, "", task === null ? location.pathname : `#${held}`);
}

function App() {
  const [task, setTask] = useState<Accepted | null>(remembered);
  const [voice, setVoice] = useState<File | null>(null);
  const begin = (accepted: Accepted | null) => {
    remember(accepted);
    setTask(accepted);
  };
  return (
    <main>
      <header>
        <h1>Make a picture speak</h1>
        <p className="lead">A portrait and a voice go in, a video comes out. Every step of the way can be watched.</p>
      </header>
      {task !== null && <Watched key={task.task_id} task={task} voice={voice} onForget={() => begin(null)} />}
      <Form onAccepted={begin} onVoice={setVoice} />
    </main>
  );
}

function Form(props: { onAccepted: (task: Accepted) => void; onVoice: (file: File | null) => void }) {
  const [image, setImage] = useState<File | null>(null);
  const [audio, setAudio] = useState<File | null>(null);
  const [threshold, setThreshold] = useState(0.5);
  const [sending, setSending] = useState(false);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const picture = useObjectUrl(image);
  const sound = useObjectUrl(audio);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    if (!form.has("apply_smoothing")) form.set("apply_smoothing", "false");
    setSending(true);
    setRefusal(null);
    try {
      const response = await fetch("/api/video-generation/generate", { method: "POST", body: form });
      if (response.ok) {
        props.onVoice(audio);
        props.onAccepted((await response.json()) as Accepted);
      } else setRefusal(await refusalOf(response));
    } catch {
      setRefusal(UNREACHABLE);
    } finally {
      setSending(false);
    }
  }

  return (
    <form className="card" onSubmit={submit} aria-label="A new video">
      <div className="files">
        <div className="field">
          <label htmlFor="image">Picture</label>
          <input id="image" name="image" type="file" accept="image/*" required onChange={({ target }) => setImage(target.files?.[0] ?? null)} />
          <p className="hint">One person from the front, to 16 MB</p>
          {picture !== undefined && <img className="preview" src={picture} alt="The chosen picture" />}
        </div>
        <div className="field">
          <label htmlFor="audio">Voice</label>
          <input id="audio" name="audio" type="file" accept="audio/wav,audio/mpeg,audio/flac,.wav,.mp3,.flac" required onChange={({ target }) => setAudio(target.files?.[0] ?? null)} />
          <p className="hint">WAV, MP3 or FLAC, to one minute</p>
          {sound !== undefined && <audio controls src={sound} aria-label="The chosen voice" />}
        </div>
      </div>
      <div className="field">
        <label htmlFor="conf_threshold">Least confidence of the person: {threshold.toFixed(2)}</label>
        <input id="conf_threshold" name="conf_threshold" type="range" min="0.1" max="0.95" step="0.05" value={threshold} onChange={({ target }) => setThreshold(Number(target.value))} />
      </div>
      <div className="check">
        <input id="apply_smoothing" name="apply_smoothing" type="checkbox" value="true" defaultChecked />
        <label htmlFor="apply_smoothing">Smooth the pitch of the voice</label>
      </div>
      <div className="actions">
        <button className="primary" type="submit" disabled={sending}>
          {sending ? "Sending…" : "Generate"}
        </button>
      </div>
      {refusal !== null && <Problem refusal={refusal} />}
    </form>
  );
}

function Watched(props: { task: Accepted; voice: File | null; onForget: () => void }) {
  const { token } = props.task;
  const client = useMemo(() => createProgressClient({ url: "/api", getToken: () => token ?? null }), [token]);
  useEffect(() => () => client.close(), [client]);
  return (
    <ProgressProvider client={client}>
      <Progress {...props} />
    </ProgressProvider>
  );
}

function Progress({ task, voice, onForget }: { task: Accepted; voice: File | null; onForget: () => void }) {
  const [isDone, setIsDone] = useState(false);
  const { progress, isConnected, error } = useProgressTracking(task.task_id, { onComplete: () => setIsDone(true) });
  const { snapshot } = useProgress(task.task_id);
  const client = useProgressClient();
  const cancel = () => void client.task(task.task_id).cancel("not wanted any more").catch(() => undefined);
  const state = snapshot?.state ?? "waiting";
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    section.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const isOver = isDone || error !== null || ["completed", "failed", "cancelled", "abandoned"].includes(state);
  const percent = Math.floor(progress.progress);
  return (
    <section className="card" ref={section} aria-labelledby="task-title" data-testid="task" data-state={state}>
      <div className="head">
        <h2 id="task-title">Your video</h2>
        {!isOver && (
          <p className="connection" data-connected={isConnected} role="status">
            {isConnected ? "Live" : "Connecting…"}
          </p>
        )}
      </div>
      <div className="bar" role="progressbar" aria-labelledby="task-title" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} data-state={state}>
        <div style={{ width: `${progress.progress}%` }} />
      </div>
      <p aria-live="polite" data-testid="message">
        <span className="percent">{percent} %</span> {sentence(state, snapshot, progress.message)}
      </p>
      <Stages snapshot={snapshot} />
      {error !== null && <Problem refusal={{ ...error.error, solutions: error.error.solutions ?? [] }} />}
      {isDone && <Video task={task} voice={voice} />}
      <div className="actions">
        {isOver ? (
          <button type="button" onClick={onForget}>
            Close
          </button>
        ) : (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
    </section>
  );
}

function sentence(state: string, snapshot: Snapshot | null, message: string | null): string {
  switch (state) {
    case "waiting":
      return "Looking for it…";
    case "queued":
      return "It waits for its turn";
    case "completed":
      return "Done";
    case "failed":
      return "It did not work";
    case "cancelled":
      return "Cancelled";
    default:
      return message ?? snapshot?.stage ?? "";
  }
}

function Stages({ snapshot }: { snapshot: Snapshot | null }) {
  if (snapshot === null) return null;
  return (
    <ol className="stages">
      {snapshot.stages.map(({ path, label, message, state, metadata }) => (
        <li key={path} data-state={state} data-testid={`stage-${path}`}>
          <span>
            {label}
            <span className="unseen">, {state}</span>
            {typeof metadata?.device === "string" && <span className="hint"> on {metadata.device}</span>}
          </span>
          {message && <small>{message}</small>}
        </li>
      ))}
    </ol>
  );
}

function Problem({ refusal }: { refusal: Refusal }) {
  return (
    <div className="problem" role="alert">
      <p>
        <strong>{refusal.message}</strong> <code>{refusal.code}</code>
      </p>
      {(refusal.solutions ?? []).length > 0 && (
        <ul>
          {refusal.solutions?.map((solution) => <li key={solution}>{solution}</li>)}
        </ul>
      )}
    </div>
  );
}

/** The video comes with the token in a header, and so by fetch: no element sends one. */
function Video({ task, voice }: { task: Accepted; voice: File | null }) {
  const [video, setVideo] = useState<Blob | null>(null);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const url = useObjectUrl(video);
  const sound = useObjectUrl(voice);
  const picture = useRef<HTMLImageElement>(null);
  useEffect(() => {
    const gone = new AbortController();
    const headers: Record<string, string> = task.token === undefined ? {} : { authorization: `Bearer ${task.token}` };
    fetch(task.result_url, { headers, signal: gone.signal })
      .then(async (response) => (response.ok ? setVideo(await response.blob()) : setRefusal(await refusalOf(response))))
      .catch(() => gone.signal.aborted || setRefusal(UNREACHABLE));
    return () => gone.abort();
  }, [task]);
  if (refusal !== null) return <Problem refusal={refusal} />;
  if (video === null || url === undefined) return <p>Fetching it…</p>;
  const isFilm = video.type.startsWith("video/");
  // The stand-in's pictures have no sound: both begin together.
  const again = () => picture.current?.setAttribute("src", url);
  return (
    <>
      {isFilm ? <video className="video" src={url} controls aria-label="The video" /> : <img className="video" ref={picture} src={url} alt="The picture, speaking" data-testid="video" />}
      {!isFilm && sound !== undefined && <audio controls src={sound} onPlay={again} aria-label="The voice of the video" />}
      <div className="actions">
        <a className="button" href={url} download={isFilm ? "talking-video.mp4" : "talking-video.png"}>
          Save it
        </a>
      </div>
    </>
  );
}

const root = document.getElementById("root");
if (root !== null) createRoot(root).render(<App />);
