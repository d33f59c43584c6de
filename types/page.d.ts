// What the modules of the page share, beside the gateway's JSON (gateway.d.ts). Nobody serves this.

/** Looks up an element of a view by its data-part. */
type Parts = (name: string) => any;

/** A workflow: a saved one, or the text of another with what it is called. */
type Source = { filename?: string; text?: string; name?: string };

/** What is typed for a batch. */
type BatchForm = { isOpen: boolean; count: number; axes: { key: string; text: string }[] };

/** Unsaved work at one workflow. `at`: when it was written, in milliseconds. */
type Draft = { id: string; name: string; values: Record<string, any>; batch: BatchForm | null; at?: number };

/** A task's progress as the stream tells it, many times a second. */
type ProgressUpdate = Pick<Task, "task_id" | "status" | "progress" | "queue_position" | "eta_seconds" | "waiting_for">;

/** What the input of a parameter is in the form. `fault`: what is wrong with it, "" if nothing is. */
type Control = {
	node: HTMLElement;
	input: any;
	value: any;
	readonly fault: string;
	used?: (value: any) => void;
};

/** A button of a dialog: `act` may answer false, or a promise of it, to keep the dialog open. */
type DialogButton = { act?: () => any; value?: string; [prop: string]: any };

/** What can be done about a toast. */
type ToastAction = { label: string; act: () => void };

/** What a node of a graph does in a run. */
type NodeState = { name: string; step?: number; steps?: number; message?: string };

interface HTMLElementTagNameMap {
	"problem-box": ProblemBox;
	"run-form": RunForm;
	"toast-list": ToastList;
	"parameter-field": ParameterField;
	"workflow-graph": any;
	"workflow-library": WorkflowLibrary;
}
type ProblemBox = import("../static/js/components/page/problem-box.js").ProblemBox;
type ParameterField = import("../static/js/components/run/parameter-field.js").ParameterField;
type RunForm = import("../static/js/components/run/run-form.js").RunForm;
type ToastList = import("../static/js/page/toasts.js").ToastList;
type WorkflowLibrary = import("../static/js/components/run/workflow-library.js").WorkflowLibrary;

interface HTMLDialogElement {
	/** Resolves to the value with which it was closed (page/dialog.js). */
	closed: Promise<string>;
}

// Targets of our own tell things in events' `detail`.
interface EventTarget {
	addEventListener(type: string, listener: (event: CustomEvent<any>) => void): void;
	removeEventListener(type: string, listener: (event: CustomEvent<any>) => void): void;
}
interface HTMLElementEventMap {
	/** Somebody opens a result as large as the window: {task, output}. */
	open: CustomEvent<{ task: Task; output: Output }>;
}
interface DocumentEventMap {
	/** A run was queued: its task, or its batch. */
	submitted: CustomEvent<any>;
}

// Newer than the library of this TypeScript.
interface JSON {
	parse(text: string, reviver?: (this: any, key: string, value: any, context: { source: string }) => any): any;
	rawJSON?(text: string): unknown;
}

// These stand in index.html, or are there as long as what asks for them.
interface ParentNode {
	querySelector(selectors: "toast-list"): ToastList;
	querySelector(selectors: "run-form"): RunForm;
	querySelector(selectors: "workflow-library"): WorkflowLibrary;
	querySelector(selectors: "main task-detail"): HTMLElement;
	// The page is made of HTML but for the drawn graph, which looks nothing up.
	querySelector<Tag extends keyof HTMLElementTagNameMap>(selectors: Tag): HTMLElementTagNameMap[Tag] | null;
	querySelector<Found extends Element = HTMLElement>(selectors: string): Found | null;
	querySelectorAll(selectors: "nav a" | "li a"): NodeListOf<HTMLAnchorElement>;
	querySelectorAll<Tag extends keyof HTMLElementTagNameMap>(selectors: Tag): NodeListOf<HTMLElementTagNameMap[Tag]>;
	querySelectorAll(selectors: string): NodeListOf<HTMLElement>;
}
