"""The controls around all views, and those of the view of servers: how each is operated."""

from tests.browser.controls import Table, Use, anew, clicks_beside, scene

DIALOG = "shown('dialog')"
FOCUS = "document.activeElement.outerHTML.slice(0, 90)"
VIEW = "one('main > section').dataset.view"
LOOKS = "getComputedStyle(document.body).backgroundColor + document.documentElement.dataset.theme"
# What opens something else than it shows is operated from where that is not shown yet.
FRAME: Table = {
    "gateway-header header a #/run": Use(VIEW),
    "gateway-header nav a nav.run": Use(VIEW),
    "gateway-header nav a nav.tasks": Use(VIEW),
    "gateway-header nav a nav.servers": Use(VIEW, where="#/tasks"),
    "gateway-header header select language": Use("one('nav').textContent", "select:zh"),
    "gateway-header header button theme": Use(LOOKS),
    "gateway-header header button key": Use(DIALOG),
}
HAS_KEY = "(await import('./static/js/api/key.js')).key.value = 'a-key-that-nobody-wants';"
PRESS_KEY = "one('header [data-part=key]').click();"
FRAME_SCENES = [
    scene("#/servers", "shown('server-panel .models')", HAS_KEY, "shown('header [data-part=key]')"),
    scene("#/tasks", "shown('task-table .bar')"),
]
STORED = "localStorage['gateway.key/a/path']"
KEY_DIALOG: Table = {
    "small button close": Use(DIALOG),
    "dialog (click)": Use(DIALOG, clicks_beside),
    "small button key.use": Use(DIALOG),
    "stack input-password key.label": (
        Use("it.value", "fill:another"),
        Use(STORED, anew("Enter")),
    ),
    "small button key.forget": Use(STORED, anew("click")),
}
KEY_SCENE = scene("#/tasks", "shown('task-table .bar')", HAS_KEY + PRESS_KEY, DIALOG)

CARD = "it.closest('article')"
ADDED = "document.querySelectorAll('server-panel article').length"
SERVERS: Table = {
    "server-panel models summary servers.models": Use("shown('.models input')"),
    "server-panel models input-search servers.search": Use(
        "one('.folders').textContent", "fill:pruned"
    ),
    "server-panel details summary": Use("shown('.folders li')"),
    "server-panel server a #/tasks/*": Use("shown('task-detail')"),
    "server-panel server input-number servers.slots": (
        Use("it.value", "fill:5"),
        Use(f"{CARD}.querySelector('.slot-boxes').children.length", "press:Enter"),
    ),
    "server-panel server button servers.drain": Use(f"{CARD}.querySelector('.chip').textContent"),
    "server-panel server button servers.resume": Use(f"{CARD}.querySelector('.chip').textContent"),
    "server-panel server button servers.remove": Use(DIALOG),
    "server-panel add button servers.add": Use("shown('.add .address .bad')"),
    "server-panel add input-text servers.address": (
        Use("it.value", "fill:127.0.0.1:9"),
        Use(ADDED, "press:Enter"),
    ),
    "server-panel add input-number servers.slots": (
        Use("it.value", "fill:3", first="one('.add [name=address]').value = '127.0.0.1:10'"),
        Use("sent('POST /api/servers .*127.0.0.1:10.*3')", "press:Enter"),
    ),
    "server-panel li button copy": Use("sent('COPY http://.*/')"),
}
UNFOLD = "for (const each of document.querySelectorAll('.models')) each.open = true;"
SERVERS_SCENES = [
    scene("#/servers", "shown('server-panel article a')"),
    scene("#/servers", "shown('server-panel article')", UNFOLD, "shown('.folders summary')"),
]
