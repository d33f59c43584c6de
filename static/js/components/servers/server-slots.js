// The number of prompts that a server may hold; saved on blur or Enter.
import { setSlots } from "../../api/servers.js";
import { el } from "../../page/dom.js";
import { line } from "../../page/errors.js";

export class ServerSlots {
	#id;
	#told;
	#saved = 0;
	#shown = ""; // the displayed value; another value in the input is being typed
	#input = el("input", { type: "number", min: 1, max: 100, step: 1, required: true });
	#fault = el("p", { className: "bad", hidden: true });
	element;

	// `told`: called with the changed server.
	constructor(id, told) {
		this.#id = id;
		this.#told = told;
		this.#fault.id = `slots-fault-${id.replace(/\W/g, "-")}`;
		this.#input.setAttribute("aria-describedby", this.#fault.id);
		this.#input.onchange = () => this.#save();
		this.#input.oninput = () => this.#input.checkValidity() && this.#complain("");
		this.element = el(
			"div",
			{ className: "slots" },
			el("label", {}, el("span", { i18n: "servers.slots" }), this.#input),
			this.#fault,
		);
	}

	show(slots) {
		this.#saved = slots;
		const isTheirs = this.#input.value !== this.#shown || this.#input.validity.badInput;
		if (document.activeElement !== this.#input && !isTheirs) this.#input.value = this.#shown = String(slots);
	}

	async #save() {
		if (Number(this.#input.value) === this.#saved) return this.#complain("");
		if (!this.#input.checkValidity()) return this.#complain(this.#input.validationMessage);
		const sent = this.#input.value;
		try {
			const server = await setSlots(this.#id, Number(sent));
			if (this.#input.value === sent) this.#complain("");
			this.#shown = sent;
			this.#told(server);
		} catch (problem) {
			this.#complain(await line(problem));
		}
	}

	#complain(text) {
		this.#fault.textContent = text;
		this.#fault.hidden = !text;
		if (text) this.#input.setAttribute("aria-invalid", "true");
		else this.#input.removeAttribute("aria-invalid");
	}
}
