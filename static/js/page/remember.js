// Choices kept in localStorage; without it they last until the reload.
export function remembered(name) {
	try {
		return localStorage.getItem(name) ?? "";
	} catch {
		return "";
	}
}

export function remember(name, text) {
	try {
		if (text) localStorage.setItem(name, text);
		else localStorage.removeItem(name);
	} catch {} // optional
}
