// The JSON of the gateway's answers: by scripts/page_types, from the OpenAPI document.

interface Attempt {
	server: string;
	started_at: string;
	ended_at: string | null;
	outcome: string | null;
	reason: string | null;
	ran: boolean;
}

interface Batch {
	batch_id: string;
	total: number;
	finished: boolean;
	counts: Record<string, number>;
	tasks: Array<Task>;
}

interface Delivery {
	delivery_id: string;
	task_id: string;
	event: string;
	url: string;
	status: DeliveryStatus;
	created_at: string;
	finished_at: string | null;
	next_attempt_at: string | null;
	attempts: Array<DeliveryAttempt>;
}

interface DeliveryAttempt {
	at: string;
	duration_ms: number;
	status_code: number | null;
	error: string | null;
	response: string;
}

interface DeliveryList {
	deliveries: Array<Delivery>;
}

type DeliveryStatus = "pending" | "delivered" | "dead";

type Format = "api" | "ui";

interface GatewayHealth {
	status: "ok" | "degraded";
	reason: string | null;
	version: string;
	gateway: string;
	servers: Array<Server>;
	warnings: Array<string>;
}

interface Native {
	root: string;
	path: string;
	ports: Array<NativePort>;
}

interface NativePort {
	host: string;
	port: number;
	key: string | null;
}

interface Output {
	node_id: string;
	kind: "image" | "video" | "audio" | "text" | "file" | "latent" | "model3d";
	type: string;
	copy?: number | null;
	text?: string | null;
	filename?: string | null;
	subfolder?: string | null;
	url?: string | null;
	content_type?: string | null;
	size_bytes?: number | null;
	hash?: string | null;
	error?: OutputError | null;
	data?: string | null;
	data_error?: OutputError | null;
	cut?: Record<string, number> | null;
}

interface OutputError {
	code: string;
	message: string;
}

interface Parameter {
	key: string;
	node_id: string;
	input: string;
	name: string | null;
	role: string | null;
	type: "int" | "float" | "string" | "boolean" | "choice" | "any";
	value: any;
	class_type: string;
	title: string | null;
	default: any;
	min: number | null;
	max: number | null;
	step: number | null;
	choices: Array<any> | null;
	multiselect: boolean;
	multiline: boolean;
	upload: string | null;
	tooltip: string | null;
	known: boolean;
}

interface ParametersOf {
	format: Format;
	parameters: Array<Parameter>;
	warnings: Array<string>;
}

interface ProblemDocument {
	type: string;
	title: string;
	status: number;
	detail: string;
	code: string;
	hint?: string | null;
	node_errors?: Record<string, any> | null;
	[more: string]: any;
}

interface Progress {
	value: number;
	nodes_done: number;
	nodes_total: number;
	current_node: string | null;
	class_type: string | null;
	step: number | null;
	steps: number | null;
	node_seconds: Record<string, number | null>;
}

interface Server {
	id: string;
	state: "online" | "offline" | "draining" | "stalled" | "failing";
	online: boolean;
	connected: boolean;
	accepting: boolean;
	reason: string | null;
	since: string;
	version: string | null;
	slots: number;
	running: number;
	queue_length: number | null;
	others: number | null;
	wait_seconds: number | null;
}

interface ServerDetail {
	id: string;
	state: "online" | "offline" | "draining" | "stalled" | "failing";
	online: boolean;
	connected: boolean;
	accepting: boolean;
	reason: string | null;
	since: string;
	version: string | null;
	slots: number;
	running: number;
	queue_length: number | null;
	others: number | null;
	wait_seconds: number | null;
	tasks: Array<string>;
	warm: Array<string>;
	node_types: number;
	models: Record<string, Array<string>>;
	system_stats: Record<string, any> | null;
}

interface ServerList {
	servers: Array<Server>;
}

type Status = "queued" | "running" | "succeeded" | "canceling" | "canceled" | "failed" | "expired";

interface Task {
	task_id: string;
	prompt_id: string;
	status: Status;
	created_at: string;
	started_at: string | null;
	finished_at: string | null;
	queue_position: number | null;
	eta_seconds: number | null;
	waiting_for: string | null;
	progress: Progress;
	outputs: Array<Output>;
	error: TaskError | null;
	server: string | null;
	params: Record<string, any>;
	metadata: Record<string, any> | string;
	attempts: Array<Attempt>;
	warnings: Array<string>;
	priority: number;
	timeout: number | null;
	workflow: string | null;
	retry_of: string | null;
	batch_id: string | null;
	client_id: string | null;
	webhook?: Webhook | null;
	cut?: Record<string, number> | null;
}

interface TaskError {
	code: string;
	message: string;
	node_id?: string | null;
	class_type?: string | null;
	traceback?: Array<string> | null;
	node_errors?: Record<string, any> | null;
}

interface TaskPage {
	tasks: Array<Task>;
	next_cursor: string | null;
	total?: number | null;
	total_is_capped?: boolean | null;
}

interface Upload {
	name: string;
	filename: string;
	subfolder: string;
	type: "input";
	kind: string;
	content_type: string;
	size_bytes: number;
	hash: string;
	url: string;
}

interface VersionEntry {
	version: string;
	saved_at: string;
	size_bytes: number;
}

interface VersionList {
	versions: Array<VersionEntry>;
}

interface Webhook {
	url: string;
	events: Array<string>;
}

interface Workflow {
	filename: string;
	version: string;
	format: Format;
	workflow: Record<string, any>;
	parameters: Array<Parameter>;
	warnings: Array<string>;
}

interface WorkflowEntry {
	filename: string;
	format: Format | null;
	size_bytes: number;
	modified_at: string;
}

interface WorkflowList {
	workflows: Array<WorkflowEntry>;
}
