/** The dashboard, for pages that bundle it themselves; `dashboard.css` goes with it. */

export { Dashboard, type DashboardOptions } from "./dashboard.js";
