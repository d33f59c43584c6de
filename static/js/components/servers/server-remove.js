// Asks before a server is removed. If tasks run there it has to be forced, which the dialog explains.
import { removeServer } from "../../api/servers.js";
import { openDialog } from "../../page/dialog.js";
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";

// Resolves to true when the server was removed.
export async function removed(id) {
	const problem = el("problem-box", { hidden: true });
	const force = el("input", { type: "checkbox", onchange: () => problem.show(null) });
	const forced = el("label", { className: "row force", hidden: true }, force, el("span", { i18n: "servers.force" }));
	const remove = async () => {
		try {
			await removeServer(id, force.checked);
		} catch (fault) {
			if (fault.code === "server_not_found") return true;
			forced.hidden = fault.code !== "server_busy";
			problem.show(fault);
			return false;
		}
	};
	const dialog = openDialog(
		{ textContent: t("servers.removeTitle", { id }) },
		[el("p", { i18n: "servers.removeText" }), forced, problem],
		{
			className: "small",
			buttons: [
				{ i18n: "servers.keep" },
				{ i18n: "servers.remove", className: "danger", value: "removed", act: remove },
			],
		},
	);
	return (await dialog.closed) === "removed";
}
