// The connection by which this page watches: one stream of events for all media, or where none gets through, questions.

import { createProgressClient } from './dashboard/progress-client.js';

export const client = createProgressClient({ url: '/', transports: ['fetch-sse', 'poll'] });
