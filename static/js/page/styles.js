// Loads the stylesheet of a part: await styles("tasks") before the part is shown.
export async function styles(name) {
	const href = `static/css/${name}.css`;
	if (document.querySelector(`link[href="${href}"]`)) return;
	const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
	await new Promise((done) => {
		link.onload = link.onerror = done; // also on error: the part is shown unstyled
		document.head.append(link);
	});
}
