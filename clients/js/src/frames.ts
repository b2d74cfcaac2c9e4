/** Frames of `progress.v1` as they come, and the topics that they are about. */

import type { ChannelEvent, ErrorObject, ProgressEvent, Replay, Snapshot } from "./types.js";

/** The data of control frames: which fields are there depends on the frame. */
export interface ControlData extends Partial<ErrorObject> {
  readonly heartbeat_ms?: number;
  readonly reconnect_after_ms?: number;
  readonly epoch?: string | null;
  readonly seq?: number;
  readonly resume?: string;
  readonly reason?: string;
  readonly from?: number;
  readonly snapshot?: Snapshot | null;
  /** From another tab, not the server: where that one stands. */
  readonly last?: number | null;
  /** The same: nothing more is tried. */
  readonly final?: boolean;
}

/** A frame that is in no sequence. */
export interface ControlFrame {
  readonly event_type: string;
  readonly task_id?: string;
  readonly channel?: string;
  readonly timestamp?: string;
  readonly data?: ControlData;
}

/** Whatever a server sends: told apart by {@link isEvent} and {@link isChannelEvent}. */
export type Frame = ControlFrame | ProgressEvent | ChannelEvent;

export const isChannelEvent = (frame: Frame): frame is ChannelEvent => "channel_seq" in frame;

export const isEvent = (frame: Frame): frame is ProgressEvent => "seq" in frame;

/** A topic that is watched, and from where on. */
export interface Wanted {
  readonly key: string;
  /** Which watch of the topic it is: of one that was let go and is wanted again the server has to tell anew. */
  readonly watch: number;
  /** A task's id, or a channel's name. */
  readonly id: string;
  readonly isChannel: boolean;
  /** `epoch:seq`; null for none. */
  readonly after: string | null;
  readonly replay: Replay;
}

/** One key for each topic: a channel may have a task's id as its name. */
export const topicKey = (isChannel: boolean, id: string): string => (isChannel ? "c" : "t") + id;

/** The topic that a frame is about; null for those about the connection. */
export function keyOf(frame: Frame): string | null {
  const { channel, task_id } = frame as ControlFrame;
  return channel !== undefined ? topicKey(true, channel) : task_id !== undefined ? topicKey(false, task_id) : null;
}

/** When the server made a frame, in ms since 1970; NaN where it does not say. */
export const timeOf = (frame: Frame): number =>
  Date.parse((isChannelEvent(frame) ? frame.event.timestamp : frame.timestamp) ?? "");
