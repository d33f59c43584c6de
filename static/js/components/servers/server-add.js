// The form that adds a server. Faults are shown at their fields.
import { addServer } from "../../api/servers.js";
import { el } from "../../page/dom.js";
import { line } from "../../page/errors.js";

export class ServerAdd {
	#address = this.#field("address", {
		type: "text",
		required: true,
		maxLength: 240,
		placeholder: "192.168.1.20:8188",
		autocomplete: "off",
		spellcheck: false,
		inputMode: "url",
	});
	#slots = this.#field("slots", { type: "number", min: 1, max: 100, step: 1 });
	#problem = el("problem-box", { hidden: true });
	#button = el("button", { type: "submit", className: "primary", i18n: "servers.add" });
	element;

	// `told`: called with the new server.
	constructor(told) {
		const submit = async (event) => {
			event.preventDefault();
			await this.#add(told);
		};
		this.element = el(
			"form",
			{ className: "panel add", noValidate: true, onsubmit: submit },
			el("h3", { i18n: "servers.add" }),
			this.#address.element,
			this.#slots.element,
			this.#button,
			this.#problem,
		);
	}

	async #add(told) {
		this.#clear();
		for (const { input, complain } of [this.#address, this.#slots]) {
			if (!input.checkValidity()) return complain(input.validationMessage);
		}
		this.#button.disabled = true;
		const inputs = [this.#address.input, this.#slots.input];
		const sent = inputs.map(({ value }) => value);
		try {
			told(await addServer(sent[0].trim(), Number(sent[1]) || null));
			for (const [at, input] of inputs.entries()) if (input.value === sent[at]) input.value = "";
		} catch (problem) {
			this.#tell(problem, await line(problem));
		}
		this.#button.disabled = false;
	}

	#tell(problem, words) {
		const faults = problem.document?.errors ?? [];
		const isAbout = (name) =>
			faults.some(({ field, loc }) =>
				[field, loc].flat().some((part) =>
					String(part ?? "")
						.split(".")
						.includes(name),
				),
			) ||
			String(problem.document?.field ?? "")
				.split(".")
				.includes(name);
		if (isAbout("slots")) return this.#slots.complain(words);
		if (isAbout("address") || problem.code === "server_exists" || problem.code === "invalid_input")
			return this.#address.complain(words);
		this.#problem.show(problem);
	}

	#clear() {
		this.#problem.show(null);
		this.#address.complain("");
		this.#slots.complain("");
	}

	#field(name, props) {
		const fault = el("p", { className: "bad", id: `add-${name}-fault`, hidden: true, attributes: { role: "alert" } });
		const hint = el("small", { id: `add-${name}-hint`, i18n: `servers.${name}Hint` });
		const mended = () => {
			complain("");
			this.#problem.show(null);
		};
		const input = el("input", {
			...props,
			name,
			oninput: mended,
			attributes: { "aria-describedby": `${fault.id} ${hint.id}` },
		});
		const complain = (text) => {
			fault.textContent = text;
			fault.hidden = !text;
			if (!text) return input.removeAttribute("aria-invalid");
			input.setAttribute("aria-invalid", "true");
			input.focus();
		};
		return {
			input,
			complain,
			element: el(
				"div",
				{ className: `field ${name}` },
				el("label", {}, el("span", { i18n: `servers.${name}` }), input),
				fault,
				hint,
			),
		};
	}
}
