// Opens files of the gateway in a tab, or saves them.
import * as api from "../api/api.js";
import { key } from "../api/key.js";

// In a new tab. With a key the browser cannot load the file itself.
export async function open(url) {
	const tab = window.open("", "_blank");
	if (!tab) return; // blocked by the browser
	tab.opener = null;
	tab.location = key.value ? URL.createObjectURL(await api.blob(url)) : url;
}

export async function save(url, name) {
	let address = url;
	if (key.value) address = URL.createObjectURL(await api.blob(url));
	const link = Object.assign(document.createElement("a"), { href: address, download: name });
	link.click();
	if (address !== url) setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
