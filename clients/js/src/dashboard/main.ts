/** The dashboard's page: its script lies in the folder `dashboard` beside the routes, whatever they are mounted under. */

import { Dashboard } from "./dashboard.js";

const routes = new URL("..", import.meta.url);

const dashboard = new Dashboard({ url: routes.href.replace(/\/$/, "") });
document.body.replaceChildren(dashboard.root);
dashboard.start();
