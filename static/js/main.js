// Defines the elements of the page and starts what keeps them fresh.
import "./components/problem-box.js";
import "./components/gateway-header.js";
import "./components/server-list.js";
import "./components/parameter-field.js";
import "./components/submit-form.js";
import "./components/task-card.js";
import "./components/task-list.js";
import { events } from "./events.js";
import { health } from "./health.js";

events.connect();
health.start();
