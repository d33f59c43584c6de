// What the view "servers" is made of.
import "../strings/servers.js";
import "../components/servers/server-panel.js";
