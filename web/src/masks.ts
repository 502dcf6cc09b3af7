// Drawing a covered area on a camera's picture. The number fields are the truth: taps and drags write them, typing draws.
import "./masks.css";

interface Settings {
  preview: string;
  most: number;
  least: number;
  words: Record<"corner" | "across" | "down" | "remove" | "draw" | "more" | "ready" | "full" | "failed", string>;
}
type Point = [number, number]; // per cent of the picture

const settings = JSON.parse(document.getElementById("masks-settings")?.textContent ?? "{}") as Settings;
const others = JSON.parse(document.getElementById("masks-others")?.textContent ?? "[]") as { name: string; points: [number, number][] }[];
const form = document.querySelector<HTMLFormElement>("#masks-form");
const stage = document.querySelector<HTMLElement>(".masks-stage");
const svg = document.querySelector<SVGSVGElement>("#masks-svg");
const rows = document.querySelector<HTMLElement>(".masks-rows");
const shown = document.querySelector<HTMLImageElement>("#masks-shown");
const SVG = "http://www.w3.org/2000/svg";
const fill = (text: string, n: number): string => text.replace("{n}", String(n));

class Editor {
  private points: Point[] = [];
  private readonly corners: HTMLButtonElement[] = [];
  private readonly drawn = document.createElementNS(SVG, "polygon");
  private readonly model: HTMLElement;
  private late = 0;

  constructor(private readonly list: HTMLElement) {
    this.model = list.querySelector<HTMLElement>(".masks-row")!.cloneNode(true) as HTMLElement;
    for (const one of others) {
      const old = document.createElementNS(SVG, "polygon");
      old.setAttribute("class", "masks-old");
      old.setAttribute("points", one.points.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" "));
      svg?.append(old);
    }
    this.drawn.setAttribute("class", "masks-new");
    svg?.append(this.drawn);
    this.read();
    list.addEventListener("input", () => {
      this.read();
      this.draw();
    });
    list.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest(".masks-drop") : null;
      const row = button?.closest(".masks-row");
      if (!row) return;
      row.remove();
      this.read();
      this.write();
    });
    const add = document.querySelector<HTMLButtonElement>("#masks-add");
    add?.removeAttribute("hidden");
    add?.addEventListener("click", () => {
      const row = this.row("", "");
      this.list.append(row);
      this.number();
      row.querySelector("input")?.focus();
    });
    const clear = document.querySelector<HTMLButtonElement>("#masks-clear");
    clear?.removeAttribute("hidden");
    clear?.addEventListener("click", () => {
      this.points = [];
      this.write();
    });
    stage?.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Element && event.target.closest(".masks-corner")) return;
      event.preventDefault();
      this.insert(this.at(event));
    });
    this.write();
  }

  private at(event: PointerEvent): Point {
    const box = stage!.getBoundingClientRect();
    const share = (value: number, from: number, size: number): number => Math.round(Math.min(Math.max((value - from) / size, 0), 1) * 10_000) / 100;
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  // A tap goes into the edge that it lies nearest to, so that lines do not cross; while there is no area yet, behind the last corner.
  private insert(point: Point): void {
    if (this.points.length >= settings.most) return this.tell(fill(settings.words.full, settings.most));
    let place = this.points.length;
    if (place >= settings.least) {
      let least = Infinity;
      this.points.forEach((from, index) => {
        const far = distance(point, from, this.points[(index + 1) % this.points.length] as Point);
        if (far < least) [least, place] = [far, index + 1];
      });
    }
    this.points.splice(place, 0, point);
    this.write();
    this.corners[place]?.focus();
  }

  private read(): void {
    const [across, down] = ["x", "y"].map((name) => [...this.list.querySelectorAll<HTMLInputElement>(`input[name=${name}]`)]);
    this.points = (across ?? []).flatMap((field, index): Point[] => {
      const [x, y] = [field.value, down?.[index]?.value ?? ""].map((text) => (text.trim() ? Number(text.replace(",", ".")) : NaN));
      return x !== undefined && y !== undefined && x >= 0 && x <= 100 && y >= 0 && y <= 100 ? [[x, y]] : [];
    });
  }

  private row(x: string, y: string): HTMLElement {
    const made = this.model.cloneNode(true) as HTMLElement;
    for (const [name, value] of [["x", x], ["y", y]] as const) made.querySelector<HTMLInputElement>(`input[name=${name}]`)!.value = value;
    return made;
  }

  private write(): void {
    this.list.replaceChildren(...this.points.map(([x, y]) => this.row(String(x), String(y))));
    if (!this.points.length) this.list.append(this.row("", ""));
    this.number();
    this.draw();
  }

  private number(): void {
    [...this.list.children].forEach((row, index) => {
      row.querySelector("span")!.textContent = String(index + 1);
      row.querySelector("input[name=x]")?.setAttribute("aria-label", fill(settings.words.across, index + 1));
      row.querySelector("input[name=y]")?.setAttribute("aria-label", fill(settings.words.down, index + 1));
      const drop = row.querySelector<HTMLButtonElement>(".masks-drop");
      drop?.removeAttribute("hidden");
      drop?.setAttribute("aria-label", fill(settings.words.remove, index + 1));
    });
  }

  private draw(): void {
    this.drawn.setAttribute("points", this.points.map(([x, y]) => `${x * 10},${y * 10}`).join(" "));
    while (this.corners.length > this.points.length) this.corners.pop()?.remove();
    this.points.forEach(([x, y], index) => {
      const corner = this.corners[index] ?? this.corner(index);
      corner.style.left = `${x}%`;
      corner.style.top = `${y}%`;
    });
    const count = this.points.length;
    this.tell(count === 0 ? settings.words.draw : fill(count < settings.least ? settings.words.more : settings.words.ready, count));
    clearTimeout(this.late);
    this.late = window.setTimeout(() => void this.preview(), 400);
  }

  private corner(index: number): HTMLButtonElement {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "masks-corner";
    made.setAttribute("aria-label", fill(settings.words.corner, index + 1));
    made.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      made.focus();
      made.setPointerCapture(event.pointerId);
      const move = (moved: PointerEvent): void => this.move(index, this.at(moved));
      made.addEventListener("pointermove", move);
      made.addEventListener("pointerup", () => made.removeEventListener("pointermove", move), { once: true });
    });
    made.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 5 : 0.5;
      const by: Record<string, Point> = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      const [dx, dy] = by[event.key] ?? [0, 0];
      const [x, y] = this.points[index] ?? [0, 0];
      if (event.key === "Delete" || event.key === "Backspace") {
        this.points.splice(index, 1);
        this.write();
        this.corners[Math.min(index, this.corners.length - 1)]?.focus();
      } else if (dx || dy) this.move(index, [x + dx, y + dy]);
      else return;
      event.preventDefault();
    });
    this.corners[index] = made;
    stage?.append(made);
    return made;
  }

  private move(index: number, [x, y]: Point): void {
    const inside = (value: number): number => Math.round(Math.min(Math.max(value, 0), 100) * 100) / 100;
    this.points[index] = [inside(x), inside(y)];
    const row = this.list.children[index];
    row?.querySelectorAll("input").forEach((field, which) => (field.value = String(this.points[index]?.[which])));
    this.draw();
  }

  private tell(text: string): void {
    const told = document.querySelector("#masks-told span");
    if (told && stage) told.textContent = text;
  }

  // Painted at home by what paints a shared clip, not by this page.
  private async preview(): Promise<void> {
    if (!shown || !form) return;
    const body = new FormData();
    body.set("csrfmiddlewaretoken", String(new FormData(form).get("csrfmiddlewaretoken")));
    body.set("mask", String(new FormData(form).get("mask")));
    body.set("areas", JSON.stringify(this.points.length >= settings.least ? [this.points.map(([x, y]) => [x / 100, y / 100])] : []));
    try {
      const answer = await fetch(settings.preview, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      shown.src = `data:image/jpeg;base64,${((await answer.json()) as { jpeg: string }).jpeg}`;
    } catch {
      this.tell(settings.words.failed);
    }
  }
}

function distance([px, py]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(Math.max(((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy || 1), 0), 1);
  return Math.hypot(px - ax - along * dx, py - ay - along * dy);
}

if (rows && form) new Editor(rows);
