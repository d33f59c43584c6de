// What is open and what is changed, for as long as the tab lives.
const CHANGES = "gateway.changes"; // {name: {key: value}}
const SOURCE = "gateway.source";

export class Drafts {
  of(name) {
    return read(CHANGES)?.[name] ?? {};
  }

  put(name, values) {
    const all = read(CHANGES) ?? {};
    if (Object.keys(values).length) all[name] = values;
    else delete all[name];
    write(CHANGES, all);
  }

  get source() {
    return read(SOURCE);
  }

  set source(source) {
    write(SOURCE, source);
  }
}

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {} // too large, or not allowed: then a reload forgets it
}
