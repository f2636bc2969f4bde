// What is chosen, by pointer, by keys, and by the address: #layer=1&head=2&token=5&key=3.
let columns = []; // by token, its cells in the tables
let marked = [];
function findColumns() {
  columns = data.labels.map(() => []);
  for (const cell of document.querySelectorAll("#lens [data-token], #routing [data-token]")) columns[cell.dataset.token].push(cell);
}
function showMarks() {
  for (const cell of marked) cell.classList.remove("now");
  marked = columns[state.token];
  for (const cell of marked) {
    cell.classList.add("now");
    const table = cell.closest("table");
    if (cell.tagName !== "TH" || table.matches(":hover")) continue;
    table.parentElement.scrollLeft = cell.offsetLeft - table.parentElement.clientWidth / 2;
  }
}
function choose(change, { quietly = false } = {}) {
  const before = { ...state };
  Object.assign(state, change);
  const clamp = (value, most) => Math.max(0, Math.min(most, Number.isFinite(value) ? Math.trunc(value) : 0));
  state.token = clamp(state.token, count - 1);
  if (bytes) {
    state.layer = clamp(state.layer, data.layers - 1);
    state.head = clamp(state.head, data.heads - 1);
    const moved = state.token !== before.token || state.layer !== before.layer || state.head !== before.head;
    if (!("key" in change) && (moved || state.key < 0)) state.key = strongest();
    state.key = clamp(state.key, state.token);
    [$("layer").value, $("head").value] = [state.layer, state.head];
    if (quietly || state.layer !== before.layer) showHeads();
    if (quietly || state.layer !== before.layer || state.head !== before.head) map.image = picture(state.layer, state.head);
    showMap();
    showReadout();
  }
  showTokens();
  showDetail();
  if (data.routing !== null) showRoutingReadout();
  showMarks();
  const parts = bytes ? ["layer", "head", "token", "key"] : ["token"];
  if (!quietly) history.replaceState(null, "", `#${parts.map((name) => `${name}=${state[name]}`).join("&")}`);
}
function strongest() {
  let best = 0;
  for (let key = 1; key <= state.token; key++)
    if (weight(state.layer, state.head, state.token, key) > weight(state.layer, state.head, state.token, best)) best = key;
  return best;
}
function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1)), change = {};
  for (const name of ["layer", "head", "token", "key"]) if (wanted.has(name)) change[name] = Number(wanted.get(name));
  return change;
}
function cellAt(event) {
  const box = $("map").getBoundingClientRect();
  const token = Math.floor((event.clientY - box.top - map.top) / map.cell), key = Math.floor((event.clientX - box.left - map.left) / map.cell);
  return token >= 0 && token < count && key >= 0 && key <= token ? { token, key } : null;
}
function hold(change) {
  const same = state.held && change.token === state.token && (!("key" in change) || change.key === state.key);
  choose({ ...change, held: !same });
}
const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

function listen() {
  $("layer").addEventListener("change", (event) => choose({ layer: Number(event.target.value) }));
  $("head").addEventListener("change", (event) => choose({ head: Number(event.target.value) }));
  $("heads").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose({ head: Number(button.dataset.head) });
  });
  for (const place of ["tokens", "lens", "routing"]) {
    const token = (event) => event.target.closest("[data-token]")?.dataset.token;
    $(place).addEventListener("mouseover", (event) => token(event) !== undefined && !state.held && choose({ token: Number(token(event)) }));
    $(place).addEventListener("click", (event) => token(event) !== undefined && hold({ token: Number(token(event)) }));
  }
  $("tokens").addEventListener("keydown", (event) => {
    const wanted = { ...Object.fromEntries(Object.entries(steps).map(([key, step]) => [key, state.token + step])), Home: 0, End: count - 1 }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    choose({ token: wanted });
    $("tokens").querySelector('[aria-current="true"]').focus();
  });
  $("map").addEventListener("mousemove", (event) => { const cell = cellAt(event); if (cell && !state.held) choose(cell); });
  $("map").addEventListener("click", (event) => { const cell = cellAt(event); if (cell) hold(cell); });
  $("map").addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    const along = event.key === "ArrowLeft" || event.key === "ArrowRight" ? "key" : "token";
    choose({ key: state.key, [along]: state[along] + steps[event.key] });
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && choose({ held: false }));
  window.addEventListener("hashchange", () => choose(fromAddress()));
  window.addEventListener("resize", () => { if (bytes) { makeMap(); showMap(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour());
}
function recolour(change = {}) {
  readColours();
  showLens();
  if (data.routing !== null) showRouting();
  choose(change, { quietly: true });
}
function start() {
  $("about").textContent = data.about;
  makeTokens();
  makeLens();
  $("attention").querySelectorAll(".controls, #readout, .columns").forEach((part) => { part.hidden = bytes === null; });
  if (bytes) {
    for (const [name, total] of [["layer", data.layers], ["head", data.heads]])
      for (let each = 0; each < total; each++) $(name).append(new Option(String(each), String(each)));
    $("map").setAttribute("aria-label", "Attention weights. Arrow keys move from cell to cell.");
    makeMap();
  } else $("attention").append(make("p", "This model has no attention: it reads the last token alone."));
  $("routing-section").hidden = data.routing === null;
  if (data.routing !== null) makeRouting();
  findColumns();
  listen();
  recolour({ ...data.start, ...fromAddress() });
}
start();
