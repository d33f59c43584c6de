// A stylesheet of a part that is not there at first: await styles("tasks") before that part is shown.
export async function styles(name) {
	const href = `/static/css/${name}.css`;
	if (document.querySelector(`link[href="${href}"]`)) return;
	const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
	await new Promise((done) => {
		link.onload = link.onerror = done; // without it the part is plain, but there
		document.head.append(link);
	});
}
