// The connection by which this page watches: one, which it shares with other tabs.

import { createProgressClient } from './dashboard/progress-client.js';

export const client = createProgressClient({ url: '/' });
