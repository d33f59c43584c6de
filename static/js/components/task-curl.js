// The request that makes the same task again, for a shell.
export function curl(task, prompt) {
  const body = task.workflow ? { filename: task.workflow, params: task.params } : { workflow: prompt };
  const json = JSON.stringify(body, null, 1).replace(/\n\s*/g, " ");
  return `curl -X POST ${location.origin}/api/workflow/submit \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(exact(json))}`;
}

// Seeds that a JavaScript number cannot hold are kept as their digits; they go out as numbers.
const exact = (json) => json.replace(/("(?:[^"\\]|\\.)*seed"): "(-?\d{16,20})"/g, "$1: $2");
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export async function copy(text, button, said) {
  try {
    await navigator.clipboard.writeText(text); // only in a secure context
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  if (before === said) return;
  button.textContent = said;
  setTimeout(() => (button.textContent = before), 1200);
}
