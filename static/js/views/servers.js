// The modules of the view "servers".
import "../components/servers/server-panel.js";
