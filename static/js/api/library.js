// Requests that change saved workflows, and their versions.
import { form, get, id, json, post, send } from "./api.js";

export const update = (filename, params, version) =>
	post("api/workflow/update", json({ filename, params }), version ? { "If-Match": `"${version}"` } : {});
export const removeWorkflow = (filename) => send("DELETE", `api/workflow/${id(filename)}`);
/** @type {(filename: string) => Promise<VersionList>} */
export const versions = (filename) => get(`api/workflow/${id(filename)}/versions`);
export const version = (filename, name) => get(`api/workflow/${id(filename)}/versions/${id(name)}`);
export const restore = (filename, name) => post(`api/workflow/${id(filename)}/restore`, json({ version: name }));
/** @type {(file: File, options?: { filename?: string, overwrite?: boolean }) => Promise<any>} */
export const uploadWorkflow = (file, { filename, overwrite } = {}) =>
	form("api/workflow/upload", { file, filename, overwrite: overwrite ? "true" : null });
