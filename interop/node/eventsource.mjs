// Prints the frames of a task's event stream: eventsource.mjs http://HOST/sse/progress/TASK
//
// When a stream ends an EventSource comes back with its last id. What has seen the end is answered
// 204, which stops it.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
source.onmessage = (event) => console.log(JSON.stringify({ id: event.lastEventId, ...JSON.parse(event.data) }));
source.onerror = (error) => {
  if (source.readyState === EventSource.CLOSED) console.log(JSON.stringify({ closed: error.code }));
};
