// Which kind of code a visitor is shown first: the one chosen last, or the shell of their system.
import { remember, remembered } from "../page/remember.js";

const KEY = "gateway.code";
/** @type {any} */
const { userAgentData, platform } = navigator;
const SYSTEM = /^win/i.test(userAgentData?.platform ?? platform) ? "PowerShell" : "curl";

export const SHELLS = ["curl", "PowerShell"];

// The first of `kinds` to be shown; SYSTEM where the chosen one is not among them.
export const firstOf = (kinds) => kinds.find((kind) => kind === remembered(KEY)) ?? SYSTEM;
export const choose = (kind) => remember(KEY, kind);
