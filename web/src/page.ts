// What every page has: partial updates (htmx), times in the viewer's zone, copying, dialogs. Pages work without it.
import "htmx.org";

const locale = document.documentElement.lang || undefined;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const FORMS: Record<string, Intl.DateTimeFormatOptions> = {
  datetime: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  seconds: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  date: { year: "numeric", month: "short", day: "numeric" },
  time: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "long", month: "long", day: "numeric" },
};

// <time datetime="2026-11-03T14:05:00Z" data-as="datetime">3 Nov 2026, 14:05 UTC</time> becomes local; UTC stays in its title.
function localTimes(root: ParentNode): void {
  for (const node of root.querySelectorAll<HTMLTimeElement>("time[datetime][data-as]:not([data-local])")) {
    const moment = new Date(node.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const form = FORMS[node.dataset["as"] ?? ""] ?? FORMS["datetime"];
    node.title = `${node.textContent?.trim() ?? ""} · ${zone}`;
    node.textContent = moment.toLocaleString(locale, form);
    node.dataset["local"] = "";
  }
  for (const node of root.querySelectorAll<HTMLElement>("[data-zone]")) node.textContent = zone;
}

// <input type="datetime-local" data-utc="name"> is typed in the viewer's zone and sent as Unix seconds in a hidden field.
function utcFields(root: ParentNode): void {
  for (const field of root.querySelectorAll<HTMLInputElement>("input[type=datetime-local][data-utc]")) {
    const hidden = field.form?.elements.namedItem(field.dataset["utc"] ?? "");
    if (!(hidden instanceof HTMLInputElement)) continue;
    if (hidden.value && !field.value) {
      const at = new Date(Number(hidden.value) * 1000);
      field.value = new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
    }
    field.addEventListener("input", () => {
      const moment = new Date(field.value);
      hidden.value = Number.isNaN(moment.getTime()) ? "" : String(Math.floor(moment.getTime() / 1000));
      hidden.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
}

document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-copy], [data-open], [data-close]") : null;
  if (!target) return;
  const { copy, open } = target.dataset;
  if (open !== undefined) {
    const dialog = document.getElementById(open);
    if (dialog instanceof HTMLDialogElement) dialog.showModal();
  } else if (copy !== undefined) {
    await navigator.clipboard.writeText(copy);
    const told = target.querySelector<HTMLElement>("[data-copied]");
    if (told) {
      told.hidden = false;
      setTimeout(() => (told.hidden = true), 2000);
    }
  } else {
    target.closest("dialog")?.close();
  }
});

// A click on a dialog's backdrop closes it, as people expect.
document.addEventListener("mousedown", (event) => {
  if (event.target instanceof HTMLDialogElement && event.target.open) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
});

function dress(root: ParentNode): void {
  localTimes(root);
  utcFields(root);
}

// A part of the page that renews itself leaves the keyboard where it was, and what somebody unfolded stays so.
function mark(node: Element): string {
  const place = node.closest("[id]")?.id ?? "";
  const words = (node.textContent ?? "").replace(/[\d\s]+/g, " ").trim();
  return [place, node.tagName, node.getAttribute("href"), node.getAttribute("name"), node.getAttribute("value"), words].join("|");
}

let focused: Element | null = null;
let marked = "";
let unfolded = new Set<string>();

function hold(): void {
  focused = document.activeElement === document.body ? null : document.activeElement;
  marked = focused ? mark(focused) : "";
  unfolded = new Set([...document.querySelectorAll("details[open] > summary")].map(mark));
}

function giveBack(): void {
  for (const summary of document.querySelectorAll("details:not([open]) > summary"))
    if (unfolded.has(mark(summary)) && summary.parentElement instanceof HTMLDetailsElement) summary.parentElement.open = true;
  if (!focused || focused.isConnected) return;
  const same = [...document.querySelectorAll<HTMLElement>(focused.tagName)].find((node) => mark(node) === marked);
  same?.focus({ preventScroll: true });
  focused = null;
}

dress(document);
document.addEventListener("htmx:before:swap", hold);
document.addEventListener("htmx:after:swap", () => {
  dress(document);
  giveBack();
});
