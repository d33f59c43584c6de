// Images of the gateway in elements: by address without a key, fetched by script with one, since <img> and
// <video> cannot send it.
import * as api from "../api/api.js";
import { key } from "../api/key.js";

// Only files of the gateway itself are shown or linked.
export function ours(path) {
	const url = typeof path === "string" ? URL.parse(path, document.baseURI) : null;
	return url?.origin === location.origin ? url : null;
}

export function view(path, width) {
	const url = ours(path);
	if (url && width) url.searchParams.set("width", width);
	return url?.href ?? "";
}

export async function show(element, url) {
	element.dataset.url = url;
	const priority = "low"; // so that a click does not wait for all visible images
	element.fetchPriority = priority;
	if (!key.value || !url) {
		element.src = url;
		return;
	}
	try {
		const blob = await api.blob(url, { priority });
		if (element.dataset.url !== url) return;
		const address = URL.createObjectURL(blob);
		const free = () => URL.revokeObjectURL(address);
		if (element.tagName === "IMG") element.onload = element.onerror = free;
		element.src = address;
	} catch {
		element.dispatchEvent(new Event("error"));
	}
}
