// A text input with a list that is filtered during typing (WAI-ARIA combobox). All words must occur; arrow
// keys, Enter and Escape work as usual.
import { el } from "../page/dom.js";

const SHOWN = 100;
let count = 0;

export class Combobox extends HTMLElement {
	#choices;
	#change;
	#value = "";
	#active = -1;
	#list = el("ul", { id: `choices-${++count}`, hidden: true, attributes: { role: "listbox" } });
	input = el("input", {
		type: "text",
		autocomplete: "off",
		spellcheck: false,
		attributes: {
			role: "combobox",
			"aria-autocomplete": "list",
			"aria-expanded": "false",
			"aria-controls": this.#list.id,
		},
	});

	constructor(choices, change) {
		super();
		this.#choices = choices;
		this.#change = change;
		const { input } = this;
		input.onfocus = () => input.select();
		input.onclick = () => this.#open("");
		input.oninput = () => this.#open(input.value);
		input.onblur = () => this.#close(true);
		input.onkeydown = (event) => this.#pressed(event);
		this.#list.onpointerdown = (event) => {
			event.preventDefault(); // keeps the focus in the input
			const option = event.target.closest("li");
			if (option) this.#choose(option.textContent);
		};
	}

	connectedCallback() {
		this.append(this.input, this.#list);
		this.#list.setAttribute("aria-label", this.input.labels?.[0]?.textContent ?? "");
	}

	get value() {
		return this.#value;
	}

	set value(value) {
		this.#value = this.input.value = value;
	}

	get #isOpen() {
		return !this.#list.hidden;
	}

	#open(typed) {
		const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
		const found = this.#choices.filter((choice) => words.every((word) => choice.toLowerCase().includes(word)));
		this.#list.replaceChildren(
			...found.slice(0, SHOWN).map((choice, index) =>
				el("li", {
					id: `${this.#list.id}-${index}`,
					textContent: choice,
					attributes: { role: "option", "aria-selected": choice === this.#value },
				}),
			),
		);
		this.#list.hidden = !found.length;
		this.input.setAttribute("aria-expanded", found.length > 0);
		this.#mark(typed ? 0 : found.indexOf(this.#value));
	}

	#close(isBack) {
		this.#list.hidden = true;
		this.input.setAttribute("aria-expanded", "false");
		this.input.removeAttribute("aria-activedescendant");
		if (isBack) this.input.value = this.#value;
	}

	#choose(choice) {
		this.value = choice;
		this.#close(false);
		this.#change();
	}

	#mark(index) {
		const options = this.#list.children;
		options[this.#active]?.classList.remove("active");
		this.#active = Math.max(-1, Math.min(index, options.length - 1));
		const option = options[this.#active];
		if (!option) return this.input.removeAttribute("aria-activedescendant");
		option.classList.add("active");
		option.scrollIntoView({ block: "nearest" });
		this.input.setAttribute("aria-activedescendant", option.id);
	}

	#pressed(event) {
		if (event.ctrlKey || event.metaKey || event.isComposing) return;
		const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
		if (by) {
			event.preventDefault();
			if (this.#isOpen) this.#mark(this.#active + by);
			else this.#open("");
		} else if (event.key === "Enter" && this.#isOpen) {
			event.preventDefault();
			const option = this.#list.children[this.#active];
			if (option) this.#choose(option.textContent);
		} else if (event.key === "Escape" && (this.#isOpen || this.input.value !== this.#value)) {
			event.preventDefault();
			event.stopPropagation();
			this.#close(true);
		}
	}
}

customElements.define("combo-box", Combobox);
