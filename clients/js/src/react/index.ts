/** Hooks for React 18 and later. */

export { ProgressProvider, useProgressClient } from "./context.js";
export { type UseChannelOptions, useChannel } from "./use-channel.js";
export { type SelectOptions, type UseProgressOptions, useProgress } from "./use-progress.js";
export { type Tracking, type UseProgressTrackingOptions, useProgressTracking } from "./use-progress-tracking.js";
export { type UseTasksOptions, useTasks } from "./use-tasks.js";
