// What the view "servers" is made of.
import "../components/servers/server-panel.js";
