// The current run as a program: curl, PowerShell, Python, JavaScript, comfy-sdk. Pure; every value is quoted for its
// language. `request` is {path, body, hasKey, origin}; body is a JSON text, so that no digit is lost; origin is the
// gateway's address, to which paths are appended: it ends with a slash.
const KEY = "COMFYUI_API_KEY";

// POSIX shell: inside single quotes only the quote is special.
const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
// PowerShell: curly quotes end a string, too.
const verbatim = (text) => `'${text.replace(/['\u2018-\u201b]/g, "$&$&")}'`;
// JSON strings are valid in JavaScript and, with the escapes of JSON.stringify, in Python.
const quoted = (text) => ascii(JSON.stringify(text));
const ascii = (json) => json.replace(/[\u007f-\uffff]/g, escaped);
const readable = (text) => JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ud800-\udfff]/g, escapedUnlessPair);
const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
const escapedUnlessPair = (letter, at, whole) => (isPair(whole, at) ? letter : escaped(letter));
const isPair = (whole, at) => {
	const code = whole.charCodeAt(at);
	if (code >= 0xd800 && code <= 0xdbff) return /[\udc00-\udfff]/.test(whole[at + 1] ?? "");
	return code >= 0xdc00 && code <= 0xdfff && /[\ud800-\udbff]/.test(whole[at - 1] ?? "");
};

export function curl({ origin, path, body, hasKey }) {
	const key = hasKey ? ` \\\n  -H "Authorization: Bearer $${KEY}"` : "";
	return `curl -X POST ${shell(`${origin}${path}?wait=60`)} \\
  -H 'Content-Type: application/json'${key} \\
  --data-raw ${shell(pretty(body))}
`;
}

// For Windows PowerShell 5.1 and PowerShell 7. HttpClient, since the cmdlets of 5.1 read answers as Latin-1. All is
// ASCII: 5.1 takes a file for one of the system's code page. No line of JSON can end a here-string.
export function powershell({ origin, path, body, hasKey }) {
	const key = hasKey ? `\n$client.DefaultRequestHeaders.Add('Authorization', "Bearer $env:${KEY}")` : "";
	return `Add-Type -AssemblyName System.Net.Http
$client = New-Object System.Net.Http.HttpClient
$client.BaseAddress = ${verbatim(origin)}${key}
$body = @'
${ascii(pretty(body))}
'@
$content = New-Object System.Net.Http.StringContent($body, [Text.Encoding]::UTF8, 'application/json')

function Receive-Task($asked) {
  $ErrorActionPreference = 'Stop'
  $answer = $asked.GetAwaiter().GetResult()
  $json = ConvertFrom-Json ($answer.Content.ReadAsStringAsync().GetAwaiter().GetResult())
  if (-not $answer.IsSuccessStatusCode) { throw $json.detail }
  if ($json.tasks) { $json.tasks } else { $json } # a batch has many
}

foreach ($task in Receive-Task ($client.PostAsync(${verbatim(path)}, $content))) {
  while ($task.status -in 'queued', 'running', 'canceling') {
    Start-Sleep -Milliseconds 500
    $task = Receive-Task ($client.GetAsync("api/task/$($task.task_id)"))
  }
  "$($task.task_id) $($task.status) $($task.error.message)"
  foreach ($output in $task.outputs) {
    if (-not $output.url) { continue }
    $file = $client.GetByteArrayAsync($output.url).GetAwaiter().GetResult()
    [IO.File]::WriteAllBytes((Join-Path $PWD.ProviderPath $output.filename), $file)
  }
}
`;
}

export function python({ origin, path, body, hasKey }) {
	const key = hasKey ? `headers={"Authorization": f"Bearer {os.environ['${KEY}']}"}, ` : "";
	return `${hasKey ? "import os\n" : ""}import time
from pathlib import Path

import httpx

body = ${literal(tokens(body), PYTHON)}

with httpx.Client(base_url=${quoted(origin)}, ${key}timeout=60) as client:
    answer = client.post(${quoted(path)}, json=body)
    if answer.is_error:
        raise SystemExit(answer.json()["detail"])
    started = answer.json()
    for task in started.get("tasks", [started]):  # a batch has many
        while task["status"] in ("queued", "running", "canceling"):
            time.sleep(0.5)
            task = client.get(f"api/task/{task['task_id']}").json()
        print(task["task_id"], task["status"], (task["error"] or {}).get("message", ""))
        for output in task["outputs"]:
            if output.get("url"):
                file = client.get(client.base_url.join(output["url"])).raise_for_status()
                Path(output["filename"]).write_bytes(file.content)
`;
}

export function javascript({ origin, path, body, hasKey }) {
	const key = hasKey ? `, Authorization: \`Bearer \${process.env.${KEY}}\`` : "";
	return `const base = ${readable(origin)};
const headers = { "Content-Type": "application/json"${key} };
// As text: a number in JavaScript cannot hold a 64-bit seed.
const body = ${readable(compact(body))};

async function call(path, options = {}) {
  const response = await fetch(base + path, { headers, ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

const started = await call(${readable(path)}, { method: "POST", body });
for (let task of started.tasks ?? [started]) {
  while (["queued", "running", "canceling"].includes(task.status)) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    task = await call(\`api/task/\${task.task_id}\`);
  }
  console.log(task.task_id, task.status, task.error?.message ?? "");
  for (const { url } of task.outputs) if (url) console.log(new URL(url, base).href);
}
`;
}

// The official client takes whole graphs: `graph` is the workflow in API format, with all values set.
export function comfySdk({ origin, graph, isBatch, hasKey }) {
	const note = isBatch ? "# One job: Comfy API v2 knows no batches.\n" : "";
	const key = hasKey ? `api_key=os.environ["${KEY}"]` : "";
	return `# pip install comfy-sdk
import os

os.environ["COMFY_BASE_URL"] = ${quoted(origin)}

from comfy_sdk import Comfy

graph = ${literal(tokens(graph), PYTHON)}

${note}with Comfy(${key}) as client:
    job = client.run(client.workflows.from_json(graph))
    print(job.id, job.status)
    for output in job.outputs:
        output.to_file(output.name)
`;
}

// Converts JSON to literals of another language, with numbers verbatim.
const PYTHON = { true: "True", false: "False", null: "None", string: quotedForPython };
const JSON_ITSELF = { true: "true", false: "false", null: "null", string: (text) => text };

function quotedForPython(text) {
	return readable(JSON.parse(text));
}

const pretty = (body) => literal(tokens(body), JSON_ITSELF);
const compact = (body) => tokens(body).join("");
const tokens = (body) => body.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];

function literal(parts, words) {
	let depth = 0;
	let written = "";
	parts.forEach((part, index) => {
		const isEmpty = /^[{[]$/.test(part) && /^[}\]]$/.test(parts[index + 1] ?? "");
		const closesEmpty = /^[}\]]$/.test(part) && /^[{[]$/.test(parts[index - 1] ?? "");
		if (/^[{[]$/.test(part)) written += isEmpty ? part : `${part}\n${"  ".repeat(++depth)}`;
		else if (/^[}\]]$/.test(part)) written += closesEmpty ? part : `\n${"  ".repeat(--depth)}${part}`;
		else if (part === ",") written += `,\n${"  ".repeat(depth)}`;
		else if (part === ":") written += ": ";
		else written += part.startsWith('"') ? words.string(part) : (words[part] ?? part);
	});
	return written;
}
