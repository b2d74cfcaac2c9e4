export { createProgressClient } from "./client.js";
export { ProgressError } from "./error.js";
export type {
  ChannelEvent,
  ChannelHandle,
  ChannelOptions,
  ChannelView,
  ClientOptions,
  ConnectionState,
  ErrorObject,
  LogLine,
  ProgressClient,
  ProgressEvent,
  Replay,
  Snapshot,
  Stage,
  TaskGroup,
  TaskHandle,
  TaskOptions,
  TaskState,
  TaskView,
  TransportName,
} from "./types.js";
