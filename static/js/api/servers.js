// Requests for the view Servers only.
import { get, id, json, post, query, send } from "./api.js";

/** @type {() => Promise<Native>} */
export const doors = async () => (await get("api/system/info")).native;
export const addServer = (address, slots) => post("api/servers", json({ address, ...(slots && { slots }) }));
export const setSlots = (name, slots) => send("PATCH", `api/servers/${id(name)}`, json({ slots }));
export const drain = (name) => post(`api/servers/${id(name)}/drain`);
export const resume = (name) => post(`api/servers/${id(name)}/resume`);
export const removeServer = (name, force) =>
	send("DELETE", `api/servers/${id(name)}${query({ force: force || null })}`);
