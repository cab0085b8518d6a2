"use strict";
// Draw the figures as they come into view, and the table of records. Text is always set as text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const figures = read("figures"), themes = read("themes");
  const PER_PAGE = 25, HOVER = 240, NARROW = 420;
  const state = { query: "", run: "", category: "", origin: "", pair: null, sort: "", page: 0 };
  let rows = [], sources = [], shownRows = [], haystacks = [];

  // ---- light and dark

  const theme = () => document.documentElement.dataset.theme;
  const setTheme = (name) => {
    document.documentElement.dataset.theme = name;
    for (const plot of document.querySelectorAll(".plot[data-drawn]")) draw(plot);
  };
  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  byId("theme").addEventListener("click", () => setTheme(theme() === "dark" ? "light" : "dark"));

  // ---- figures

  const unpacked = unpack().then((content) => { begin(content.sources); });

  async function draw(plot) {
    const figure = figures[plot.dataset.figure];
    if (figure.points) {
      await unpacked;
      for (const point of figure.spec.data.values) {
        const columns = sources[point.s];
        point.text = clipped(columns.instruction[point.i], HOVER) + "\n\n" + columns.id[point.i];
      }
    }
    plot.chart?.finalize();
    // The compiler changes its argument.
    plot.chart = await vegaEmbed(plot, structuredClone(figure.spec), {
      config: config(plot), renderer: figure.points ? "canvas" : "svg", downloadFileName: plot.dataset.figure,
      actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
      scaleFactor: { png: 3 }, tooltip: { theme: "custom", maxDepth: 1 },
    });
    plot.dataset.drawn = theme();
    if (plot.classList.contains("wheel")) plot.chart.view.addEventListener("click", (event, item) => asked(plot, item));
  }

  function config(plot) {
    const made = structuredClone(themes[theme()]);
    if (plot.clientWidth >= NARROW) return made;
    Object.assign(made.axis, { labelLimit: 110, labelFontSize: 11, titleFontSize: 11 });
    Object.assign(made.legend, { labelLimit: 140, columns: 2 });
    return made;
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { observer.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "300px" });
  for (const plot of document.querySelectorAll(".plot")) observer.observe(plot);

  function asked(plot, item) {
    const { verb, noun } = item?.datum ?? {};
    if (!verb) return;
    state.pair = { run: plot.dataset.run, verb, noun };
    byId("records").scrollIntoView();
    search();
  }

  // ---- records

  async function unpack() {
    const binary = atob(byId("packed").textContent), bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
    byId("packed").remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function begin(found) {
    sources = found;
    sources.forEach((columns, s) => columns.id.forEach((_, i) => rows.push({ s, i, at: rows.length })));
    choices("run", "all runs", sources.length > 1 ? sources.map((columns) => columns.name) : []);
    for (const name of ["category", "origin"]) {
      choices(name, name === "origin" ? "all sources" : "all categories", [...new Set(sources.flatMap((columns) => columns[name].names))].sort());
    }
    byId("search").disabled = false;
    search();
    document.documentElement.dataset.ready = Math.round(performance.now());
  }

  function choices(id, all, names) {
    const select = byId(id);
    select.hidden = names.length === 0;
    select.replaceChildren(option(all, ""), ...names.map((name) => option(clipped(name, 60), name)));
    select.addEventListener("change", () => { state[id] = select.value; search(); });
  }

  function option(text, value) {
    const made = document.createElement("option");
    made.textContent = text;
    made.value = value;
    return made;
  }

  const folded = (row, name) => { const column = sources[row.s][name]; return column.names[column.at[row.i]] ?? ""; };
  const score = (row) => sources[row.s].words[row.i]?.[1] ?? sources[row.s].meaning[row.i]?.[1] ?? 0;
  const ORDERS = {
    near: (one, other) => score(other) - score(one), new: (one, other) => score(one) - score(other),
    long: (one, other) => sources[other.s].length[other.i] - sources[one.s].length[one.i],
    output: (one, other) => sources[other.s].outputLength[other.i] - sources[one.s].outputLength[one.i],
  };

  function haystack(row) {
    const { id, instruction, input, output } = sources[row.s], i = row.i;
    return (haystacks[row.at] ??= `${id[i]}\n${instruction[i]}\n${input[i]}\n${output[i]}`.toLowerCase());
  }

  function asksFor(row, { run, verb, noun }) {
    const pair = String(row.s) === run ? folded(row, "pair") : "";
    return noun ? pair === `${verb} ${noun}` : pair.startsWith(`${verb} `);
  }

  const words = () => state.query.toLowerCase().split(/\s+/).filter(Boolean);

  function search() {
    const wanted = words();
    shownRows = rows.filter((row) =>
      (!state.run || sources[row.s].name === state.run)
      && (!state.category || folded(row, "category") === state.category)
      && (!state.origin || folded(row, "origin") === state.origin)
      && (!state.pair || asksFor(row, state.pair))
      && wanted.every((word) => haystack(row).includes(word)));
    if (state.sort) shownRows.sort((one, other) => ORDERS[state.sort](one, other) || one.at - other.at);
    byId("chip").hidden = !state.pair;
    byId("chip").textContent = state.pair ? `${state.pair.verb} ${state.pair.noun ?? "…"}  ×` : "";
    show(0);
  }

  function show(page) {
    const last = Math.max(0, Math.ceil(shownRows.length / PER_PAGE) - 1);
    state.page = Math.min(Math.max(0, page), last);
    const begin = state.page * PER_PAGE, part = shownRows.slice(begin, begin + PER_PAGE);
    byId("table").tBodies[0].replaceChildren(...part.map(line));
    byId("count").textContent = shownRows.length === rows.length
      ? `${rows.length.toLocaleString("en")} records` : `${shownRows.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} records`;
    byId("page").textContent = `page ${(state.page + 1).toLocaleString("en")} of ${(last + 1).toLocaleString("en")}`;
    byId("first").disabled = byId("back").disabled = state.page === 0;
    byId("last").disabled = byId("next").disabled = state.page === last;
  }

  function line(row) {
    const columns = sources[row.s], i = row.i, made = document.createElement("tr");
    const about = element("td", ""), task = element("td", ""), output = element("td", ""), near = element("td", "");
    about.append(element("code", "", columns.id[i]));
    if (sources.length > 1) about.prepend(element("i", `dot run${row.s}`));
    for (const name of ["category", "origin"]) if (folded(row, name)) about.append(element("span", "tag", folded(row, name)));
    task.append(marked("text", columns.instruction[i]));
    if (columns.input[i]) task.append(marked("text input", columns.input[i]));
    const kept = columns.instruction[i].length + columns.input[i].length;
    if (kept < columns.length[i]) task.append(element("span", "cut", `cut: ${columns.length[i].toLocaleString("en")} characters`));
    output.append(marked("text output", columns.output[i]));
    if (columns.output[i].length < columns.outputLength[i]) output.append(element("span", "cut", `cut: ${columns.outputLength[i].toLocaleString("en")} characters`));
    for (const [measure, found] of [["ROUGE-L", columns.words[i]], ["cosine", columns.meaning[i]]]) if (found) near.append(neighbour(columns, measure, found));
    made.append(about, task, output, near);
    made.addEventListener("click", () => { if (getSelection().isCollapsed) made.classList.toggle("open"); });
    return made;
  }

  function neighbour(columns, measure, [which, value]) {
    const inside = typeof which === "number", id = inside ? columns.id[which] : which;
    const made = element("div", "near");
    made.append(element("p", "note", `${measure} ${value.toFixed(2)} with ${id}`));
    const text = inside ? columns.instruction[which] + (columns.input[which] ? `\n${columns.input[which]}` : "") : columns.known[which];
    made.append(text === undefined ? element("p", "note", "its text is not available") : element("div", "text", text));
    return made;
  }

  function element(tag, kind, text) {
    const made = document.createElement(tag);
    made.className = kind;
    if (text !== undefined) { made.textContent = text; made.dir = "auto"; }
    return made;
  }

  function marked(kind, text) {
    const made = element("div", kind, ""), wanted = words();
    const pattern = wanted.length ? new RegExp(`(${wanted.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi") : null;
    const parts = pattern ? text.split(pattern) : [text];
    made.append(...parts.map((part, at) => (at % 2 ? element("mark", "", part) : document.createTextNode(part))));
    return made;
  }

  function clipped(text, most) { return text.length > most ? `${text.slice(0, most)} …` : text; }

  let waiting;
  byId("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.query = byId("search").value; search(); }, 120);
  });
  byId("sort").addEventListener("change", () => { state.sort = byId("sort").value; search(); });
  byId("chip").addEventListener("click", () => { state.pair = null; search(); });
  byId("first").addEventListener("click", () => show(0));
  byId("back").addEventListener("click", () => show(state.page - 1));
  byId("next").addEventListener("click", () => show(state.page + 1));
  byId("last").addEventListener("click", () => show(Infinity));
})();
