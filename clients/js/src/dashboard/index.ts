/** The dashboard, for pages that bundle it themselves; `dashboard.css` goes with it. */

export { setStrings, type SomeStrings, type Strings } from "../element/strings.js";
export { Dashboard, type DashboardOptions } from "./dashboard.js";
export { setWords, type SomeWords, type Words } from "./words.js";
