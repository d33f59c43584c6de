// What the view of servers says.
import { register } from "../i18n.js";

register({
  en: {
    "servers.title": "Servers", "servers.none": "No server yet. Add one.", "servers.add": "Add server", "servers.address": "Address",
    "servers.addressHint": "HOST:PORT, or http(s)://HOST:PORT", "servers.slots": "Slots", "servers.slotsHint": "Prompts it may hold for us; empty: the default",
    "servers.queue": "Queue", "servers.ours": "{count} ours", "servers.others": "{count} of others", "servers.wait": "Free in", "servers.idle": "now",
    "servers.vram": "VRAM", "servers.ram": "RAM", "servers.models": "Models", "servers.modelCount": "{count} files", "servers.search": "Search models",
    "servers.warm": "loaded", "servers.noModel": "No model fits.", "servers.drain": "Drain", "servers.resume": "Resume", "servers.remove": "Remove",
    "servers.removeTitle": "Remove {id}?", "servers.removeText": "What waits there goes back to the queue. The server itself keeps running.",
    "servers.force": "Stop what runs there, too: it runs again on another server", "servers.keep": "Keep it", "servers.save": "Save",
    "servers.since": "since {time}", "servers.noEvents": "no live events", "servers.tasks": "Tasks there", "servers.nodeTypes": "{count} node types", "servers.version": "ComfyUI {version}",
    "servers.usage": "{used} of {total}", "servers.slotsUsed": "{used} of {slots} slots",
    "server.online": "online", "server.offline": "offline", "server.draining": "draining", "server.stalled": "stalled", "server.failing": "failing",
  },
  zh: {
    "servers.title": "服务器", "servers.none": "还没有服务器，请添加。", "servers.add": "添加服务器", "servers.address": "地址",
    "servers.addressHint": "HOST:PORT 或 http(s)://HOST:PORT", "servers.slots": "槽位", "servers.slotsHint": "可为我们保留的任务数；留空用默认值",
    "servers.queue": "队列", "servers.ours": "我们的 {count} 个", "servers.others": "其他 {count} 个", "servers.wait": "空闲时间", "servers.idle": "现在",
    "servers.vram": "显存", "servers.ram": "内存", "servers.models": "模型", "servers.modelCount": "{count} 个文件", "servers.search": "搜索模型",
    "servers.warm": "已加载", "servers.noModel": "没有匹配的模型。", "servers.drain": "排空", "servers.resume": "恢复", "servers.remove": "移除",
    "servers.removeTitle": "移除 {id}？", "servers.removeText": "在那里排队的任务会回到队列。服务器本身继续运行。",
    "servers.force": "同时停止正在运行的任务：它们会在其他服务器上重新运行", "servers.keep": "保留", "servers.save": "保存",
    "servers.since": "自 {time}", "servers.noEvents": "无实时事件", "servers.tasks": "那里的任务", "servers.nodeTypes": "{count} 种节点", "servers.version": "ComfyUI {version}",
    "servers.usage": "已用 {used} / {total}", "servers.slotsUsed": "槽位 {used}/{slots}",
    "server.online": "在线", "server.offline": "离线", "server.draining": "排空中", "server.stalled": "停滞", "server.failing": "故障",
  },
});
