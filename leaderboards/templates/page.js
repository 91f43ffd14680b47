
"use strict";
// Everything on the page is text from models and files: it is only ever written with textContent.
{
  const root = document.documentElement;
  root.classList.add("js");
  for (const hidden of document.querySelectorAll(".tools, .choose, #theme, .controls")) hidden.hidden = false;

  const fold = (text) => text.normalize("NFKD").toLowerCase();
  const words = (input) => fold(input.value).split(/\s+/).filter(Boolean);

  /* Theme: the system's, light or dark; remembered where the browser allows it. */
  const themes = ["auto", "light", "dark"];
  const toggle = document.getElementById("theme");
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    toggle.firstElementChild.textContent = name;
  };
  let theme = "auto";
  try { theme = localStorage.getItem("harness-ext-theme") ?? "auto"; } catch { /* no storage for this page */ }
  setTheme(theme = themes.includes(theme) ? theme : "auto");
  toggle.addEventListener("click", () => {
    setTheme(theme = themes[(themes.indexOf(theme) + 1) % themes.length]);
    try { localStorage.setItem("harness-ext-theme", theme); } catch { /* no storage for this page */ }
  });

  /* Tables: a click sorts up, then down, then as it was; rows without a number stay last. */
  for (const table of document.querySelectorAll("article.table")) {
    const body = table.querySelector("tbody");
    const original = [...body.rows];
    const texts = original.map((row) => fold(row.textContent));
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      const numeric = head.classList.contains("number");
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort ?? "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next !== "none") head.setAttribute("aria-sort", next);
        body.append(...(next === "none" ? original : sorted(original, at, numeric, next === "ascending" ? 1 : -1)));
        body.querySelectorAll(".first").forEach((row) => row.classList.toggle("first", next === "none"));
        if (next === "none") boundaries.forEach((row) => row.classList.add("first"));
      });
    });
    const boundaries = original.filter((row) => row.classList.contains("first"));
    const input = table.querySelector("input");
    const count = table.querySelector("output");
    const filter = () => {
      const wanted = words(input);
      let shown = 0;
      original.forEach((row, at) => {
        row.hidden = !wanted.every((word) => texts[at].includes(word));
        shown += !row.hidden;
      });
      const all = `${original.length} ${original.length === 1 ? "row" : "rows"}`;
      count.textContent = shown === original.length ? all : `${shown} of ${all}`;
    };
    input.addEventListener("input", filter);
    filter();
  }

  function sorted(rows, at, numeric, sign) {
    const key = (row) => {
      const cell = row.cells[at];
      if (!numeric) return cell.textContent.trim();
      return cell.dataset.value ? Number(cell.dataset.value) : NaN;
    };
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => {
      if (!numeric) return sign * a.localeCompare(b, "en", { numeric: true });
      return Number.isNaN(a) - Number.isNaN(b) || (Number.isNaN(a) ? 0 : sign * (a - b));
    });
    return keyed.map(([, row]) => row);
  }

  /* Figures with a choice show one run at a time. */
  for (const select of document.querySelectorAll(".choose select")) {
    const choices = select.closest("figure").querySelectorAll(".choice");
    const show = () => choices.forEach((choice, at) => { choice.hidden = at !== select.selectedIndex; });
    select.addEventListener("change", show);
    show();
  }

  /* Samples: read from the page only when the viewer comes near, drawn a page at a time. */
  const stored = document.getElementById("sample-data");
  if (stored) {
    const viewer = document.getElementById("samples");
    const form = viewer.querySelector("form");
    const status = viewer.querySelector(".status");
    const cards = viewer.querySelector(".cards");
    const pager = viewer.querySelector(".pager");
    const { task, run, words: search, failed } = form.elements;
    const PAGE = 20;
    let data = null, folded = null, found = [], page = 0;

    const make = (name, className, text) => {
      const element = document.createElement(name);
      if (className) element.className = className;
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const text = (number) => data.texts[number];
    const matches = (number, word) => (folded[number] ??= fold(text(number))).includes(word);

    const open = () => {
      if (data) return;
      data = JSON.parse(stored.textContent);
      folded = new Array(data.texts.length);
      for (const name of new Set(data.runs.map((one) => one.task))) task.append(new Option(name, name));
      const first = data.runs.findIndex((one) => one.samples.length);
      task.value = data.runs[Math.max(0, first)].task;
      listRuns();
      run.value = String(Math.max(0, first));
      list();
    };
    const listRuns = () => {
      const before = run.selectedOptions[0]?.textContent;
      const options = data.runs.flatMap((one, at) => one.task === task.value ? [new Option(one.label, at)] : []);
      run.replaceChildren(...options);
      for (const option of options) if (option.textContent === before) option.selected = true;
      list();
    };
    const list = () => {
      const { samples } = data.runs[run.value];
      const wanted = words(search);
      found = samples.filter((sample) =>
        (!failed.checked || sample.filters.some((filter) => filter.failed)) &&
        wanted.every((word) => fold(sample.id).includes(word) || ["prompt", "answer", "gold"].some((field) => matches(sample[field], word))));
      page = 0;
      draw();
    };
    const draw = () => {
      const { samples, total, why_withheld: why } = data.runs[run.value];
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      const all = samples.length < total ? `, the first ${samples.length} of ${total} documents` : "";
      status.textContent = why ? `Not shown: ${why}.` : `${found.length} of ${samples.length} samples${all}.`;
      cards.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(card));
      pager.hidden = pages === 1;
      pager.querySelector("span").textContent = `Page ${page + 1} of ${pages}`;
      const [previous, next] = pager.querySelectorAll("button");
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
    };
    const card = (sample) => {
      const details = make("details");
      const summary = make("summary");
      const right = make("span", "right", `gold ${text(sample.gold) || "–"}`);
      if (sample.filters.some((filter) => filter.failed)) right.prepend(make("span", "tag", "unparsed"), " ");
      summary.append(make("span", "id", sample.id), make("span", "short", text(sample.answer).slice(0, 300)), right);
      details.append(summary);
      details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(body(sample)); });
      return details;
    };
    const part = (title, content, className) => {
      const section = make("section", className);
      section.append(make("h4", "", title), content);
      return section;
    };
    const body = (sample) => {
      const { judge } = data.runs[run.value];
      const block = make("div", "body");
      block.append(part("Prompt", marked(text(sample.prompt)), "wide"), part("Answer", marked(text(sample.answer))));
      for (const filter of sample.filters) {
        const suffix = sample.filters.length > 1 || filter.name !== "none" ? ` (${filter.name})` : "";
        block.append(part(`Parse${suffix}`, filter.parse < 0 ? make("p", "asis", "the answer as it stands") : marked(text(filter.parse))));
        const scores = make("dl");
        for (const [names, value] of filter.scores) scores.append(make("dt", "", names), make("dd", "", value));
        block.append(part(`Score${suffix}`, scores));
      }
      if (judge) block.append(part("Judge", make("div", "", judge)));
      return block;
    };
    const marked = (content) => {
      const pre = make("pre");
      pre.tabIndex = 0;
      const wanted = words(search).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      if (!wanted.length) { pre.textContent = content; return pre; }
      content.split(new RegExp(`(${wanted.join("|")})`, "giu")).forEach((piece, at) => pre.append(at % 2 ? make("mark", "", piece) : piece));
      return pre;
    };

    task.addEventListener("change", listRuns);
    run.addEventListener("change", list);
    failed.addEventListener("change", list);
    search.addEventListener("input", list);
    form.addEventListener("submit", (event) => event.preventDefault());
    pager.addEventListener("click", (event) => {
      const step = Number(event.target.dataset?.step ?? 0);
      if (!step) return;
      page += step;
      draw();
      viewer.scrollIntoView();
      cards.querySelector("summary")?.focus({ preventScroll: true });
    });
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); open(); }
    }, { rootMargin: "600px" }).observe(viewer);
  }
}
