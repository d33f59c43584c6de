// What the page says, in English. zh.js has the same keys; tests compare them.
// Of other views: tasks.js, servers.js, graph.js beside this file, by register() of i18n.js.
export default {
  "nav.views": "Views",
  "nav.run": "Run",
  "nav.tasks": "Tasks",
  "nav.servers": "Servers",
};
